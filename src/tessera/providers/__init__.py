"""Our request in their words, their answer in ours."""

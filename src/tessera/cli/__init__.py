"""Commands: the operator's door."""

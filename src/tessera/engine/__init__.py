"""The story of a task: accept, claim, run steps once, settle, emit."""

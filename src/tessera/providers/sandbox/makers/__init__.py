"""What the sandbox makes, one kind of media a file: how a job's request becomes work for a child process."""

"""One family of endpoints a file: body to request, task to record, task to callback."""

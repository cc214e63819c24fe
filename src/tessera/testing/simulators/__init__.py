"""Strict local stand-ins for upstream services. Each keeps a book of what a real one would have billed."""

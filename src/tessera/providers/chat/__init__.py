"""Endpoints of language models: questions are passed on as they come, answers as they arrive."""

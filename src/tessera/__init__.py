"""Tessera: one API for generative media that you run yourself."""

__version__ = "0.1.0"

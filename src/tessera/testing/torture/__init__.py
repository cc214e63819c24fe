"""Torture: a real gateway in many processes, chaos on every side, and a comparison of everybody's books afterwards.

``python -m tessera.testing.torture --seed 7`` runs it. ``harness`` starts, breaks and heals; ``upstream`` and
``receiver`` are the outside world and keep books of their own; ``check`` compares them with the database.
"""

"""Frozen values and pure rules: states, prices, holds, errors. No I/O, no await."""

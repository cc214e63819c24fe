"""Ids that sort by the time of their making and cannot be guessed."""

import secrets
from collections.abc import Callable
from datetime import datetime

from tessera.kit.clock import Clock, millis, system

Ids = Callable[[], str]
"""Answers a fresh id: 32 lower-case hex digits."""


def uuid7(moment: datetime, entropy: Callable[[int], int] = secrets.randbits) -> str:
    """A version 7 UUID (RFC 9562) without its dashes: 48 bits of time, 74 of chance."""
    value = (millis(moment) & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | entropy(12) << 64
    value |= 0b10 << 62 | entropy(62)
    return f"{value:032x}"


def timed(clock: Clock = system) -> Ids:
    return lambda: uuid7(clock())


LONGEST = 64


def plausible(text: str) -> bool:
    """Whether a caller's text can be an id at all; what cannot be one is not looked up: the database takes less."""
    return len(text) <= LONGEST and text.isascii() and text.isprintable()

"""Ids that sort by the time of their making and cannot be guessed."""

import re
import secrets
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256

from tessera.kit.clock import Clock, millis, system

_OURS = re.compile("0[0-9a-f]{11}7[0-9a-f]{19}")
_PART = re.compile("[0-9a-f]{12}8[0-9a-f]{19}")

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


PARTS = 16


def part(whole: str, index: int) -> str:
    """The id of one part (0..15) of what has the id ``whole``: a version 8 UUID with its dashes.

    It tells what it is a part of, see ``whole``: the highest four bits of a version 7 UUID's time are free until the
    year 2527. An id that was not made here gets the same treatment through its digest, and cannot be told back.
    """
    if not 0 <= index < PARTS:
        raise ValueError(f"a part is numbered from 0 to {PARTS - 1}, not {index}")
    digits = whole if _OURS.fullmatch(whole) else f"0{sha256(whole.encode()).hexdigest()[:31]}"
    text = f"{index:x}{digits[1:12]}8{digits[13:]}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def whole(part: str) -> tuple[str, int] | None:
    """The id that a part's id was made from, and its index; None for any other text."""
    text = part.lower().replace("-", "")
    if not _PART.fullmatch(text):
        return None
    return f"0{text[1:12]}7{text[13:]}", int(text[0], 16)


LONGEST = 64


def plausible(text: str) -> bool:
    """Whether a caller's text can be an id at all; what cannot be one is not looked up: the database takes less."""
    return len(text) <= LONGEST and text.isascii() and text.isprintable()

"""What was found of one part of an installation, by whoever looked."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """``note`` is neither good nor bad: it may be meant so."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """``next`` is what to do about it, empty where there is nothing to do."""

    name: str
    grade: Grade
    text: str
    next: str = ""


def good(name: str, text: str) -> Finding:
    return Finding(name, Grade.GOOD, text)


def note(name: str, text: str, advice: str = "") -> Finding:
    return Finding(name, Grade.NOTE, text, advice)


def bad(name: str, text: str, advice: str) -> Finding:
    return Finding(name, Grade.BAD, text, advice)

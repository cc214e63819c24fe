"""Time comes in from outside, so that a test can hold it still."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Answers the present moment, aware, in UTC."""


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def system() -> datetime:
    return datetime.now(UTC)


def millis(moment: datetime) -> int:
    """Milliseconds since 1970, rounded down. In whole numbers: a float's last digit may be a millisecond short."""
    return (moment - EPOCH) // MILLISECOND

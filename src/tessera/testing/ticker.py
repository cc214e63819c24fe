"""A clock that stands still until it is told to go on."""

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Ticker:
    """A ``tessera.kit.clock.Clock``. Give it wherever a clock is taken; ``advance`` moves everybody's time at once."""

    def __init__(self, start: datetime = NOON) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def advance(self, step: timedelta | float) -> datetime:
        """Go on by a length of time (a number is seconds); answers the new moment."""
        self.now += step if isinstance(step, timedelta) else timedelta(seconds=step)
        return self.now

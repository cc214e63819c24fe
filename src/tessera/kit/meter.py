"""Numbers that a part keeps while it works, for whoever wants to show them.

A part is given a ``Meter`` and tells it what happens; it knows neither what the numbers are for nor who reads
them. Names and labels are its own words; labels come from short lists (a provider, an outcome), never from a caller.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Protocol

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the groups that durations are counted in, in seconds; what is above them all has a group, too."""


Labels = tuple[str, ...]


class Meter(Protocol):
    def count(self, name: str, *labels: str) -> None:
        """It happened once more."""
        ...

    def move(self, name: str, by: int, *labels: str) -> None:
        """There are so many more now, or fewer."""
        ...

    def time(self, name: str, seconds: float, *labels: str) -> None:
        """It took so long."""
        ...


class Silent:
    """A meter that keeps nothing."""

    def count(self, name: str, *labels: str) -> None:
        pass

    def move(self, name: str, by: int, *labels: str) -> None:
        pass

    def time(self, name: str, seconds: float, *labels: str) -> None:
        pass


SILENT: Meter = Silent()


@dataclass(slots=True)
class Times:
    """How often it took how long: ``groups`` counts each duration once, under the first bound that is not below it."""

    groups: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0


class Book:
    """A meter that keeps everything, in memory. To be used from one thread, which is what makes it cheap."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[Labels, int]] = {}
        self._levels: dict[str, dict[Labels, int]] = {}
        self._times: dict[str, dict[Labels, Times]] = {}

    def count(self, name: str, *labels: str) -> None:
        counts = self._counts.setdefault(name, {})
        counts[labels] = counts.get(labels, 0) + 1

    def move(self, name: str, by: int, *labels: str) -> None:
        levels = self._levels.setdefault(name, {})
        levels[labels] = levels.get(labels, 0) + by

    def time(self, name: str, seconds: float, *labels: str) -> None:
        known = self._times.setdefault(name, {})
        times = known.get(labels)
        if times is None:
            times = known[labels] = Times()
        times.groups[bisect_left(BOUNDS, seconds)] += 1
        times.total += seconds

    def counts(self, name: str) -> dict[Labels, int]:
        """By labels, how often it happened."""
        return dict(self._counts.get(name, {}))

    def levels(self, name: str) -> dict[Labels, int]:
        """By labels, how many there are."""
        return dict(self._levels.get(name, {}))

    def times(self, name: str) -> dict[Labels, Times]:
        """By labels, how long it took."""
        return dict(self._times.get(name, {}))

"""Waiting longer each time, a little differently for everybody."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from random import random


def step(
    schedule: Sequence[timedelta], tries: int, *, jitter: float = 0.1, chance: Callable[[], float] = random
) -> timedelta | None:
    """How long to wait after ``tries`` failed tries; None when the schedule is used up.

    The wait is spread by ``jitter`` (a part of itself) to either side.
    """
    if not 1 <= tries <= len(schedule):
        return None
    return schedule[tries - 1] * (1 + jitter * (2 * chance() - 1))


def grow(start: timedelta, factor: float, tries: int, most: timedelta) -> timedelta:
    """``start`` grown ``tries`` times by ``factor``, ``most`` at the most."""
    # In plain seconds: a length of time cannot hold what a long row of tries would grow to.
    return timedelta(seconds=min(most.total_seconds(), start.total_seconds() * factor ** min(tries, 64)))

"""Waiting longer each time."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.kit.backoff import grow, step

SCHEDULE = (timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2))
seconds = st.floats(min_value=0.001, max_value=600).map(lambda s: timedelta(seconds=s))


@pytest.mark.parametrize(
    ("tries", "wait"), [(0, None), (1, SCHEDULE[0]), (2, SCHEDULE[1]), (3, SCHEDULE[2]), (4, None), (-1, None)]
)
def test_a_schedule_is_followed_step_by_step_and_then_over(tries: int, wait: timedelta | None) -> None:
    assert step(SCHEDULE, tries, chance=lambda: 0.5) == wait


@given(st.integers(1, 3), st.floats(0, 1), st.floats(0, 0.9))
def test_a_wait_is_spread_by_a_part_of_itself(tries: int, chance: float, jitter: float) -> None:
    wait = step(SCHEDULE, tries, jitter=jitter, chance=lambda: chance)
    assert wait is not None
    assert abs(wait - SCHEDULE[tries - 1]) <= SCHEDULE[tries - 1] * jitter + timedelta(microseconds=1)


@pytest.mark.parametrize(("tries", "wait"), [(0, 1), (1, 3), (2, 9), (3, 27), (4, 60), (5, 60)])
def test_a_wait_grows_to_its_limit(tries: int, wait: int) -> None:
    assert grow(timedelta(seconds=1), 3, tries, timedelta(minutes=1)) == timedelta(seconds=wait)


@given(seconds, st.floats(1, 10), st.integers(0, 10**9), seconds)
def test_no_number_of_tries_is_too_many(start: timedelta, factor: float, tries: int, most: timedelta) -> None:
    wait = grow(start, factor, tries, most)
    assert min(start, most) <= wait + timedelta(microseconds=1)
    assert wait <= most

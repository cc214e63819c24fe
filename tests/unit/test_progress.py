"""How far a task is, as a caller sees it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.progress import ALMOST, shown
from tessera.domain.task import ImageRequest, Mode, State, Task
from tessera.testing.ticker import NOON

TASK = Task(
    id="t",
    account_id="a",
    key_id="k",
    mode=Mode.TEST,
    family="f",
    operation="image.generate",
    model="m",
    request=ImageRequest(prompt="x"),
    params="{}",
    callback_url=None,
    fallback=None,
    price=0,
    state=State.WAITING,
    progress=0.0,
    epoch=0,
    created_at=NOON,
)
RUNNING = replace(TASK, state=State.RUNNING, started_at=NOON)


@pytest.mark.parametrize(
    ("task", "value"),
    [
        (TASK, 0.0),
        (replace(RUNNING, progress=0.4), 0.4),
        (replace(RUNNING, progress=1.0), 0.99),
        (replace(RUNNING, state=State.SUCCEEDED, progress=0.4), 1.0),
        (replace(RUNNING, state=State.FAILED, progress=0.4), 0.4),
        (replace(RUNNING, state=State.FAILED), 0.0),
        (replace(RUNNING, state=State.CANCELED, progress=1.0), 0.99),
    ],
)
def test_only_a_success_is_whole(task: Task, value: float) -> None:
    assert shown(task, NOON + timedelta(minutes=5)) == value


@given(st.floats(0, 300), st.floats(0.1, 300))
def test_an_estimate_always_moves_and_never_arrives(elapsed: float, more: float) -> None:
    earlier = shown(RUNNING, NOON + timedelta(seconds=elapsed))
    later = shown(RUNNING, NOON + timedelta(seconds=elapsed + more))
    assert 0 <= earlier < later < ALMOST


def test_a_clock_behind_the_start_shows_no_progress() -> None:
    assert shown(RUNNING, NOON - timedelta(seconds=3)) == 0.0

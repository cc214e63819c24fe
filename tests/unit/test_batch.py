"""Calls of the same moment, answered as one."""

import asyncio
from collections.abc import Sequence

import pytest

from tessera.kit.batch import Batch

PATIENCE = 5


class Runs:
    """A batch's work that keeps a list of its runs and can be held up."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.began: asyncio.Queue[list[int]] = asyncio.Queue()
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.runs.append(list(items))
        self.began.put_nowait(list(items))
        await self.go.wait()
        return [ValueError(str(item)) if item < 0 else item * 10 for item in items]


@pytest.fixture
def runs() -> Runs:
    return Runs()


async def test_items_of_one_moment_share_a_run_and_get_their_own_answers(runs: Runs) -> None:
    batch = Batch(runs)
    assert await asyncio.gather(*(batch(n) for n in range(5))) == [0, 10, 20, 30, 40]
    assert runs.runs == [[0, 1, 2, 3, 4]]


async def test_what_arrives_while_a_lane_is_busy_goes_together_in_the_next_run(runs: Runs) -> None:
    batch = Batch(runs)
    runs.go.clear()
    first = asyncio.create_task(batch(1))
    await runs.began.get()
    others = [asyncio.create_task(batch(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    runs.go.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert runs.runs == [[1], [2, 3, 4]]


async def test_a_run_is_never_larger_than_the_limit(runs: Runs) -> None:
    batch = Batch(runs, limit=3)
    assert await asyncio.gather(*(batch(n) for n in range(8))) == [n * 10 for n in range(8)]
    assert [len(run) for run in runs.runs] == [3, 3, 2]


async def test_as_many_runs_at_a_time_as_there_are_lanes(runs: Runs) -> None:
    batch = Batch(runs, limit=1, lanes=2)
    runs.go.clear()
    calls = [asyncio.create_task(batch(n)) for n in range(4)]
    assert [await runs.began.get() for _ in range(2)] == [[0], [1]]
    await asyncio.sleep(0)
    assert runs.began.empty()
    runs.go.set()
    assert await asyncio.gather(*calls) == [0, 10, 20, 30]


async def test_an_error_of_one_item_is_raised_to_its_caller_alone(runs: Runs) -> None:
    batch = Batch(runs)
    answers = await asyncio.gather(batch(1), batch(-7), batch(2), return_exceptions=True)
    assert answers[0] == 10
    assert answers[2] == 20
    assert isinstance(answers[1], ValueError)
    assert str(answers[1]) == "-7"


async def test_an_error_of_a_run_reaches_every_waiter_and_the_batch_goes_on() -> None:
    broken = [True]

    async def run(items: Sequence[int]) -> Sequence[int | Exception]:
        if broken:
            broken.clear()
            raise ConnectionError("lost")
        return list(items)

    batch = Batch(run)
    answers = await asyncio.gather(*(batch(n) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError] * 3
    async with asyncio.timeout(PATIENCE):
        assert await batch(4) == 4


async def test_a_run_with_too_few_answers_leaves_nobody_waiting() -> None:
    async def run(items: Sequence[int]) -> Sequence[int | Exception]:
        return list(items)[1:]

    batch = Batch(run)
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(batch(1), batch(2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RuntimeError] * 2


async def test_a_run_that_is_cancelled_leaves_nobody_waiting() -> None:
    async def run(items: Sequence[int]) -> list[int | Exception]:
        raise asyncio.CancelledError

    batch = Batch(run)
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(batch(1), batch(2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 2


async def test_a_caller_that_comes_again_at_once_is_served(runs: Runs) -> None:
    batch = Batch(runs)

    async def caller() -> int:
        return sum([await batch(1) for _ in range(50)])

    async with asyncio.timeout(PATIENCE):
        assert await asyncio.gather(*(caller() for _ in range(3))) == [500] * 3


async def test_a_cancelled_caller_does_not_disturb_the_others(runs: Runs) -> None:
    batch = Batch(runs)
    runs.go.clear()
    calls = [asyncio.create_task(batch(n)) for n in (1, 2, 3)]
    await runs.began.get()
    calls[1].cancel()
    await asyncio.wait({calls[1]})
    runs.go.set()
    assert [await calls[0], await calls[2]] == [10, 30]
    assert calls[1].cancelled()
    assert await batch(4) == 40

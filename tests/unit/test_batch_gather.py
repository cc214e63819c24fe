"""A batch that gathers: a run waits a moment for as many callers as the last one had."""

import asyncio
from collections.abc import Sequence

from tessera.kit.batch import Batch

LONG = 60.0
"""Seconds that no test waits: one that passes shows that somebody opened the gate earlier."""

PATIENCE = 5


class Runs:
    def __init__(self) -> None:
        self.runs: list[list[int]] = []

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.runs.append(list(items))
        return list(items)


async def crowd(batch: Batch[int, int], count: int) -> None:
    await asyncio.gather(*(batch(n) for n in range(count)))


async def test_a_crowd_that_comes_again_bit_by_bit_shares_one_run() -> None:
    runs = Runs()
    batch = Batch(runs, gather=LONG)
    async with asyncio.timeout(PATIENCE):
        await crowd(batch, 5)
        again = []
        for n in range(10, 15):
            again.append(asyncio.create_task(batch(n)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.gather(*again)
    assert runs.runs == [[0, 1, 2, 3, 4], [10, 11, 12, 13, 14]]


async def test_who_comes_alone_after_a_crowd_waits_no_longer_than_agreed() -> None:
    runs = Runs()
    batch = Batch(runs, gather=0.001)
    async with asyncio.timeout(PATIENCE):
        await crowd(batch, 5)
        assert await batch(7) == 7
    assert runs.runs[1:] == [[7]]


async def test_after_a_run_of_few_nobody_waits() -> None:
    runs = Runs()
    batch = Batch(runs, gather=LONG)
    async with asyncio.timeout(PATIENCE):
        await crowd(batch, 3)
        assert await batch(7) == 7


async def test_without_gathering_the_first_of_a_crowd_goes_ahead() -> None:
    runs = Runs()
    batch = Batch(runs)
    await crowd(batch, 5)
    first = asyncio.create_task(batch(10))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.gather(first, batch(11))
    assert runs.runs[1:] == [[10], [11]]


async def test_lanes_that_gather_lose_and_repeat_nothing() -> None:
    runs = Runs()
    batch = Batch(runs, lanes=3, limit=4, gather=0.001)

    async def caller(start: int) -> list[int]:
        return [await batch(start + n) for n in range(20)]

    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*(caller(100 * n) for n in range(9)))
    assert answers == [[100 * n + m for m in range(20)] for n in range(9)]
    assert sorted(item for run in runs.runs for item in run) == sorted(item for answer in answers for item in answer)

"""A crew's bounds: memory, time, and what becomes of work that breaks them."""

import asyncio
import contextlib
import math
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tessera.kit.cpu import MEMORY, Crew, WorkDeadlyError, WorkLostError, WorkTooLongError

MIB = 1024 * 1024
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to a bound on its data")


@pytest.fixture
async def small() -> AsyncIterator[Crew]:
    crew = Crew(1, memory=256 * MIB)
    yield crew
    await crew.close()


def take(marker: Path, size: int) -> int:
    """Count the calls in a file, then fill memory."""
    with marker.open("a") as file:
        file.write("x")
    return len(bytearray(size))


def fill_with_small_things() -> int:
    held = [bytes(1000)]
    while True:
        held.append(bytes(len(held) % 1000 + 1000))


def bound() -> int:
    return resource.getrlimit(resource.RLIMIT_DATA)[0]


@linux
async def test_work_that_needs_too_much_memory_fails_once_and_clearly(small: Crew, tmp_path: Path) -> None:
    child = await small.run(os.getpid)
    with pytest.raises(MemoryError, match="memory"):
        await small.run(take, tmp_path / "calls", 1024 * MIB)
    assert (tmp_path / "calls").read_text() == "x"
    assert await small.run(take, tmp_path / "calls", 64 * MIB) == 64 * MIB
    assert await small.run(os.getpid) == child


@linux
async def test_a_child_whose_memory_is_full_to_the_brim_can_still_say_so(small: Crew) -> None:
    with pytest.raises(MemoryError):
        await small.run(fill_with_small_things)
    assert await small.run(math.factorial, 5) == 120


@linux
async def test_the_bound_can_be_set_and_there_is_one_without() -> None:
    usual, free = Crew(1), Crew(1, memory=None)
    assert await usual.run(bound) == MEMORY
    assert await free.run(bound) == bound()
    await asyncio.gather(usual.close(), free.close())


async def test_work_past_its_limit_is_told_apart_from_work_that_was_lost() -> None:
    crew = Crew(1, limit=timedelta(milliseconds=500))
    with pytest.raises(WorkTooLongError, match=r"limit of 0\.5 s"):
        await crew.run(time.sleep, 60)
    await crew.close()
    with pytest.raises(WorkLostError) as caught:
        await crew.run(math.factorial, 5)
    assert type(caught.value) is WorkLostError


async def test_work_that_kills_its_children_is_told_apart() -> None:
    crew = Crew(1)
    with pytest.raises(WorkDeadlyError, match="twice"):
        await crew.run(os._exit, 3)
    await crew.close()


@pytest.mark.parametrize("wait", [0.0, 0.5])
async def test_work_of_a_crew_that_closes_is_lost_and_not_too_long(wait: float) -> None:
    crew = Crew(1)
    await crew.run(os.getpid)
    work = asyncio.create_task(crew.run(time.sleep, 60))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(work), wait)
    await crew.close()
    with pytest.raises(WorkLostError) as caught:
        await work
    assert type(caught.value) is WorkLostError


@pytest.mark.parametrize("kind", [WorkTooLongError, WorkDeadlyError])
def test_who_asks_only_whether_work_was_lost_hears_of_every_kind(kind: Callable[[str], Exception]) -> None:
    assert isinstance(kind("x"), WorkLostError)

"""Bells, alarms and gates: what is rung is heard, what is given up leaves nothing behind."""

import asyncio

import pytest

from tessera.kit.bell import Alarm, Bell, Gate

LONG, SHORT = 60.0, 0.001


async def test_everybody_who_listens_hears_the_bell() -> None:
    bell = Bell()
    waits = [asyncio.create_task(bell.within(LONG)) for _ in range(3)]
    plain = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    bell.set()
    assert await asyncio.gather(*waits, plain) == [True] * 4


async def test_who_comes_after_it_was_rung_does_not_wait() -> None:
    bell = Bell()
    bell.set()
    assert await bell.within(0)


@pytest.mark.parametrize("seconds", [0, SHORT])
async def test_nobody_waits_longer_than_they_said(seconds: float) -> None:
    assert not await Bell().within(seconds)


async def test_a_listener_who_was_canceled_is_forgotten() -> None:
    bell = Bell()
    wait = asyncio.create_task(bell.within(LONG))
    await asyncio.sleep(0)
    wait.cancel()
    await asyncio.wait({wait})
    bell.set()
    assert wait.cancelled()
    assert not bell._listening


class Work:
    """Counts how often it was begun and done; a gate holds it."""

    def __init__(self) -> None:
        self.begun, self.done, self.gate, self.started = 0, 0, asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self.begun += 1
        self.started.set()
        await self.gate.wait()
        self.done += 1


async def test_an_alarm_begins_its_work_when_its_time_has_come() -> None:
    work = Work()
    Alarm(SHORT, work)
    async with asyncio.timeout(10):
        await work.started.wait()


async def test_an_alarm_rung_twice_does_its_work_once() -> None:
    work = Work()
    alarm = Alarm(LONG, work)
    work.gate.set()
    await asyncio.gather(alarm.ring(), alarm.ring())
    await alarm.ring()
    assert (work.begun, work.done) == (1, 1)


async def test_work_under_way_is_waited_for_and_not_begun_again() -> None:
    work = Work()
    alarm = Alarm(0, work)
    async with asyncio.timeout(10):
        await work.started.wait()
    ring = asyncio.create_task(alarm.ring())
    await asyncio.sleep(0)
    assert not ring.done()
    work.gate.set()
    await ring
    assert (work.begun, work.done) == (1, 1)


async def test_a_canceled_alarm_does_not_go_off() -> None:
    work = Work()
    alarm = Alarm(0, work)
    alarm.cancel()
    later = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(SHORT, later.set_result, None)
    await later
    assert not work.begun


class Inside:
    """Those who are inside a gate, until they are let go."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.names: list[str] = []
        self.go: dict[str, asyncio.Event] = {}

    def send(self, *names: str) -> list["asyncio.Task[None]"]:
        return [asyncio.create_task(self._pass(name)) for name in names]

    async def until(self, *names: str) -> None:
        """Wait until they are who has come in so far, in this order."""
        async with asyncio.timeout(5):
            while len(self.names) < len(names):
                await asyncio.sleep(0)
        for _ in range(3):  # whoever else could come in would do so now
            await asyncio.sleep(0)
        assert self.names == list(names)

    async def _pass(self, name: str) -> None:
        self.go[name] = asyncio.Event()
        async with self._gate.through():
            self.names.append(name)
            await self.go[name].wait()


async def test_a_gate_lets_so_many_through_at_a_time_in_their_order() -> None:
    inside = Inside(Gate(2, patience=LONG))
    tasks = inside.send("a", "b", "c", "d")
    await inside.until("a", "b")
    inside.go["b"].set()
    await inside.until("a", "b", "c")
    inside.go["a"].set()
    await inside.until("a", "b", "c", "d")
    for name in "cd":
        inside.go[name].set()
    await asyncio.gather(*tasks)


async def test_who_is_slow_inside_a_gate_keeps_nobody_waiting_and_counts_once() -> None:
    inside = Inside(Gate(1, patience=SHORT))
    tasks = inside.send("slow", "next")
    await inside.until("slow", "next")
    for name in ("slow", "next"):
        inside.go[name].set()
    await asyncio.gather(*tasks)
    inside._gate._patience = LONG
    more = inside.send("e", "f")
    await inside.until("slow", "next", "e")
    for name in "ef":
        inside.go[name].set()
    await asyncio.gather(*more)


@pytest.mark.parametrize("gone", ["inside", "in line"])
async def test_who_is_canceled_at_a_gate_leaves_no_place_taken(gone: str) -> None:
    inside = Inside(Gate(1, patience=LONG))
    tasks = dict(zip(("inside", "in line", "last"), inside.send("inside", "in line", "last"), strict=True))
    await inside.until("inside")
    tasks[gone].cancel()
    for name in {"inside", "in line"} - {gone}:
        inside.go[name].set()
    await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
    inside.go["last"].set()
    async with asyncio.timeout(5):
        await tasks["last"]

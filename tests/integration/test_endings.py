"""Many tasks that end at once: they are taken one after the other, and nobody else waits for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.workshop import OpenShop, Workshop

from tessera.db import journal, tasks
from tessera.domain.task import State
from tessera.engine import finish, keep
from tessera.engine.step import HandBack
from tessera.providers.fake import Fake, accept
from tessera.providers.fake import finish as finish_at_once
from tessera.storage.base import Stat, Store
from tessera.testing.mailbox import PATIENCE
from tessera.testing.plugin import Passed

HOURS = 3600.0


class Busy:
    """A store whose puts wait until they are let go. ``begun`` gets a key for each, ``most`` were under way at once."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._now = 0
        self.most = 0
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.go = asyncio.Event()

    async def put(self, key: str, source: Path, *, media_type: str) -> Stat:
        self._now += 1
        self.most = max(self.most, self._now)
        self.begun.put_nowait(key)
        try:
            await self.go.wait()
            return await self._inner.put(key, source, media_type=media_type)
        finally:
            self._now -= 1

    def read(self, key: str) -> AsyncIterator[bytes]:
        return self._inner.read(key)

    async def next(self) -> str:
        """The id of the task whose file is put next."""
        async with asyncio.timeout(PATIENCE):
            return (await self.begun.get()).removeprefix("s/").partition("-")[0]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """One output is stored at a time, however long it takes."""
    monkeypatch.setattr(keep, "STORING", 1)
    monkeypatch.setattr(keep, "SLOW", HOURS)


def busy(shop: Workshop) -> Busy:
    shop.house.store = store = Busy(shop.house.store)  # type: ignore[assignment]
    return store


async def in_line(shop: Workshop, store: Busy) -> tuple[str, str, dict[str, "asyncio.Task[None]"]]:
    """A task whose output is being stored, one that waits in line behind it, and the walks of both."""
    run = shop.run()
    walks = {task_id: asyncio.create_task(run.walk(task_id)) for task_id in [await shop.order(), await shop.order()]}
    first = await store.next()
    (second,) = walks.keys() - {first}
    async with asyncio.timeout(PATIENCE):
        while await shop.states(second) != ["sandbox submitted"]:
            pass
    return first, second, walks


async def test_no_more_outputs_are_stored_at_a_time_than_agreed(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "STORING", 3)
    monkeypatch.setattr(keep, "SLOW", HOURS)
    async with open_shop(Fake("sandbox")) as shop:
        store, run = busy(shop), shop.run()
        ids = [await shop.order() for _ in range(12)]
        walks = [asyncio.create_task(run.walk(task_id)) for task_id in ids]
        for _ in range(3):
            await store.next()
        store.go.set()
        await asyncio.gather(*walks)
        assert store.most == 3
        assert {(await shop.task(task_id)).state for task_id in ids} == {State.SUCCEEDED}
        await shop.check()


async def test_an_output_on_a_slow_way_keeps_no_other_from_being_stored(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "STORING", 1)
    monkeypatch.setattr(keep, "SLOW", 0.01)
    async with open_shop(Fake("sandbox")) as shop:
        store, run = busy(shop), shop.run()
        walks = [asyncio.create_task(run.walk(await shop.order())) for _ in range(3)]
        for _ in walks:
            await store.next()
        store.go.set()
        await asyncio.gather(*walks)
        await shop.check()


@pytest.mark.usefixtures("narrow")
async def test_a_task_can_be_canceled_while_its_end_waits_in_line(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        store = busy(shop)
        first, second, walks = await in_line(shop, store)
        assert await shop.house.finish.cancel(second, shop.account.id) is not None
        store.go.set()
        await asyncio.gather(*walks.values())
        assert store.begun.empty(), "nothing is stored for it"
        assert [(await shop.task(task_id)).state for task_id in (first, second)] == [State.SUCCEEDED, State.CANCELED]
        await shop.check()


@pytest.mark.usefixtures("narrow")
async def test_a_task_that_is_cut_short_in_line_is_brought_home_by_the_next_worker(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    async with open_shop(fake) as shop:
        store = busy(shop)
        first, second, walks = await in_line(shop, store)
        walks[second].cancel()
        await asyncio.wait({walks[second]})
        assert walks[second].cancelled()
        store.go.set()
        await walks[first]
        assert (await shop.walk(second)).state is State.SUCCEEDED
        assert [len(fake.submissions), len(fake.jobs)] == [2, 2]
        await shop.check()


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("again", [True, False])
async def test_a_process_that_drains_hands_back_from_the_line_what_can_be_asked_for_again(
    open_shop: OpenShop, again: bool
) -> None:
    """An end that came with the answer to the submission comes only once: it waits for its turn."""
    fake = Fake("sandbox")
    fake.script(*[accept() if again else finish_at_once() for _ in range(2)])
    async with open_shop(fake) as shop:
        store, run = busy(shop), shop.run()
        ids = [await shop.order() for _ in range(2)]
        walks = [asyncio.create_task(run.walk(task_id)) for task_id in ids]
        await store.next()
        async with asyncio.timeout(PATIENCE):
            while len(fake.polls if again else fake.submissions) < 2:
                await asyncio.sleep(0)
        run.draining.set()
        store.go.set()
        ends = await asyncio.gather(*walks, return_exceptions=True)
        assert [type(end) for end in ends if end is not None] == ([HandBack] if again else [])
        for task_id in ids:
            assert (await shop.walk(task_id)).state is State.SUCCEEDED
        assert len(fake.submissions) == len(fake.jobs) == 2
        await shop.check()


@asynccontextmanager
async def locked(shop: Workshop, task_id: str) -> AsyncIterator[None]:
    """Somebody else holds the row of this task."""
    async with shop.house.database.transaction() as connection:
        await connection.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", task_id)
        yield


async def test_ends_that_wait_in_line_delay_neither_questions_nor_progress(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "ENDING", 1)
    fake, ready, last = Fake("sandbox"), asyncio.Event(), asyncio.Event()
    fake.script(*[accept(ready)] * 6, accept(0.5, last))
    async with open_shop(fake, database_pool=5) as shop:
        run, ids = shop.run(), [await shop.order() for _ in range(6)]
        walks = [asyncio.create_task(run.walk(task_id)) for task_id in ids]
        async with asyncio.timeout(PATIENCE):
            for _ in ids:
                await fake.polled.get()
            async with locked(shop, ids[0]):
                ready.set()
                while await stored(shop) < 6:
                    pass
                other = await shop.order()
                walks.append(asyncio.create_task(run.walk(other)))
                while (await shop.task(other)).progress < 0.5:
                    pass
            last.set()
            await asyncio.gather(*walks)
        assert {(await shop.task(task_id)).state for task_id in [*ids, other]} == {State.SUCCEEDED}
        await shop.check()


async def stored(shop: Workshop) -> int:
    """How many outputs have their bytes, or are about to."""
    return int(
        await shop.house.database.pool.fetchval(
            "SELECT (SELECT count(*) FROM pending_objects) + (SELECT count(*) FROM assets)"
        )
    )


async def test_whoever_lost_its_claim_in_a_crowd_is_the_only_one_to_store_nothing(open_shop: OpenShop) -> None:
    fake, ready = Fake("sandbox"), asyncio.Event()
    fake.script(*[accept(ready)] * 5)
    async with open_shop(fake) as shop:
        run, ids = shop.run(), [await shop.order() for _ in range(5)]
        walks = [asyncio.create_task(run.walk(task_id)) for task_id in ids]
        async with asyncio.timeout(PATIENCE):
            for _ in ids:
                await fake.polled.get()
        assert await tasks.claim(shop.house.database, ids[2], shop.house.clock(), shop.house.clock()) is not None
        ready.set()
        await asyncio.gather(*walks)
        states = [(await shop.task(task_id)).state for task_id in ids]
        assert states == [State.RUNNING if index == 2 else State.SUCCEEDED for index in range(5)]
        assert await stored(shop) == 4
        await shop.check()


async def test_a_worker_that_stops_hands_its_tasks_back_together(
    open_shop: OpenShop, passed: Passed, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    again = journal.again

    async def counted(database: Any, jobs: Any, holder: Any) -> None:
        groups.append(len(jobs))
        await again(database, jobs, holder)

    monkeypatch.setattr(journal, "again", counted)
    fake, hold = Fake("sandbox"), asyncio.Event()
    fake.script(*[accept(*[0.1] * 1000, hold)] * 60)
    async with open_shop(fake, work=True) as first:
        ids = [await first.order() for _ in range(60)]
        async with asyncio.timeout(PATIENCE):
            while len(fake.jobs) < 60:
                await fake.polled.get()
    assert sum(groups) == 60
    assert len(groups) < 20
    for job in fake.jobs:
        job.steps.clear()
    ended = passed("run.finished")
    async with open_shop(fake, work=True) as second:
        for _ in ids:
            await ended.next()
        assert len(fake.submissions) == 60
        await second.check()

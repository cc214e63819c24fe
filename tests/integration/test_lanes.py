"""Live tasks, test tasks, the callbacks of each and cancels have slots of their own.

What was queued before they had is still worked on.
"""

import asyncio
from typing import Any

import pytest
from tests.integration.workshop import PRICE, OpenShop, Workshop

from tessera.db import audit, stats, webhooks
from tessera.domain.task import Mode, State
from tessera.engine import queue, worker
from tessera.providers.fake import Fake, accept
from tessera.testing.mailbox import PATIENCE
from tessera.testing.plugin import Passed
from tessera.testing.servers import Answer, Receiver

SLOTS: dict[str, Any] = {"worker_concurrency": 2, "worker_test_concurrency": 2, "drain_seconds": 0}


def providers() -> tuple[Fake, Fake]:
    """What serves test keys, and what serves live ones."""
    return Fake("sandbox"), Fake("studio")


async def _fill(shop: Workshop, fake: Fake, **order: Any) -> None:
    """Order more tasks than there are slots, and wait until every slot has one of them."""
    for _ in range(6):
        await shop.order(**order)
    async with asyncio.timeout(PATIENCE):
        for _ in range(2):
            await fake.polled.get()


@pytest.mark.parametrize("flooded", list(Mode))
async def test_a_lane_full_of_hanging_tasks_does_not_delay_the_other(
    open_shop: OpenShop, passed: Passed, flooded: Mode
) -> None:
    test, live = providers()
    hanging, other = (test, live) if flooded is Mode.TEST else (live, test)
    never, ended = asyncio.Event(), passed("run.finished")
    hanging.script(*(accept(never) for _ in range(6)))
    async with open_shop(test, live, work=True, live_credits=10 * PRICE, **SLOTS) as shop:
        keys = {Mode.TEST: shop.key, Mode.LIVE: shop.live}
        await _fill(shop, hanging, key=keys.pop(flooded))
        (free,) = keys.values()
        task_id = await shop.order(key=free)
        await ended.next()
        assert (await shop.task(task_id)).state is State.SUCCEEDED
        assert [len(hanging.submissions), len(other.submissions)] == [2, 1]


async def test_a_test_task_queued_before_there_were_lanes_is_still_run(open_shop: OpenShop, passed: Passed) -> None:
    fake, ended = Fake("sandbox"), passed("run.finished")
    async with open_shop(fake) as accepting:
        task_id = await accepting.order()
        async with accepting.house.database.transaction() as connection:
            await connection.execute("DELETE FROM pgqueuer")
            await queue.put(connection, "task", [task_id])
    async with open_shop(fake, work=True) as working:
        await ended.next()
        assert (await working.task(task_id)).state is State.SUCCEEDED


async def test_each_mode_is_put_into_its_own_lane(open_shop: OpenShop) -> None:
    test, live = providers()
    async with open_shop(test, live, live_credits=10 * PRICE) as shop:
        ids = {key.mode: await shop.order(key=key) for key in (shop.key, shop.live)}
        jobs = {job.kind: job.subject for job in await audit.jobs(shop.house.database)}
        assert jobs == {"task-test": ids[Mode.TEST], "task": ids[Mode.LIVE]}


# ---- callbacks ----


async def _all_hang(shop: Workshop, receiver: Receiver, go: asyncio.Event, count: int, **order: Any) -> list[str]:
    """Order tasks whose callbacks all hang, and wait until as many as there are slots for have come."""
    receiver.script(*(Answer(until=go) for _ in range(count)))
    ids = [await shop.order(callback=f"{receiver.url}/hang", **order) for _ in range(count)]
    for _ in range(count):
        await receiver.next()
    return ids


def slots(monkeypatch: pytest.MonkeyPatch, live: int, test: int, part: int = 1) -> None:
    for name, value in (("CALLBACKS", live), ("TEST_CALLBACKS", test), ("PART", part)):
        monkeypatch.setattr(worker, name, value)


@pytest.mark.parametrize("flooded", list(Mode))
async def test_receivers_that_hang_delay_neither_the_callbacks_of_the_other_mode_nor_a_cancel(
    open_shop: OpenShop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, flooded: Mode
) -> None:
    test, live = providers()
    slots(monkeypatch, 2, 2)
    monkeypatch.setattr(worker, "CANCELS", 2)
    go = asyncio.Event()
    async with open_shop(test, live, work=True, live_credits=10 * PRICE, drain_seconds=0) as shop:
        keys = {Mode.TEST: shop.key, Mode.LIVE: shop.live}
        await _all_hang(shop, receiver, go, 2, key=keys.pop(flooded))
        (free,) = keys.values()
        told = await shop.order(key=free, callback=f"{receiver.url}/told")
        assert (await receiver.next()).path == "/told"
        assert (await shop.task(told)).state is State.SUCCEEDED
        await _cancel_one(shop, test)
        go.set()


async def _cancel_one(shop: Workshop, fake: Fake) -> None:
    """Cancel a running task, and wait until its provider has heard of it."""
    hanging = asyncio.Event()
    fake.script(accept(hanging))
    task_id = await shop.order()
    async with asyncio.timeout(PATIENCE):
        while (await fake.polled.get()) != fake.jobs[-1].upstream_id or fake.jobs[-1].job.task_id != task_id:
            pass
        await shop.house.finish.cancel(task_id, shop.account.id)
        while not fake.jobs[-1].canceled:
            await asyncio.sleep(0.02)
    hanging.set()


async def test_one_account_holds_a_part_of_the_slots_only(
    open_shop: OpenShop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots(monkeypatch, 8, 8, part=4)
    monkeypatch.setattr(worker, "SOON", worker.SOON / 10)
    go = asyncio.Event()
    async with open_shop(Fake("sandbox"), work=True, drain_seconds=0) as shop:
        house = shop.house
        other = await house.accounts.create("other")
        key = (await house.accounts.create_key(other, Mode.TEST)).key
        await house.accounts.grant(other, Mode.TEST, PRICE)
        await _all_hang(shop, receiver, go, 2)
        crowded = await shop.order(callback=f"{receiver.url}/crowded")
        async with asyncio.timeout(PATIENCE):
            while not await _put_off(house, crowded):
                await asyncio.sleep(0.02)
        await shop.order(key=key, callback=f"{receiver.url}/other")
        assert (await receiver.next()).path == "/other", "the slots that are left are for others"
        go.set()
        assert (await receiver.next()).path == "/crowded", "it comes back"


async def _put_off(house: Any, task_id: str) -> bool:
    """Whether the callback of this task was taken up, and handed back without a try."""
    for delivery in await webhooks.of_task(house.database, task_id):
        query = "SELECT attempts FROM pgqueuer WHERE payload = $1"
        return bool(await house.database.pool.fetchval(query, delivery.id.encode()))
    return False


async def test_a_callback_is_put_into_the_lane_of_its_task(open_shop: OpenShop, receiver: Receiver) -> None:
    test, live = providers()
    async with open_shop(test, live, live_credits=10 * PRICE) as shop:
        for key in (shop.key, shop.live):
            await shop.walk(await shop.order(key=key, callback=receiver.url))
        lines = [line for line in await stats.jobs(shop.house.database) if line.kind.startswith("callback")]
        assert {line.kind: line.count for line in lines} == {"callback": 1, "callback-test": 1}


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_callback_that_is_told_again_goes_the_same_way(
    open_shop: OpenShop, receiver: Receiver, mode: Mode
) -> None:
    test, live = providers()
    async with open_shop(test, live, live_credits=10 * PRICE) as shop:
        task_id = await shop.order(key=shop.live if mode is Mode.LIVE else shop.key, callback=receiver.url)
        await shop.walk(task_id)
        (delivery,) = await shop.deliveries(task_id)
        await shop.house.database.pool.execute("UPDATE deliveries SET state = 'failed'")
        await shop.house.database.pool.execute("DELETE FROM pgqueuer")
        assert await shop.house.finish.tell_again(delivery.id, shop.account.id)
        (job,) = await audit.jobs(shop.house.database)
        assert (job.kind, job.subject) == (queue.CALLBACKS[mode], delivery.id)
        assert await shop.house.finish.tell_again("msg_none", shop.account.id) is None


async def test_a_callback_of_a_test_task_queued_before_there_were_lanes_is_still_told(
    open_shop: OpenShop, receiver: Receiver
) -> None:
    fake = Fake("sandbox")
    async with open_shop(fake) as ending:
        await ending.walk(await ending.order(callback=receiver.url))
        await ending.house.database.pool.execute(
            "UPDATE pgqueuer SET entrypoint = 'callback' WHERE entrypoint = 'callback-test'"
        )
    async with open_shop(fake, work=True):
        await receiver.next()

"""Live and test tasks have slots of their own, and what was queued before they had is still worked on."""

import asyncio
from typing import Any

import pytest
from tests.integration.workshop import PRICE, OpenShop, Workshop

from tessera.db import audit
from tessera.domain.task import Mode, State
from tessera.engine import queue
from tessera.providers.fake import Fake, accept
from tessera.testing.mailbox import PATIENCE
from tessera.testing.plugin import Passed

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

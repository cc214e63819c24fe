"""The worker: real jobs from a real queue, and what becomes of them when it stops or stumbles."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.workshop import OpenShop

from tessera.db.connection import Database
from tessera.domain.task import State
from tessera.engine import faults, queue, worker
from tessera.providers.fake import Fake, accept, finish
from tessera.testing.mailbox import PATIENCE
from tessera.testing.plugin import Passed
from tessera.testing.servers import Receiver


async def jobs(database: Database) -> dict[tuple[str, str], int]:
    async with database.transaction() as connection:
        return await queue.depth(connection)


async def test_an_accepted_task_is_run_and_told(open_shop: OpenShop, receiver: Receiver, passed: Passed) -> None:
    told = passed("callback.recorded")
    async with open_shop(Fake("sandbox"), work=True) as shop:
        assert shop.house.worker.alive
        task_id = await shop.order(callback=f"{receiver.url}/hook")
        request = await receiver.next()
        assert task_id.encode() in request.body
        await told.next()
        assert (await shop.task(task_id)).state is State.SUCCEEDED
        assert [delivery.state for delivery in await shop.deliveries(task_id)] == ["delivered"]
        await shop.check()
    assert not shop.house.worker.alive


async def test_many_tasks_are_held_at_the_same_time(open_shop: OpenShop, passed: Passed) -> None:
    fake, hold, ended = Fake("sandbox"), asyncio.Event(), passed("run.finished")
    fake.script(*(accept(hold) for _ in range(60)))
    async with open_shop(fake, work=True) as shop:
        ids = await asyncio.gather(*(shop.order() for _ in range(60)))
        async with asyncio.timeout(PATIENCE):
            for _ in ids:
                await fake.polled.get()
        assert shop.house.worker.holding == 60
        hold.set()
        for _ in ids:
            await ended.next()
        assert {(await shop.task(task_id)).state for task_id in ids} == {State.SUCCEEDED}
        assert len(fake.jobs) == 60
        await shop.check()


async def test_a_worker_that_drains_hands_its_tasks_to_the_next(open_shop: OpenShop, passed: Passed) -> None:
    fake = Fake("sandbox")
    fake.script(*(accept(*([0.5] * 100_000)) for _ in range(5)))
    async with open_shop(fake, work=True) as first:
        ids = [await first.order() for _ in range(5)]
        async with asyncio.timeout(PATIENCE):
            while len(set(fake.polls)) < 5:
                await fake.polled.get()
    assert not first.house.worker.holding
    for booked in fake.jobs:
        booked.steps.clear()
    ended = passed("run.finished")
    async with open_shop(fake, work=True) as second:
        for _ in ids:
            await ended.next()
        assert {(await second.task(task_id)).state for task_id in ids} == {State.SUCCEEDED}
        assert {(await second.task(task_id)).epoch for task_id in ids} == {2}
        assert len(fake.submissions) == 5
        await second.check()


async def test_what_does_not_end_while_draining_is_left_to_the_next(open_shop: OpenShop, passed: Passed) -> None:
    fake, hold = Fake("sandbox", idempotent=True), asyncio.Event()
    fake.script(finish(until=hold))
    async with open_shop(fake, work=True, drain_seconds=0.05) as first:
        task_id = await first.order()
        async with asyncio.timeout(PATIENCE):
            await fake.called.get()
    assert not fake.jobs
    hold.set()
    ended = passed("run.finished")
    async with open_shop(fake, work=True) as second:
        await ended.next()
        assert (await second.task(task_id)).state is State.SUCCEEDED
        assert [len(fake.submissions), len(fake.jobs)] == [2, 1]
        await second.check()


async def test_a_process_without_patience_leaves_its_jobs_to_be_found(open_shop: OpenShop, passed: Passed) -> None:
    fake, hold = Fake("sandbox"), asyncio.Event()
    fake.script(accept(hold))
    async with open_shop(fake, work=True, drain_seconds=0) as first:
        task_id = await first.order()
        async with asyncio.timeout(PATIENCE):
            await fake.polled.get()
    hold.set()
    ended = passed("run.finished")
    async with open_shop(fake, work=True, heartbeat_seconds=0.3) as second:
        await ended.next()
        assert (await second.task(task_id)).state is State.SUCCEEDED
        assert len(fake.submissions) == 1
        await second.check()


async def test_two_workers_share_the_queue_and_no_task(open_shop: OpenShop, passed: Passed, tmp_path: Path) -> None:
    fake, ended = Fake("sandbox"), passed("run.finished")
    terms = {"work": True, "data_dir": tmp_path / "files of both"}
    async with open_shop(fake, **terms) as first, open_shop(fake, **terms) as second:
        ids = await asyncio.gather(*(shop.order() for shop in (first, second) for _ in range(30)))
        for _ in ids:
            await ended.next()
        assert len(fake.submissions) == 60
        assert {(await first.task(task_id)).epoch for task_id in ids} == {1}
        await first.check()


async def test_a_walk_that_stumbles_is_walked_again(
    open_shop: OpenShop, passed: Passed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "AGAIN", timedelta(milliseconds=10))
    fake, ended = Fake("sandbox", idempotent=True), passed("run.finished")
    stumbles = [OSError("the disk is full"), ConnectionError("the database went away"), RuntimeError("a fault")]

    async def stumble() -> None:
        if stumbles:
            raise stumbles.pop()

    faults.arm("run.called", stumble)
    async with open_shop(fake, work=True) as shop:
        task_id = await shop.order()
        await ended.next()
        assert (await shop.task(task_id)).state is State.SUCCEEDED
        assert [len(fake.submissions), len(fake.jobs)] == [4, 1]
        await shop.check()


async def test_a_worker_survives_the_loss_of_its_connections(open_shop: OpenShop, passed: Passed) -> None:
    fake, ended = Fake("sandbox"), passed("run.finished")
    async with open_shop(fake, work=True) as shop:
        await shop.order()
        await ended.next()
        pool = shop.house.database.pool
        async with shop.house.database.transaction() as connection:
            await connection.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
                """
            )
        assert await pool.fetchval("SELECT 1") == 1
        await shop.order()
        await ended.next()
        assert shop.house.worker.alive
        await shop.check()


async def test_a_job_that_is_done_leaves_the_queue(open_shop: OpenShop, receiver: Receiver, passed: Passed) -> None:
    told = passed("callback.recorded")
    async with open_shop(Fake("sandbox"), work=True) as shop:
        await shop.order(callback=receiver.url)
        await told.next()
        database = shop.house.database
        assert {kind for kind, _ in await jobs(database)} <= {"task-test", "callback-test"}
    async with open_shop(Fake("sandbox")) as shop:
        assert await jobs(shop.house.database) == {}

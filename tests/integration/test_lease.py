"""Leases that bind: only the holder of a job ends it, puts it back or keeps it; only a done one leaves the queue."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from tests.integration.workshop import OpenShop

from tessera.db import audit, tasks
from tessera.db.connection import Database
from tessera.domain.task import State
from tessera.engine import faults, lease, queue
from tessera.providers.fake import Fake, accept
from tessera.testing.gateway import OpenHouse
from tessera.testing.mailbox import PATIENCE
from tessera.testing.plugin import Passed

LONG = timedelta(minutes=5)
NOTHING = timedelta(0)


async def put(database: Database, subject: str = "t1") -> None:
    async with database.transaction() as connection:
        await queue.put(connection, "task", [subject])


async def pick(built: PgQueuer, timeout: timedelta) -> list[Job]:
    """What this queue takes: jobs that nobody holds, or holds no more after ``timeout`` without a heartbeat."""
    from pgqueuer.ports.repository import EntrypointExecutionParameter
    from pgqueuer.types import QueueEntrypoint

    both = {QueueEntrypoint(kind): EntrypointExecutionParameter(0) for kind in ("task", "task-test")}
    return await built.qm.queries.dequeue(10, both, built.qm.queue_manager_id, None, timeout)


async def statuses(database: Database) -> list[str]:
    return [job.status for job in await audit.jobs(database)]


async def test_a_worker_that_lost_a_job_can_neither_end_it_nor_put_it_back_nor_keep_it(open_house: OpenHouse) -> None:
    async with open_house(work=False, provided={}) as house:
        slow, quick = lease.build(house.database), lease.build(house.database)
        await put(house.database)
        (lost,) = await pick(slow, LONG)
        (held,) = await pick(quick, NOTHING)
        assert lost.id == held.id
        await slow.qm.queries.log_jobs([(lost, "successful", None)])
        await slow.qm.queries.retry_job(lost, NOTHING, None)
        assert await statuses(house.database) == ["picked"], "its new holder may die, and then nobody would know of it"
        before = await _heartbeat(house.database)
        await slow.qm.queries.update_heartbeat([lost.id])
        assert await _heartbeat(house.database) == before
        await quick.qm.queries.update_heartbeat([held.id])
        assert await _heartbeat(house.database) > before
        await quick.qm.queries.log_jobs([(held, "successful", None)])
        assert await statuses(house.database) == []


async def _heartbeat(database: Database) -> Any:
    return await database.pool.fetchval("SELECT heartbeat FROM pgqueuer")


async def test_a_job_that_is_put_back_can_be_taken_by_anybody(open_house: OpenHouse) -> None:
    async with open_house(work=False, provided={}) as house:
        first, second = lease.build(house.database), lease.build(house.database)
        await put(house.database)
        (job,) = await pick(first, LONG)
        await first.qm.queries.retry_job(job, NOTHING, None)
        assert [each.id for each in await pick(second, LONG)] == [job.id]


@pytest.mark.parametrize("status", ["exception", "canceled", "failed"])
async def test_only_a_job_that_was_done_leaves_the_queue(open_house: OpenHouse, status: Any) -> None:
    async with open_house(work=False, provided={}) as house:
        built = lease.build(house.database)
        await put(house.database)
        (job,) = await pick(built, LONG)
        await built.qm.queries.log_jobs([(job, status, None)])
        assert await statuses(house.database) == ["picked"]
        assert [each.id for each in await pick(lease.build(house.database), NOTHING)] == [job.id]


async def test_a_job_that_cannot_be_put_back_waits_for_its_lease_to_run_out(open_house: OpenHouse) -> None:
    async with open_house(work=False, provided={}) as house:
        built = lease.build(house.database)
        await put(house.database)
        (job,) = await pick(built, LONG)
        await house.database.pool.execute("ALTER TABLE pgqueuer_log RENAME TO elsewhere")
        await built.qm.queries.retry_job(job, NOTHING, None)
        await house.database.pool.execute("ALTER TABLE elsewhere RENAME TO pgqueuer_log")
        assert await statuses(house.database) == ["picked"]
        assert await pick(lease.build(house.database), LONG) == []
        assert len(await pick(lease.build(house.database), NOTHING)) == 1


async def test_a_queue_whose_connection_the_pool_took_back_can_be_hung_up(open_house: OpenHouse) -> None:
    async with open_house(work=False, provided={}) as house:
        built = lease.build(house.database)
        await built.connection.add_listener("anything", lambda payload: None)
        (taken,) = (each for each in house.database.pool._holders if each._in_use is not None)
        await taken._con.close()
        async with asyncio.timeout(PATIENCE):
            while taken._in_use is not None:
                await asyncio.sleep(0)
        lease.hang_up(built)
        lease.hang_up(built)


async def test_jobs_that_are_put_back_together_each_wait_for_their_own_time(open_house: OpenHouse) -> None:
    async with open_house(work=False, provided={}) as house:
        first, second = lease.build(house.database), lease.build(house.database)
        for index in range(3):
            await put(house.database, f"t{index}")
        soon, late, lost = sorted(await pick(first, LONG), key=lambda job: job.payload or b"")
        await house.database.pool.execute(
            "UPDATE pgqueuer SET heartbeat = now() - $2::interval WHERE id = $1", lost.id, 2 * LONG
        )
        assert [job.id for job in await pick(second, LONG)] == [lost.id]
        back = first.qm.queries.retry_job
        await asyncio.gather(back(soon, NOTHING, None), back(late, LONG, None), back(lost, NOTHING, None))
        rows = await house.database.pool.fetch(
            "SELECT convert_from(payload, 'UTF8') AS subject, status::text FROM pgqueuer ORDER BY 1"
        )
        assert [tuple(row) for row in rows] == [("t0", "queued"), ("t1", "queued"), ("t2", "picked")]
        assert [job.id for job in await pick(second, LONG)] == [soon.id]


async def test_a_lost_database_ends_the_queue_at_once(open_house: OpenHouse) -> None:
    async with open_house(work=False, provided={}) as house:
        built = lease.build(house.database)
        assert not built.shutdown.is_set()
        with pytest.raises(asyncpg.PostgresError):
            await built.connection.fetch("SELECT 1/0")
        assert built.shutdown.is_set()


# ---- whole workers ----


async def test_a_lost_database_keeps_no_worker_from_new_work_while_it_holds_old(
    open_shop: OpenShop, passed: Passed
) -> None:
    fake, hold, ended = Fake("sandbox"), asyncio.Event(), passed("run.finished")
    fake.script(accept(hold), accept())
    async with open_shop(fake, work=True) as shop:
        old = await shop.order()
        await asyncio.wait_for(fake.polled.get(), PATIENCE)
        async with shop.house.database.transaction() as connection:
            await connection.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
                """
            )
        young = await shop.order()
        await ended.next()
        assert [(await shop.task(each)).state for each in (old, young)] == [State.RUNNING, State.SUCCEEDED]
        hold.set()
        await ended.next()
        assert (await shop.task(old)).state is State.SUCCEEDED
        assert [len(fake.submissions), (await shop.task(old)).epoch] == [2, 1]
        await shop.check()


async def test_a_worker_that_wakes_up_late_leaves_the_job_to_its_new_holder(
    open_shop: OpenShop, passed: Passed, tmp_path: Path
) -> None:
    fake, asleep, wake = Fake("sandbox"), asyncio.Event(), asyncio.Event()
    terms = {"work": True, "data_dir": tmp_path / "files of both"}

    async def sleep() -> None:
        asleep.set()
        await wake.wait()

    faults.arm("run.submitted", sleep)
    async with open_shop(fake, **terms) as shop:
        task_id = await shop.order()
        await asyncio.wait_for(asleep.wait(), PATIENCE)
        database, now = shop.house.database, shop.house.clock()
        other = lease.build(database)
        (job,) = await pick(other, NOTHING)
        assert await tasks.claim(database, task_id, now, now) is not None
        wake.set()
    # It was closed, and so had said all that it had to say to the queue.
    async with open_shop(fake, **terms, dequeue_seconds=60) as shop:
        assert await statuses(shop.house.database) == ["picked"]
        faults.disarm()
        ended = passed("run.finished")
        await lease.build(shop.house.database).qm.queries.retry_job(job, NOTHING, None)
        assert await statuses(shop.house.database) == ["picked"], "a stranger cannot put it back"
        await shop.house.database.pool.execute("UPDATE pgqueuer SET heartbeat = now() - interval '1 hour'")
    async with open_shop(fake, **terms) as shop:
        await ended.next()
        assert (await shop.task(task_id)).state is State.SUCCEEDED
        assert len(fake.jobs) == 1
        await shop.check()

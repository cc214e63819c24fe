"""The queue's own tables, where its library leaves something to be wished for: leases that bind, a journal kept short.

A job is ended, repeated and kept alive by its holder only. A worker that was away for longer than its lease finds its
jobs in other hands, and must leave them there: a job that it ended would be gone when the other one dies.

Whoever changes many jobs locks them in the order of their ids, so that no two statements wait for each other.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from tessera.db.connection import Connection, Database


async def done(database: Database, jobs: Sequence[int], holder: UUID) -> None:
    """Take these jobs out of the queue and note them, as far as ``holder`` still holds them."""
    await database.pool.execute(
        """
        WITH mine AS (
            SELECT id FROM pgqueuer WHERE id = ANY($1::bigint[]) AND queue_manager_id = $2 ORDER BY id FOR UPDATE
        ), gone AS (
            DELETE FROM pgqueuer q USING mine WHERE q.id = mine.id RETURNING q.id, q.entrypoint, q.priority
        )
        INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
        SELECT id, 'successful', entrypoint, priority FROM gone
        """,
        jobs,
        holder,
    )


async def again(database: Database, jobs: Sequence[tuple[int, timedelta]], holder: UUID) -> None:
    """Put jobs back, each to be done after its wait, as far as ``holder`` still holds them."""
    await database.pool.execute(
        """
        WITH mine AS (
            SELECT q.id, n.wait FROM pgqueuer q JOIN unnest($1::bigint[], $2::interval[]) AS n (id, wait) USING (id)
            WHERE q.queue_manager_id = $3 ORDER BY q.id FOR UPDATE OF q
        ), back AS (
            UPDATE pgqueuer q SET status = 'queued', execute_after = now() + mine.wait, attempts = attempts + 1,
                                  updated = now(), queue_manager_id = NULL
            FROM mine WHERE q.id = mine.id RETURNING q.id, q.entrypoint, q.priority
        )
        INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
        SELECT id, 'queued', entrypoint, priority FROM back
        """,
        [job for job, _ in jobs],
        [wait for _, wait in jobs],
        holder,
    )


async def beat(database: Database, jobs: Sequence[int], holder: UUID) -> None:
    """Renew the lease of these jobs, as far as ``holder`` still holds them."""
    await database.pool.execute(
        """
        WITH mine AS (
            SELECT id FROM pgqueuer WHERE id = ANY($1::bigint[]) AND queue_manager_id = $2 ORDER BY id FOR UPDATE
        )
        UPDATE pgqueuer q SET heartbeat = now() FROM mine WHERE q.id = mine.id
        """,
        jobs,
        holder,
    )


async def trim(connection: Connection, before: datetime, *, limit: int) -> int:
    """Remove the oldest lines that the queue has counted already; answers how many."""
    status = await connection.execute(
        """
        DELETE FROM pgqueuer_log WHERE id IN (
            SELECT id FROM pgqueuer_log WHERE aggregated AND created < $1
            ORDER BY created LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        before,
        limit,
    )
    return int(status.split()[-1])


async def forget(connection: Connection, before: datetime, *, limit: int) -> int:
    """Remove the queue's oldest counts, which nobody asks for; answers how many."""
    status = await connection.execute(
        """
        DELETE FROM pgqueuer_statistics WHERE id IN (
            SELECT id FROM pgqueuer_statistics WHERE created < $1 ORDER BY created LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        before,
        limit,
    )
    return int(status.split()[-1])

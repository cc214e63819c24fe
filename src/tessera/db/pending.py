"""Objects on their way into the store: on record before their bytes are, so that no crash leaves bytes nobody knows of.

The row goes with the transaction that writes the asset (``assets.put``). One that stays is what a crash left behind.
"""

from collections.abc import Sequence
from datetime import datetime

from tessera.db.assets import Mark, Page, page
from tessera.db.connection import Connection, Database
from tessera.domain.task import Task

HELD = "state = 'running' OR state = 'failed' AND reason = 'deadline_passed'"
"""The states from which a claim may still bring a task to success, as in ``tasks.held``."""

PUT = """
    ON CONFLICT (key) DO UPDATE
    SET task_id = excluded.task_id, epoch = excluded.epoch, created_at = excluded.created_at
"""


async def output(database: Database, task: Task, key: str, now: datetime) -> bool:
    """Note that a claim is about to store an output; False when it was lost, and nothing is to be stored."""
    status = await database.pool.execute(
        f"""
        INSERT INTO pending_objects (key, task_id, epoch, created_at)
        SELECT $3, id, epoch, $4 FROM tasks WHERE id = $1 AND epoch = $2 AND ({HELD})
        {PUT}
        """,
        task.id,
        task.epoch,
        key,
        now,
    )
    return bool(status == "INSERT 0 1")


async def upload(database: Database, keys: Sequence[str], now: datetime) -> None:
    """Note that an upload is about to be stored under these keys."""
    # In one order everywhere, so that no two wait for each other.
    await database.pool.execute(
        f"""
        INSERT INTO pending_objects (key, created_at)
        SELECT key, $2 FROM unnest($1::text[]) AS n (key) ORDER BY key
        {PUT}
        """,
        keys,
        now,
    )


async def orphans(connection: Connection, before: datetime, *, after: Mark, limit: int) -> Page:
    """Keys noted before ``before`` that no asset has and no claim can bring home any more, locked.

    ``after`` is where the page before ended. A lost claim stays lost, so what is an orphan once is one for good;
    whoever notes the key anew waits for the lock.
    """
    rows = await connection.fetch(
        f"""
        SELECT key, created_at FROM pending_objects p WHERE created_at < $1 AND (created_at, key) > ($2, $3)
        AND NOT EXISTS (SELECT FROM assets a WHERE a.key = p.key AND a.purged_at IS NULL)
        AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = p.task_id AND t.epoch = p.epoch AND ({HELD}))
        ORDER BY created_at, key LIMIT $4 FOR UPDATE OF p SKIP LOCKED
        """,
        before,
        *after,
        limit,
    )
    return Page([row["key"] for row in rows], page(rows, limit))


async def doubtful(database: Database, before: datetime, *, after: Mark, limit: int) -> Page:
    """Keys of uploads noted before ``before`` that took the place of another file, or failed to: their row may be the
    one of the other. Nothing is locked.
    """
    rows = await database.pool.fetch(
        """
        SELECT p.key, p.created_at FROM pending_objects p JOIN assets a USING (key)
        WHERE p.created_at < $1 AND (p.created_at, p.key) > ($2, $3) AND a.origin = 'upload' AND a.purged_at IS NULL
        ORDER BY p.created_at, p.key LIMIT $4
        """,
        before,
        *after,
        limit,
    )
    return Page([row["key"] for row in rows], page(rows, limit))


async def forget(connection: Connection, keys: Sequence[str]) -> None:
    """Remove the rows of objects that are gone."""
    await connection.execute("DELETE FROM pending_objects WHERE key = ANY($1)", keys)

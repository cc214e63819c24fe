"""Objects on their way into the store: on record before their bytes are, so that no crash leaves bytes nobody knows of.

The row goes with the transaction that writes the asset (``assets.put``). One that stays is what a crash left behind.
"""

from collections.abc import Sequence
from datetime import datetime

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


async def upload(database: Database, key: str, now: datetime) -> None:
    """Note that an upload is about to be stored."""
    await database.pool.execute(f"INSERT INTO pending_objects (key, created_at) VALUES ($1, $2) {PUT}", key, now)


async def orphans(connection: Connection, before: datetime, *, limit: int) -> list[str]:
    """Keys noted before ``before`` that no asset has and no claim can bring home any more, locked.

    A lost claim stays lost, so what is an orphan once is one for good; whoever notes the key anew waits for the lock.
    """
    rows = await connection.fetch(
        f"""
        SELECT key FROM pending_objects p WHERE created_at < $1
        AND NOT EXISTS (SELECT FROM assets a WHERE a.key = p.key AND a.purged_at IS NULL)
        AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = p.task_id AND t.epoch = p.epoch AND ({HELD}))
        ORDER BY created_at LIMIT $2 FOR UPDATE OF p SKIP LOCKED
        """,
        before,
        limit,
    )
    return [row["key"] for row in rows]


async def forget(connection: Connection, keys: Sequence[str]) -> None:
    """Remove the rows of objects that are gone."""
    await connection.execute("DELETE FROM pending_objects WHERE key = ANY($1)", keys)

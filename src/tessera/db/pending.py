"""Objects on their way into the store: on record before their bytes are, so that no crash leaves bytes nobody knows of.

The row goes with the transaction that writes the asset (``assets.put``). One that stays is what a crash left behind.
"""

from collections.abc import Sequence
from datetime import datetime

from tessera.db.assets import Mark, Page, page
from tessera.db.connection import Connection, Database
from tessera.domain.task import Task

HELD = "t.state = 'running' OR t.state = 'failed' AND t.reason = 'deadline_passed'"
"""The states of a task ``t`` from which its claim may still bring it to success, as in ``tasks.held``."""

PUT = """
    ON CONFLICT (key) DO UPDATE
    SET task_id = excluded.task_id, epoch = excluded.epoch, created_at = excluded.created_at
"""


async def outputs(database: Database, notes: Sequence[tuple[Task, str]], now: datetime) -> set[str]:
    """Note that claims are about to store outputs under these keys; answers the keys that were noted.

    The claim of any other was lost, and nothing is to be stored for it.
    """
    # In one order everywhere, so that no two wait for each other.
    rows = await database.pool.fetch(
        f"""
        INSERT INTO pending_objects (key, task_id, epoch, created_at)
        SELECT DISTINCT ON (n.key) n.key, t.id, t.epoch, $4
        FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n (id, epoch, key)
        JOIN tasks t ON t.id = n.id AND t.epoch = n.epoch AND ({HELD}) ORDER BY n.key
        {PUT} RETURNING key
        """,
        [task.id for task, _ in notes],
        [task.epoch for task, _ in notes],
        [key for _, key in notes],
        now,
    )
    return {row["key"] for row in rows}


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


async def orphans(connection: Connection, before: datetime, *, late: datetime, after: Mark, limit: int) -> Page:
    """Keys noted before ``before`` that no asset has and no claim can bring home any more, locked.

    A task that passed its deadline before ``late`` is claimed no more, as in ``tasks.claim``: whoever had it when it
    ended has been done with it for long. ``after`` is where the page before ended. A lost claim stays lost, so what is
    an orphan once is one for good; whoever notes the key anew waits for the lock.
    """
    rows = await connection.fetch(
        f"""
        SELECT key, created_at FROM pending_objects p WHERE created_at < $1 AND (created_at, key) > ($2, $3)
        AND NOT EXISTS (SELECT FROM assets a WHERE a.key = p.key AND a.purged_at IS NULL)
        AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = p.task_id AND t.epoch = p.epoch
                        AND ({HELD}) AND (t.state = 'running' OR t.completed_at > $5))
        ORDER BY created_at, key LIMIT $4 FOR UPDATE OF p SKIP LOCKED
        """,
        before,
        *after,
        limit,
        late,
    )
    return Page([row["key"] for row in rows], page(rows, limit))


async def doubtful(database: Database, before: datetime, *, after: Mark, limit: int) -> list[Mark]:
    """Notes before ``before`` of uploads that took the place of another file, or failed to: their row may be the one
    of the other. The oldest first, each as when it was made and its key. Nothing is locked.
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
    return [(row["created_at"], row["key"]) for row in rows]


async def settled(connection: Connection, note: Mark) -> None:
    """Remove the note of an upload that is in doubt no more, unless it was made anew since."""
    await connection.execute("DELETE FROM pending_objects WHERE created_at = $1 AND key = $2", *note)


async def forget(connection: Connection, keys: Sequence[str]) -> None:
    """Remove the rows of objects that are gone."""
    await connection.execute("DELETE FROM pending_objects WHERE key = ANY($1)", keys)

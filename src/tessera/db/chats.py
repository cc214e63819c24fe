"""Calls to language models: a task without a job, whose price is known when it is over."""

from collections.abc import Sequence
from datetime import datetime

from tessera.db.connection import Connection, Database
from tessera.db.tasks import COLUMNS, to_task
from tessera.domain.account import ApiKey
from tessera.domain.task import Task


async def hit(connection: Connection, key: ApiKey, hits: Sequence[int]) -> None:
    """Write the rate window of a wallet, which ``ledger.lock`` has locked: a call that is looked at counts."""
    await connection.execute(
        "UPDATE wallets SET hits = $3 WHERE account_id = $1 AND mode = $2", key.account_id, key.mode.value, list(hits)
    )


async def refund(connection: Connection, task: Task, amount: int, now: datetime) -> None:
    """Give back what of a settled hold was not used: to the wallet, and to the key's caps.

    It belongs into the transaction of the settlement, of which there is one for each task.
    """
    if amount <= 0:
        return
    await connection.execute(
        "UPDATE wallets SET balance = balance + $3 WHERE account_id = $1 AND mode = $2",
        task.account_id,
        task.mode.value,
        amount,
    )
    # Only a window that the hold was counted in gets it back.
    await connection.execute(
        """
        UPDATE api_keys SET
            hour_used = CASE WHEN hour_from <= $2 THEN greatest(0, hour_used - $3) ELSE hour_used END,
            day_used = CASE WHEN day_from <= $2 THEN greatest(0, day_used - $3) ELSE day_used END,
            total_used = greatest(0, total_used - $3)
        WHERE id = $1
        """,
        task.key_id,
        task.created_at,
        amount,
    )
    await connection.execute(
        """
        INSERT INTO ledger (account_id, mode, kind, amount, task_id, created_at)
        VALUES ($1, $2, 'refund', $3, $4, $5)
        """,
        task.account_id,
        task.mode.value,
        amount,
        task.id,
        now,
    )


async def stale(database: Database, before: datetime, *, limit: int) -> list[Task]:
    """Calls that began before a moment and have no end."""
    rows = await database.pool.fetch(
        f"""
        SELECT {COLUMNS} FROM tasks
        WHERE state IN ('waiting', 'running') AND family = 'chat' AND created_at < $1 ORDER BY created_at LIMIT $2
        """,
        before,
        limit,
    )
    return [to_task(row, ()) for row in rows]

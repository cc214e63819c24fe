"""The outbox: deliveries written with the end of a task, and a row for every attempt to make them."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from tessera.db.connection import Connection, Database
from tessera.domain.task import TERMINAL, Mode
from tessera.domain.webhook import Delivery, DeliveryAttempt, DeliveryState

ENDS = [f"task.{state.value}" for state in TERMINAL]
COLUMNS = "id, account_id, task_id, event, url, state, created_at, next_at, ended_at, base"


async def add(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    await connection.executemany(
        """
        INSERT INTO deliveries (id, account_id, task_id, event, url, created_at, next_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)
        """,
        [(d.id, d.account_id, d.task_id, d.event, d.url, d.created_at) for d in deliveries],
    )


async def get(database: Database, delivery_id: str) -> Delivery | None:
    row = await database.pool.fetchrow(f"SELECT {COLUMNS} FROM deliveries WHERE id = $1", delivery_id)
    return _delivery(row) if row else None


async def behind(database: Database, delivery: Delivery) -> bool:
    """Whether something that happened to its task before has not been tried to be told yet.

    A stage is always before the end, whatever the clocks of two workers say.
    """
    return bool(
        await database.pool.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM deliveries e
                WHERE e.task_id = $1 AND e.state = 'pending'
                AND (e.event = ANY($5), e.created_at, e.id) < ($4 = ANY($5), $2, $3)
                AND NOT EXISTS (SELECT FROM delivery_attempts a WHERE a.delivery_id = e.id)
            )
            """,
            delivery.task_id,
            delivery.created_at,
            delivery.id,
            delivery.event,
            ENDS,
        )
    )


async def of_task(database: Database, task_id: str) -> list[Delivery]:
    rows = await database.pool.fetch(
        f"SELECT {COLUMNS} FROM deliveries WHERE task_id = $1 ORDER BY created_at, id", task_id
    )
    return [_delivery(row) for row in rows]


async def of_account(
    database: Database,
    account_id: str,
    *,
    mode: Mode | None = None,
    state: DeliveryState | None = None,
    limit: int = 50,
) -> list[Delivery]:
    """The newest first, of tasks of one mode or of both."""
    rows = await database.pool.fetch(
        f"""
        SELECT {COLUMNS} FROM deliveries d WHERE account_id = $1 AND ($2::text IS NULL OR state = $2)
        AND ($4::text IS NULL OR EXISTS (SELECT FROM tasks t WHERE t.id = d.task_id AND t.mode = $4))
        ORDER BY created_at DESC, id DESC LIMIT $3
        """,
        account_id,
        state.value if state else None,
        limit,
        mode.value if mode else None,
    )
    return [_delivery(row) for row in rows]


async def reopen(connection: Connection, delivery_id: str, account_id: str, now: datetime) -> Delivery | None:
    """A delivery that is over becomes pending once more. None when it is under way, unknown or another account's."""
    row = await connection.fetchrow(
        f"""
        UPDATE deliveries d SET state = 'pending', next_at = $3, ended_at = NULL,
            base = (SELECT count(*) FROM delivery_attempts a WHERE a.delivery_id = d.id)
        WHERE id = $1 AND account_id = $2 AND state <> 'pending' RETURNING {COLUMNS}
        """,
        delivery_id,
        account_id,
        now,
    )
    return _delivery(row) if row else None


async def attempts(database: Database, delivery_id: str) -> list[DeliveryAttempt]:
    """Every POST of a delivery, oldest first."""
    rows = await database.pool.fetch(
        """
        SELECT delivery_id, number, at, seconds, status, error, excerpt
        FROM delivery_attempts WHERE delivery_id = $1 ORDER BY number
        """,
        delivery_id,
    )
    return [DeliveryAttempt(**row) for row in rows]


async def record(
    database: Database, attempt: DeliveryAttempt, state: DeliveryState, next_at: datetime | None, now: datetime
) -> None:
    """Write an attempt and what follows from it, in one transaction."""
    async with database.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO delivery_attempts (delivery_id, number, at, seconds, status, error, excerpt)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (delivery_id, number) DO NOTHING
            """,
            attempt.delivery_id,
            attempt.number,
            attempt.at,
            attempt.seconds,
            attempt.status,
            attempt.error,
            attempt.excerpt,
        )
        await connection.execute(
            "UPDATE deliveries SET state = $2, next_at = $3, ended_at = $4 WHERE id = $1 AND state = 'pending'",
            attempt.delivery_id,
            state.value,
            next_at,
            None if state is DeliveryState.PENDING else now,
        )


def _delivery(row: asyncpg.Record) -> Delivery:
    return Delivery(
        id=row["id"],
        account_id=row["account_id"],
        task_id=row["task_id"],
        event=row["event"],
        url=row["url"],
        state=DeliveryState(row["state"]),
        created_at=row["created_at"],
        next_at=row["next_at"],
        ended_at=row["ended_at"],
        base=row["base"],
    )

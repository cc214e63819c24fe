"""Attempt rows: the intent is committed before anything leaves the house, the upstream id as soon as it is known."""

from collections.abc import Mapping
from datetime import datetime

import asyncpg
import msgspec

from tessera.db.connection import Connection, Database
from tessera.db.errors import border
from tessera.domain.task import Attempt, AttemptState, Task

COLUMNS = "task_id, number, provider, model, idempotency_key, state, upstream_id, created_at, error"


async def intend(connection: Connection, attempt: Attempt) -> None:
    await connection.execute(
        """
        INSERT INTO attempts (task_id, number, provider, model, idempotency_key, state, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        attempt.task_id,
        attempt.number,
        attempt.provider,
        attempt.model,
        attempt.idempotency_key,
        attempt.state.value,
        attempt.created_at,
    )


async def submitted(database: Database, attempt: Attempt, epoch: int, upstream_id: str) -> bool:
    """Write the provider's receipt; False when the claim was lost meanwhile (the receipt is kept all the same).

    Raises Conflict for an upstream id that another attempt has already.
    """
    with border():
        current = await database.pool.fetchval(
            """
            WITH a AS (
                UPDATE attempts SET state = 'submitted', upstream_id = $3
                WHERE task_id = $1 AND number = $2 AND upstream_id IS NULL
            )
            SELECT epoch = $4 FROM tasks WHERE id = $1
            """,
            attempt.task_id,
            attempt.number,
            upstream_id,
            epoch,
        )
    return bool(current)


async def end(
    connection: Connection,
    attempt: Attempt,
    epoch: int,
    state: AttemptState,
    now: datetime,
    *,
    error: str | None = None,
    detail: Mapping[str, object] | None = None,
    facts: Mapping[str, str | int | float] | None = None,
) -> None:
    """Write a verdict, unless the claim was lost. ``detail`` is the operator's: what the provider said, no secrets."""
    await connection.execute(
        """
        UPDATE attempts SET state = $3, ended_at = $4, error = $5, detail = $6, facts = $7
        WHERE task_id = $1 AND number = $2 AND EXISTS (SELECT FROM tasks WHERE id = $1 AND epoch = $8)
        """,
        attempt.task_id,
        attempt.number,
        state.value,
        now,
        error,
        _json(detail),
        _json(facts),
        epoch,
    )


async def of_task(database: Database, task: Task) -> list[Attempt]:
    """The attempts of a task, oldest first."""
    rows = await database.pool.fetch(f"SELECT {COLUMNS} FROM attempts WHERE task_id = $1 ORDER BY number", task.id)
    return [_attempt(row) for row in rows]


def _json(value: Mapping[str, object] | None) -> str | None:
    return msgspec.json.encode(_plain(value)).decode() if value else None


def _plain(value: object) -> object:
    """A value that JSON and the database take: nothing that a provider said may keep an attempt from its end."""
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(_plain(str(key))): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return str(value).replace("\0", "\ufffd").encode(errors="replace").decode()


def _attempt(row: asyncpg.Record) -> Attempt:
    return Attempt(
        task_id=row["task_id"],
        number=row["number"],
        provider=row["provider"],
        model=row["model"],
        idempotency_key=row["idempotency_key"],
        state=AttemptState(row["state"]),
        upstream_id=row["upstream_id"],
        created_at=row["created_at"],
        error=row["error"],
    )

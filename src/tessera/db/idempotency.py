"""Idempotency keys: which task a key of a caller stands for. Read and written under the wallet's lock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tessera.db.connection import Connection
from tessera.domain.task import Mode


@dataclass(frozen=True, slots=True)
class Mark:
    """A key as its account used it; ``digest`` is the SHA-256 of the request."""

    account_id: str
    mode: Mode
    key: str
    digest: bytes
    task_id: str


async def find(
    connection: Connection, keys: Sequence[tuple[str, Mode, str]], since: datetime
) -> dict[tuple[str, Mode, str], Mark]:
    """The marks made after ``since`` under these (account, mode, key)."""
    rows = await connection.fetch(
        """
        SELECT i.account_id, i.mode, i.key, i.digest, i.task_id
        FROM idempotency_keys i
        JOIN unnest($1::text[], $2::text[], $3::text[]) AS n (account_id, mode, key) USING (account_id, mode, key)
        WHERE i.created_at > $4
        """,
        [account_id for account_id, _, _ in keys],
        [mode.value for _, mode, _ in keys],
        [key for _, _, key in keys],
        since,
    )
    marks = [Mark(row["account_id"], Mode(row["mode"]), row["key"], row["digest"], row["task_id"]) for row in rows]
    return {(mark.account_id, mark.mode, mark.key): mark for mark in marks}


async def put(connection: Connection, marks: Sequence[Mark], now: datetime) -> None:
    """Write marks; one that has expired is replaced."""
    await connection.executemany(
        """
        INSERT INTO idempotency_keys (account_id, mode, key, digest, task_id, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (account_id, mode, key) DO UPDATE SET
            digest = excluded.digest, task_id = excluded.task_id, created_at = excluded.created_at
        """,
        [(mark.account_id, mark.mode.value, mark.key, mark.digest, mark.task_id, now) for mark in marks],
    )


async def forget(connection: Connection, before: datetime, *, limit: int) -> int:
    """Remove the oldest marks made up to ``before``; answers how many. One that is renewed at this moment stays."""
    status = await connection.execute(
        """
        DELETE FROM idempotency_keys WHERE (account_id, mode, key) IN (
            SELECT account_id, mode, key FROM idempotency_keys WHERE created_at <= $1
            ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        before,
        limit,
    )
    return int(status.split()[-1])

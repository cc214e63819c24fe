"""Rows of the files that we keep. The bytes lie in the store, under the same key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tessera.db.connection import Connection, Database
from tessera.domain.asset import Asset, Origin

COLUMNS = "key, account_id, task_id, origin, position, media_type, size, sha256, width, height, seconds, created_at"
READ = f"{COLUMNS}, purged_at"

Mark = tuple[datetime, str]
"""Where a page of keys ended: the row after it is younger, or of the same moment and a later key."""

FIRST: Mark = (datetime(1, 1, 1, tzinfo=UTC), "")


@dataclass(frozen=True, slots=True)
class Page:
    """Some keys, the oldest first; ``last`` is None where none are behind them."""

    keys: Sequence[str]
    last: Mark | None


async def put(connection: Connection, assets: Sequence[Asset]) -> None:
    """Write asset rows; the same key again (an upload of the same name) replaces its row.

    With its row an object is pending no more.
    """
    await connection.executemany(
        f"""
        WITH arrived AS (DELETE FROM pending_objects WHERE key = $1)
        INSERT INTO assets ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        ON CONFLICT (key) DO UPDATE SET
            media_type = excluded.media_type, size = excluded.size, sha256 = excluded.sha256, width = excluded.width,
            height = excluded.height, seconds = excluded.seconds, created_at = excluded.created_at,
            purged_at = NULL
        """,
        [
            (
                asset.key,
                asset.account_id,
                asset.task_id,
                asset.origin.value,
                asset.position,
                asset.media_type,
                asset.size,
                asset.sha256,
                asset.width,
                asset.height,
                asset.seconds,
                asset.created_at,
            )
            for asset in assets
        ],
    )


async def get_many(database: Database, keys: Sequence[str]) -> dict[str, Asset]:
    rows = await database.pool.fetch(f"SELECT {READ} FROM assets WHERE key = ANY($1)", keys)
    return {row["key"]: to_asset(tuple(row)) for row in rows}


async def reserve(connection: Connection, key: str) -> None:
    """Until the transaction ends, nobody else writes or purges the file under this key.

    The transaction may wait for the store meanwhile, and for longer than others may idle.
    """
    await connection.execute(
        """
        SELECT set_config('idle_in_transaction_session_timeout', '15min', true),
               pg_advisory_xact_lock(hashtextextended($1, 0))
        """,
        key,
    )


def page(rows: Sequence[Any], limit: int) -> Mark | None:
    """The mark of a page of rows with ``created_at`` and ``key``; None where there were fewer than asked for."""
    return (rows[-1]["created_at"], rows[-1]["key"]) if len(rows) == limit else None


async def expired(connection: Connection, origin: Origin, before: datetime, *, after: Mark, limit: int) -> Page:
    """Keys of the oldest files made before ``before`` that still have their bytes, reserved like by ``reserve``.

    ``after`` is where the page before ended, so that files that cannot be removed do not stand before the others.
    """
    found = await connection.fetch(
        """
        SELECT key, created_at FROM assets
        WHERE origin = $1 AND created_at < $2 AND purged_at IS NULL AND (created_at, key) > ($3, $4)
        ORDER BY created_at, key LIMIT $5
        """,
        origin.value,
        before,
        *after,
        limit,
    )
    keys = sorted(row["key"] for row in found)
    for key in keys:
        await reserve(connection, key)
    # One that was replaced before its lock was had is young again.
    rows = await connection.fetch(
        "SELECT key FROM assets WHERE key = ANY($1) AND created_at < $2 AND purged_at IS NULL", keys, before
    )
    return Page([row["key"] for row in rows], page(found, limit))


async def purged(connection: Connection, keys: Sequence[str], now: datetime) -> None:
    """Note that the bytes of these files are gone."""
    await connection.execute("UPDATE assets SET purged_at = $2 WHERE key = ANY($1)", keys, now)


async def refit(connection: Connection, key: str, *, size: int, sha256: str, media_type: str) -> bool:
    """Write what the bytes of a file really are; False when the row says so already."""
    status = await connection.execute(
        """
        UPDATE assets SET size = $2, sha256 = $3, media_type = $4
        WHERE key = $1 AND purged_at IS NULL AND (size, sha256) IS DISTINCT FROM ($2, $3)
        """,
        key,
        size,
        sha256,
        media_type,
    )
    return bool(status == "UPDATE 1")


async def forget(connection: Connection, before: datetime, *, limit: int) -> int:
    """Remove rows of uploads purged before ``before``; answers how many. Rows of outputs go with their task."""
    status = await connection.execute(
        """
        DELETE FROM assets WHERE key IN (
            SELECT key FROM assets WHERE origin = 'upload' AND purged_at < $1 LIMIT $2
        )
        """,
        before,
        limit,
    )
    return int(status.split()[-1])


def to_asset(values: Sequence[Any]) -> Asset:
    """An asset from the values of ``READ``, in their order."""
    key, account_id, task_id, origin, position, media_type, size, sha256, width, height, seconds, made, purged = values
    return Asset(
        key=key,
        account_id=account_id,
        task_id=task_id,
        origin=Origin(origin),
        position=position,
        media_type=media_type,
        size=size,
        sha256=sha256,
        width=width,
        height=height,
        seconds=seconds,
        created_at=made,
        purged_at=purged,
    )


async def count(database: Database, task_id: str) -> int:
    """How many outputs of a task are on record."""
    found = await database.pool.fetchval(
        "SELECT count(*) FROM assets WHERE task_id = $1 AND origin = 'output'", task_id
    )
    return int(found)


async def give_up(connection: Connection, task_id: str, now: datetime) -> None:
    """The outputs of an attempt that failed on its way are nobody's any more: their bytes are swept as orphans."""
    await connection.execute(
        """
        WITH old AS (DELETE FROM assets WHERE task_id = $1 AND origin = 'output' RETURNING key)
        INSERT INTO pending_objects (key, created_at) SELECT key, $2 FROM old ON CONFLICT (key) DO NOTHING
        """,
        task_id,
        now,
    )

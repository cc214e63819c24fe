"""Rows of the files that we keep. The bytes lie in the store, under the same key."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tessera.db.connection import Connection, Database
from tessera.domain.asset import Asset, Origin

COLUMNS = "key, account_id, task_id, origin, position, media_type, size, sha256, width, height, seconds, created_at"
READ = f"{COLUMNS}, purged_at"


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


async def expired(connection: Connection, origin: Origin, before: datetime, *, limit: int) -> list[str]:
    """Keys of the oldest files made before ``before`` that still have their bytes, reserved like by ``reserve``."""
    rows = await connection.fetch(
        """
        SELECT key FROM assets WHERE origin = $1 AND created_at < $2 AND purged_at IS NULL
        ORDER BY created_at LIMIT $3
        """,
        origin.value,
        before,
        limit,
    )
    keys = sorted(row["key"] for row in rows)
    for key in keys:
        await reserve(connection, key)
    # One that was replaced before its lock was had is young again.
    rows = await connection.fetch(
        "SELECT key FROM assets WHERE key = ANY($1) AND created_at < $2 AND purged_at IS NULL", keys, before
    )
    return [row["key"] for row in rows]


async def purged(connection: Connection, keys: Sequence[str], now: datetime) -> None:
    """Note that the bytes of these files are gone."""
    await connection.execute("UPDATE assets SET purged_at = $2 WHERE key = ANY($1)", keys, now)


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

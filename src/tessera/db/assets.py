"""Rows of the files that we keep. The bytes lie in the store, under the same key."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from tessera.db.connection import Connection, Database
from tessera.domain.asset import Asset, Origin

COLUMNS = "key, account_id, task_id, origin, position, media_type, size, sha256, width, height, seconds, created_at"


async def put(connection: Connection, assets: Sequence[Asset]) -> None:
    """Write asset rows; the same key again (an upload of the same name) replaces its row."""
    await connection.executemany(
        f"""
        INSERT INTO assets ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        ON CONFLICT (key) DO UPDATE SET
            media_type = excluded.media_type, size = excluded.size, sha256 = excluded.sha256, width = excluded.width,
            height = excluded.height, seconds = excluded.seconds, created_at = excluded.created_at
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


async def of_tasks(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Asset, ...]]:
    """The outputs of these tasks, in order."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM assets WHERE task_id = ANY($1) AND origin = 'output' ORDER BY task_id, position", ids
    )
    found: dict[str, tuple[Asset, ...]] = {}
    for row in rows:
        found[row["task_id"]] = (*found.get(row["task_id"], ()), to_asset(row))
    return found


async def get_many(database: Database, keys: Sequence[str]) -> dict[str, Asset]:
    rows = await database.pool.fetch(f"SELECT {COLUMNS} FROM assets WHERE key = ANY($1)", keys)
    return {row["key"]: to_asset(row) for row in rows}


async def older(database: Database, origin: Origin, before: datetime, *, limit: int) -> list[str]:
    """Keys of the oldest files made before ``before``."""
    rows = await database.pool.fetch(
        "SELECT key FROM assets WHERE origin = $1 AND created_at < $2 ORDER BY created_at LIMIT $3",
        origin.value,
        before,
        limit,
    )
    return [row["key"] for row in rows]


async def delete(database: Database, keys: Sequence[str]) -> None:
    await database.pool.execute("DELETE FROM assets WHERE key = ANY($1)", keys)


def to_asset(row: asyncpg.Record) -> Asset:
    return Asset(
        key=row["key"],
        account_id=row["account_id"],
        task_id=row["task_id"],
        origin=Origin(row["origin"]),
        position=row["position"],
        media_type=row["media_type"],
        size=row["size"],
        sha256=row["sha256"],
        width=row["width"],
        height=row["height"],
        seconds=row["seconds"],
        created_at=row["created_at"],
    )

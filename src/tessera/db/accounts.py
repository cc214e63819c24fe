"""Accounts and their API keys."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from tessera.db.connection import Connection, Database
from tessera.domain.account import Account, ApiKey, Caps
from tessera.domain.task import Mode

FIRST = 0x7E55E7B
"""The advisory lock of whoever sets up the first account."""

COLUMNS = "id, name, webhook_secret, created_at, previous_secret, previous_until"
KEY_COLUMNS = """id, account_id, mode, name, hint, created_at, expires_at, revoked_at, networks,
    hour_cap, day_cap, total_cap"""


async def line_up(connection: Connection) -> None:
    """Until the transaction ends nobody else sets up the first account."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", FIRST)


async def add(connection: Connection, account: Account) -> None:
    """Write an account and its two empty wallets. Raises Conflict for a name in use."""
    await connection.execute(
        "INSERT INTO accounts (id, name, webhook_secret, created_at) VALUES ($1, $2, $3, $4)",
        account.id,
        account.name,
        account.webhook_secret,
        account.created_at,
    )
    await connection.executemany(
        "INSERT INTO wallets (account_id, mode) VALUES ($1, $2)", [(account.id, mode.value) for mode in Mode]
    )


async def find(database: Database, ref: str) -> Account | None:
    """The account with this id or name."""
    row = await database.pool.fetchrow(
        f"SELECT {COLUMNS} FROM accounts WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1", ref
    )
    return Account(**row) if row else None


async def all_of(database: Database) -> list[Account]:
    rows = await database.pool.fetch(f"SELECT {COLUMNS} FROM accounts ORDER BY created_at")
    return [Account(**row) for row in rows]


async def rotate(connection: Connection, account_id: str, secret: str, until: datetime) -> None:
    """Give an account a new webhook secret; the one before it signs beside it until ``until``."""
    await connection.execute(
        """
        UPDATE accounts SET previous_secret = webhook_secret, previous_until = $3, webhook_secret = $2 WHERE id = $1
        """,
        account_id,
        secret,
        until,
    )


async def add_key(connection: Connection, key: ApiKey, digest: bytes) -> None:
    """Write a key under its hash. Raises Conflict for one that is there already."""
    await connection.execute(
        """
        INSERT INTO api_keys (id, account_id, mode, name, hash, hint, created_at, expires_at, networks,
                              hour_cap, day_cap, total_cap)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        """,
        key.id,
        key.account_id,
        key.mode.value,
        key.name,
        digest,
        key.hint,
        key.created_at,
        key.expires_at,
        list(key.networks),
        key.caps.hour,
        key.caps.day,
        key.caps.total,
    )


async def keys_by_digest(database: Database, digests: Sequence[bytes]) -> dict[bytes, ApiKey]:
    """The keys behind these hashes; an unknown one is not in the answer."""
    rows = await database.pool.fetch(f"SELECT hash, {KEY_COLUMNS} FROM api_keys WHERE hash = ANY($1)", digests)
    return {row["hash"]: to_key(row) for row in rows}


async def keys_of(database: Database, account_id: str) -> list[ApiKey]:
    rows = await database.pool.fetch(
        f"SELECT {KEY_COLUMNS} FROM api_keys WHERE account_id = $1 ORDER BY created_at", account_id
    )
    return [to_key(row) for row in rows]


async def revoke(database: Database, key_id: str, now: datetime) -> ApiKey | None:
    """Revoke a key by its id, once: the first moment stays. None when there is no such key."""
    row = await database.pool.fetchrow(
        f"UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING {KEY_COLUMNS}", key_id, now
    )
    return to_key(row) if row else None


def to_key(row: asyncpg.Record) -> ApiKey:
    return ApiKey(
        id=row["id"],
        account_id=row["account_id"],
        mode=Mode(row["mode"]),
        name=row["name"],
        hint=row["hint"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        networks=tuple(row["networks"]),
        caps=Caps(hour=row["hour_cap"], day=row["day_cap"], total=row["total_cap"]),
    )

"""Wallets and the ledger. Whoever spends locks the wallet first, then the key: always in this order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from tessera.db.accounts import to_key
from tessera.db.connection import Connection, Database
from tessera.domain.account import ApiKey
from tessera.domain.admission import Usage, Wallet
from tessera.domain.credit import MOST, show
from tessera.domain.errors import Invalid
from tessera.domain.task import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """A key, its usage and the wallet that it spends from, locked until the transaction ends."""

    key: ApiKey
    usage: Usage
    wallet: Wallet


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of the ledger, amounts in milli-credits."""

    id: int
    kind: str
    amount: int
    charge: int
    task_id: str | None
    note: str | None
    created_at: datetime


async def lock(connection: Connection, key_ids: Sequence[str]) -> dict[str, Purse]:
    """Lock and read what these keys spend from. Everybody takes rows in one order, so no two wait in a circle."""
    rows = await connection.fetch(
        """
        SELECT k.id, k.account_id, k.mode, k.name, k.hint, k.created_at, k.expires_at, k.revoked_at, k.networks,
               k.hour_cap, k.day_cap, k.total_cap, k.hour_used, k.hour_from, k.day_used, k.day_from, k.total_used,
               w.balance, w.hits
        FROM wallets w JOIN api_keys k ON k.account_id = w.account_id AND k.mode = w.mode
        WHERE k.id = ANY($1)
        ORDER BY w.account_id, w.mode, k.id
        FOR UPDATE OF w, k
        """,
        key_ids,
    )
    return {row["id"]: _purse(row) for row in rows}


async def spend(connection: Connection, wallets: dict[tuple[str, Mode], Wallet], usages: dict[str, Usage]) -> None:
    """Write wallets (by account and mode) and usages (by key) after a group of holds."""
    await connection.execute(
        """
        WITH w AS (
            UPDATE wallets SET balance = n.balance, hits = string_to_array(n.hits, ',')::bigint[]
            FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS n (account_id, mode, balance, hits)
            WHERE wallets.account_id = n.account_id AND wallets.mode = n.mode
        )
        UPDATE api_keys SET hour_used = n.hour, hour_from = n.hour_from, day_used = n.day, day_from = n.day_from,
                            total_used = n.total
        FROM unnest($5::text[], $6::bigint[], $7::timestamptz[], $8::bigint[], $9::timestamptz[], $10::bigint[])
            AS n (id, hour, hour_from, day, day_from, total)
        WHERE api_keys.id = n.id
        """,
        [account_id for account_id, _ in wallets],
        [mode.value for _, mode in wallets],
        [wallet.balance for wallet in wallets.values()],
        # Rows of an array of arrays would have to be of one length.
        [",".join(map(str, wallet.hits)) for wallet in wallets.values()],
        list(usages),
        [usage.hour for usage in usages.values()],
        [usage.hour_from for usage in usages.values()],
        [usage.day for usage in usages.values()],
        [usage.day_from for usage in usages.values()],
        [usage.total for usage in usages.values()],
    )


async def settle(connection: Connection, task_id: str, now: datetime) -> None:
    """Take the whole hold of a task: the balance has it already, so only the row is written.

    The ledger's unique index refuses a second end of the same hold.
    """
    await connection.execute(
        """
        INSERT INTO ledger (account_id, mode, kind, amount, charge, task_id, created_at)
        SELECT account_id, mode, 'settle', 0, -amount, task_id, $2
        FROM ledger WHERE task_id = $1 AND kind = 'hold'
        """,
        task_id,
        now,
    )


async def release(connection: Connection, task_id: str, key_id: str, now: datetime) -> None:
    """Give the whole hold of a task back to the wallet and to the key's caps."""
    row = await connection.fetchrow(
        "SELECT account_id, mode, -amount AS held FROM ledger WHERE task_id = $1 AND kind = 'hold'", task_id
    )
    if row is None:
        return
    await connection.execute(
        "UPDATE wallets SET balance = balance + $3 WHERE account_id = $1 AND mode = $2",
        row["account_id"],
        row["mode"],
        row["held"],
    )
    # Only a window that the hold was counted in gets it back.
    await connection.execute(
        """
        UPDATE api_keys SET
            hour_used = CASE WHEN hour_from <= t.created_at THEN greatest(0, hour_used - $3) ELSE hour_used END,
            day_used = CASE WHEN day_from <= t.created_at THEN greatest(0, day_used - $3) ELSE day_used END,
            total_used = greatest(0, total_used - $3)
        FROM tasks t
        WHERE api_keys.id = $1 AND t.id = $2
        """,
        key_id,
        task_id,
        row["held"],
    )
    await connection.execute(
        """
        INSERT INTO ledger (account_id, mode, kind, amount, task_id, created_at)
        VALUES ($1, $2, 'release', $3, $4, $5)
        """,
        row["account_id"],
        row["mode"],
        row["held"],
        task_id,
        now,
    )


async def grant(
    connection: Connection, account_id: str, mode: Mode, amount: int, note: str | None, now: datetime
) -> int:
    """Add milli-credits (a negative amount takes some away), ``MOST`` at once at the most; answers the new balance.

    Raises Conflict where the balance would fall below zero, Invalid where it would rise above ``MOST``.
    """
    balance = await connection.fetchval(
        """
        UPDATE wallets SET balance = balance + $3
        WHERE account_id = $1 AND mode = $2 AND (balance <= $4 OR $3::bigint < 0)
        RETURNING balance
        """,
        account_id,
        mode.value,
        amount,
        MOST - amount,
    )
    if balance is None:
        raise Invalid(f"amount: the balance would rise above {show(MOST)} credits", field="amount")
    await connection.execute(
        """
        INSERT INTO ledger (account_id, mode, kind, amount, note, created_at) VALUES ($1, $2, 'grant', $3, $4, $5)
        """,
        account_id,
        mode.value,
        amount,
        note,
        now,
    )
    return int(balance)


async def balance(database: Database, account_id: str, mode: Mode) -> int:
    """Milli-credits that are free to spend."""
    value = await database.pool.fetchval(
        "SELECT balance FROM wallets WHERE account_id = $1 AND mode = $2", account_id, mode.value
    )
    return int(value or 0)


async def entries(database: Database, account_id: str, mode: Mode, *, limit: int = 50) -> list[Entry]:
    """The newest rows first."""
    rows = await database.pool.fetch(
        """
        SELECT id, kind, amount, charge, task_id, note, created_at
        FROM ledger WHERE account_id = $1 AND mode = $2 ORDER BY id DESC LIMIT $3
        """,
        account_id,
        mode.value,
        limit,
    )
    return [Entry(**row) for row in rows]


async def audit(database: Database, account_id: str, mode: Mode) -> tuple[int, int, int]:
    """The balance of a wallet, the sum of its entries and their number, read at one moment."""
    row = await database.pool.fetchrow(
        """
        SELECT w.balance, coalesce(sum(l.amount), 0)::bigint AS total, count(l.id) AS entries
        FROM wallets w LEFT JOIN ledger l ON l.account_id = w.account_id AND l.mode = w.mode
        WHERE w.account_id = $1 AND w.mode = $2 GROUP BY w.balance
        """,
        account_id,
        mode.value,
    )
    return (row["balance"], row["total"], row["entries"]) if row else (0, 0, 0)


async def anomalies(database: Database, *, timeout: float = 60.0) -> list[str]:
    """Wallets whose balance is not the sum of their ledger, in words; an empty list is the promise kept.

    It reads every entry there is. Raises TimeoutError after ``timeout`` seconds.
    """
    rows = await database.pool.fetch(
        """
        SELECT w.account_id, w.mode, w.balance, coalesce(sum(l.amount), 0)::bigint AS total
        FROM wallets w LEFT JOIN ledger l ON l.account_id = w.account_id AND l.mode = w.mode
        GROUP BY w.account_id, w.mode, w.balance
        HAVING w.balance <> coalesce(sum(l.amount), 0)
        """,
        timeout=timeout,
    )
    return [
        f"{row['account_id']} ({row['mode']}): balance {row['balance']}, sum of entries {row['total']}" for row in rows
    ]


def _purse(row: asyncpg.Record) -> Purse:
    usage = Usage(
        hour=row["hour_used"],
        hour_from=row["hour_from"],
        day=row["day_used"],
        day_from=row["day_from"],
        total=row["total_used"],
    )
    return Purse(key=to_key(row), usage=usage, wallet=Wallet(balance=row["balance"], hits=tuple(row["hits"])))

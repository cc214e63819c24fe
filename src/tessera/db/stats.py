"""Numbers for whoever watches the gateway: each is one cheap query."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tessera.db import ledger
from tessera.db.connection import Database
from tessera.domain.task import State

DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Jobs of one kind in one status; ``oldest`` is since when the oldest of them is there, ``due`` how long its time
    has come, in seconds (0 where all of them wait for theirs)."""

    kind: str
    status: str
    count: int
    oldest: float
    due: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Tasks in one state that is no end; ``oldest`` is when the oldest of them was accepted."""

    state: State
    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """Callbacks of one account since some moment: how many have failed for good, and how many there were."""

    account: str
    failed: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What the database says of itself. ``revision`` is that of our schema, None where there is none yet."""

    version: str
    now: datetime
    revision: str | None
    settings: Mapping[str, str]


async def jobs(database: Database) -> list[Jobs]:
    rows = await database.pool.fetch(
        """
        SELECT entrypoint AS kind, status::text, count(*) AS count,
               extract(epoch FROM now() - min(created))::float8 AS oldest,
               coalesce(extract(epoch FROM now() - min(execute_after) FILTER (WHERE execute_after <= now())), 0)::float8
                   AS due
        FROM pgqueuer GROUP BY entrypoint, status
        """
    )
    return [Jobs(**row) for row in rows]


async def open_tasks(database: Database) -> list[Open]:
    rows = await database.pool.fetch(
        """
        SELECT state, count(*) AS count, min(created_at) AS oldest
        FROM tasks WHERE state IN ('waiting', 'running') GROUP BY state
        """
    )
    return [Open(state=State(row["state"]), count=row["count"], oldest=row["oldest"]) for row in rows]


async def failing(database: Database, since: datetime) -> list[Failing]:
    """The accounts some of whose callbacks, of tasks that ended after ``since``, have failed for good."""
    rows = await database.pool.fetch(
        """
        SELECT a.name AS account, d.failed, d.total
        FROM accounts a CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE state = 'failed') AS failed, count(*) AS total
            FROM deliveries WHERE account_id = a.id AND created_at > $1
        ) d
        WHERE d.failed > 0 ORDER BY d.failed DESC
        """,
        since,
    )
    return [Failing(**row) for row in rows]


async def anomalies(database: Database, *, timeout: timedelta) -> list[str]:
    """``ledger.anomalies`` for as long as it may take. Raises TimeoutError."""
    return await ledger.anomalies(database, timeout=timeout.total_seconds())


async def server(database: Database) -> Server:
    connection = database.pool
    there = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
    rows = await connection.fetch(
        "SELECT name, setting FROM pg_settings WHERE name = ANY($1) ORDER BY name", list(DURABILITY)
    )
    return Server(
        version=str(await connection.fetchval("SHOW server_version")),
        revision=await connection.fetchval("SELECT version_num FROM alembic_version") if there else None,
        settings={row["name"]: row["setting"] for row in rows},
        now=await connection.fetchval("SELECT clock_timestamp()"),
    )

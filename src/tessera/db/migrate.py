"""Bring the schema up to date: ours with Alembic, the queue's with its own installer.

Safe to run from many processes at once (an advisory lock lets one work), and cheap when there is nothing to do: Alembic
and SQLAlchemy are loaded only then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tessera.db.connection import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x7E55E7A
RECORD = """
    INSERT INTO facts (name, value) VALUES ('queue', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


def head() -> str:
    """The newest revision: migrations are named ``NNNN_what.py`` and run in that order."""
    return max(path.stem[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue's own tables: their version, and who brings them there. Only the engine knows more of them."""

    version: str
    install: Callable[[Connection], Awaitable[None]]


async def migrate(url: str, queue: Queue) -> bool:
    """Upgrade the database at ``url``; True when something was done."""
    connection = await asyncpg.connect(url)
    try:
        if await _current(connection, queue):
            return False
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        if await _current(connection, queue):
            return False
        await asyncio.to_thread(_upgrade, url)
        await queue.install(connection)
        await connection.execute(RECORD, queue.version)
        return True
    finally:
        await connection.close()


async def _current(connection: asyncpg.Connection, queue: Queue) -> bool:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return False
    ours = await connection.fetchval("SELECT version_num FROM alembic_version")
    if ours is None or ours < head():
        return False
    return bool(await connection.fetchval("SELECT value FROM facts WHERE name = 'queue'") == queue.version)


def _upgrade(url: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    command.upgrade(config, "head")

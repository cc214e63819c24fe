"""Bring the schema up to date: ours with Alembic, the queue's with its own installer. And say who fits on it.

Safe to run from many processes at once (an advisory lock lets one work), beside gateways that work meanwhile, and cheap
when there is nothing to do: Alembic and SQLAlchemy are loaded only then. For how a migration is written see
``migrations.schema``.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import structlog

from tessera.db.connection import Connection
from tessera.domain.errors import TesseraError

log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x7E55E7A
ASK_AGAIN = 0.1
"""Seconds between two looks at whether another process has done the work, or left it to us."""

RECORD = """
    INSERT INTO facts (name, value) VALUES ('queue', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
TRIES = 40


class Unfit(TesseraError):
    """The database has left this program behind: a later one removed what this one needs."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue's own tables: their version, and who brings them there. Only the engine knows more of them.

    ``install`` may be cut short by a lock that it does not get, and is then called again.
    """

    version: str
    install: Callable[[Connection], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a database has: its revision, the least that a program must know, its queue's version. None: not there."""

    revision: str | None
    minimum: str | None
    queue: str | None

    def pending(self, queue: Queue, folder: Path = MIGRATIONS) -> list[str]:
        """What an upgrade would do, in order: migrations by name, and then perhaps the queue's."""
        return [*self.steps(folder), *([f"queue {queue.version}"] if self.lacks(queue) else [])]

    def steps(self, folder: Path = MIGRATIONS) -> list[str]:
        """The migrations that this database has not seen."""
        return [name for name in names(folder) if self.revision is None or name[:4] > self.revision]

    def lacks(self, queue: Queue) -> bool:
        """Whether the queue's tables are older than this program's."""
        return self.queue is None or _numbers(self.queue) < _numbers(queue.version)

    def check(self, queue: Queue, folder: Path = MIGRATIONS) -> None:
        """Raises Unfit where a program with these migrations and this queue must not work here.

        A schema that is newer by expands is as good as our own, and so is a newer queue of the same major version.
        """
        known = head(folder)
        if self.minimum is not None and self.minimum > known:
            raise Unfit(
                f"the database's schema is {self.revision}, and works with programs that know {self.minimum}; this one "
                f"knows {known}. Install the newer Tessera that upgraded it, or restore the backup from before that"
            )
        if self.queue is not None and _numbers(self.queue)[:1] > _numbers(queue.version)[:1]:
            raise Unfit(
                f"the database's queue is of version {self.queue}, and this program's of {queue.version}. Install the "
                "newer Tessera that upgraded it, or restore the backup from before that"
            )


def names(folder: Path = MIGRATIONS) -> list[str]:
    """The migrations, oldest first: they are named ``NNNN_what`` and run in that order."""
    return sorted(path.stem for path in (folder / "versions").glob("[0-9]*.py"))


def head(folder: Path = MIGRATIONS) -> str:
    """The newest revision that a program with these migrations knows."""
    return names(folder)[-1][:4]


NOTHING = Standing(revision=None, minimum=None, queue=None)
"""What a database has that there is not yet."""


async def standing(url: str) -> Standing:
    """Look at the database, and change nothing."""
    connection = await asyncpg.connect(url)
    try:
        return await _look(connection)
    finally:
        await connection.close()


async def migrate(url: str, queue: Queue, folder: Path = MIGRATIONS) -> bool:
    """Upgrade the database at ``url``; True when something was done.

    Raises Unfit where this program is too old for it, and TesseraError where a change did not get its lock.
    """
    connection = await asyncpg.connect(url)
    try:
        if not (await _checked(connection, queue, folder)).pending(queue, folder):
            return False
        async with _alone(connection):
            found = await _checked(connection, queue, folder)
            if found.steps(folder):
                await asyncio.to_thread(_upgrade, url, folder)
            if found.lacks(queue):
                await _install(connection, queue)
        return bool(found.pending(queue, folder))
    finally:
        await connection.close()


async def _checked(connection: asyncpg.Connection, queue: Queue, folder: Path) -> Standing:
    found = await _look(connection)
    found.check(queue, folder)
    return found


async def _look(connection: asyncpg.Connection) -> Standing:
    if await connection.fetchval("SELECT to_regclass('facts') IS NULL OR to_regclass('alembic_version') IS NULL"):
        return NOTHING
    row = await connection.fetchrow(
        """
        SELECT (SELECT max(version_num) FROM alembic_version) AS revision,
            (SELECT value FROM facts WHERE name = 'schema_minimum') AS minimum,
            (SELECT value FROM facts WHERE name = 'queue') AS queue
        """
    )
    return Standing(**row)


@asynccontextmanager
async def _alone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Hold the right to change the schema, as soon as it is free.

    We ask again and again instead of waiting in the database: a statement that waits there is a transaction that every
    concurrent index build waits for, while it waits for the builder. Nobody would notice that deadlock.
    """
    told = False
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
        if not told:
            log.warning("another process changes the schema; waiting for it")
            told = True
        await asyncio.sleep(ASK_AGAIN)
    try:
        yield
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


async def _install(connection: asyncpg.Connection, queue: Queue) -> None:
    """Bring the queue's tables up to date; nobody who uses them waits for us longer than a second."""
    await connection.execute("SET lock_timeout = '1s'")
    for number in range(1, TRIES + 1):
        try:
            await queue.install(connection)
            break
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if number == TRIES:
                raise TesseraError(
                    "the queue's tables could not be changed: others held them all the time. Let long transactions "
                    "end, and start again: it goes on from here"
                ) from error
            await asyncio.sleep(min(number, 5))
    await connection.execute(RECORD, queue.version)


def _upgrade(url: str, folder: Path) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["url"] = url
    command.upgrade(config, "head")


def _numbers(version: str) -> tuple[int, ...]:
    """``(1, 6, 0)`` of ``1.6.0``: as text 1.10 would come before 1.9."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])

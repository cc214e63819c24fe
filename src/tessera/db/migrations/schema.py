"""Changes of the schema that nobody has to be stopped for: what a migration after the first is made of.

    revision = "0004"
    down_revision = "0003"
    release = "0.2.0"  # the first release that has it

    def upgrade() -> None:
        schema.add_table("rooms", "id text PRIMARY KEY, name text NOT NULL")
        schema.add_columns("tasks", "room_id text", "floor integer NOT NULL DEFAULT 0")
        schema.add_index("tasks_room", "tasks (room_id, created_at)")

A migration is an *expand*: the program of the release before goes on working while it runs and afterwards, so new
columns may be left out, and an index is built without holding up those who write. What a release no longer uses, its
migration declares: ``unused = ("tasks.room_id",)``. A later release may have a *contract*, which begins with
``schema.contract(needs=...)`` and removes what was declared. ``tests/unit/test_migrations.py`` holds both to it.

Every call is committed on its own and may be repeated: an upgrade that was cut short is simply run again. None waits
longer than ``LOCK_TIMEOUT`` for a lock that others would queue up behind; it steps back, and tries again.
"""

import random
import time
from collections.abc import Callable

import structlog
from alembic import op
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from tessera.db.facts import SCHEMA_MINIMUM
from tessera.domain.errors import TesseraError

log = structlog.get_logger(__name__)

LOCK_TIMEOUT = 2.0
"""Seconds. For so long a change may wait for its lock, and with it everybody who comes after it.

Longer than PostgreSQL's ``deadlock_timeout``, 1 s: only then does an autovacuum make room for who waits behind it.
"""

CONCURRENT_TIMEOUT = 900.0
"""Seconds. Building an index holds nobody up while it waits for the transactions that were there before it."""

TRIES = 40
PAUSE = 5.0
"""Seconds at most between two tries: the queue behind us drains meanwhile. Forty tries are some four minutes."""

CONCURRENT_TRIES = 3

CONTENDED = {"55P03", "40P01"}
"""What PostgreSQL calls a lock that was not to be had, and a deadlock that we lost."""

SHORT = 80

Work = Callable[[Connection], object]


class Busy(TesseraError):
    """A change of the schema did not get its lock. What is done so far stays, and the next run goes on from there."""


def contract(*, needs: str) -> None:
    """Begin a contract: from now on only programs that know revision ``needs`` start on this database.

    ``needs`` is the migration that declared as unused what this one removes.
    """
    run(
        f"INSERT INTO facts (name, value) VALUES ('{SCHEMA_MINIMUM}', '{needs}') "
        "ON CONFLICT (name) DO UPDATE SET value = greatest(facts.value, excluded.value)"
    )


def add_table(name: str, body: str) -> None:
    """Add a table; ``body`` is what stands between the parentheses."""
    run(f"CREATE TABLE IF NOT EXISTS {name} ({body})")


def add_columns(table: str, *columns: str) -> None:
    """Add columns, each ``name type``: nullable, or ``NOT NULL DEFAULT`` with a constant. The lock is short."""
    run(f"ALTER TABLE {table} " + ", ".join(f"ADD COLUMN IF NOT EXISTS {column}" for column in columns))


def add_index(name: str, on: str, *, unique: bool = False) -> None:
    """Build an index while others write; ``on`` is ``table (columns) WHERE ...``.

    What an interrupted build left behind is dropped first: it costs every write, and serves nobody.
    """
    kind = "UNIQUE INDEX" if unique else "INDEX"
    _concurrently(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON {on}", index=name)


def drop_index(name: str) -> None:
    """Drop an index while others use the table. In an expand it must not be a unique one: that is a promise."""
    _concurrently(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def drop_columns(table: str, *names: str) -> None:
    """Only in a contract: remove columns that were declared as unused."""
    run(f"ALTER TABLE {table} " + ", ".join(f"DROP COLUMN IF EXISTS {name}" for name in names))


def drop_table(name: str) -> None:
    """Only in a contract: remove a table that was declared as unused."""
    run(f"DROP TABLE IF EXISTS {name}")


def run(statement: str) -> None:
    """Run any other statement that is short and may be repeated. Raises Busy."""
    _patiently(statement, lambda connection: connection.exec_driver_sql(statement), timeout=LOCK_TIMEOUT, tries=TRIES)


def rest(tries: int) -> None:
    """Let those go first who waited behind us; each time a little longer, and not in step with other programs."""
    time.sleep(random.uniform(0.5, 1.0) * min(PAUSE, tries))  # noqa: S311 - no secret


def _concurrently(statement: str, *, index: str | None = None) -> None:
    def build(connection: Connection) -> object:
        if index is not None and connection.scalar(text(LEFTOVER), {"name": index}):
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
        return connection.exec_driver_sql(statement)

    _patiently(statement, build, timeout=CONCURRENT_TIMEOUT, tries=CONCURRENT_TRIES)


LEFTOVER = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid)"


def _patiently(statement: str, work: Work, *, timeout: float, tries: int) -> None:
    """Do the work outside of any transaction, until it gets its locks. Where SQL is only rendered, say it."""
    context = op.get_context()
    with context.autocommit_block():
        if context.as_sql:
            context.impl.static_output(statement)
            return
        connection = op.get_bind()
        connection.exec_driver_sql(f"SET lock_timeout = {round(timeout * 1000)}")
        connection.exec_driver_sql("SET statement_timeout = 0")  # an operator's own may be short, and is for requests
        for number in range(1, tries + 1):
            if _attempted(work, connection):
                return
            log.warning("the schema's change waits for a lock", statement=_short(statement), tries=number)
            if number < tries:
                rest(number)
    raise Busy(
        f"the schema could not be changed ({_short(statement)}): others held its table all the time. Let long "
        "transactions end (a backup, a forgotten psql), and start again: it goes on from here"
    )


def _attempted(work: Work, connection: Connection) -> bool:
    """Whether it was done; otherwise somebody else held what it needs."""
    try:
        work(connection)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in CONTENDED:
            raise
        return False
    return True


def _short(statement: str) -> str:
    words = " ".join(statement.split())
    return words if len(words) <= SHORT else words[: SHORT - 1] + "…"

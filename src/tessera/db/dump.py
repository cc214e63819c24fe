"""Dumps of a whole database, made and read by PostgreSQL's own tools: those that come with the embedded server."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tessera.db.connection import Database
from tessera.db.embedded import tool
from tessera.db.migrate import head
from tessera.domain.errors import TesseraError

COUNTED = ("accounts", "api_keys", "tasks", "ledger", "assets", "deliveries")


class DumpError(TesseraError):
    """One of PostgreSQL's tools said no."""


@dataclass(frozen=True, slots=True)
class File:
    """A stored file as its row has it: ``size`` in bytes, ``sha256`` in hex."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """One moment of the database. ``snapshot`` names it to others as long as the block runs.

    ``files`` are those whose bytes are kept; ``counts`` are rows by table.
    """

    snapshot: str
    revision: str
    counts: Mapping[str, int]
    files: Sequence[File]


@asynccontextmanager
async def frozen(database: Database) -> AsyncIterator[Frozen]:
    """Hold one moment still for us; everybody else goes on."""
    async with (
        database.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        rows = await connection.fetch("SELECT key, size, sha256 FROM assets WHERE purged_at IS NULL ORDER BY key")
        yield Frozen(
            snapshot=await connection.fetchval("SELECT pg_export_snapshot()"),
            revision=await connection.fetchval("SELECT version_num FROM alembic_version"),
            counts={table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in COUNTED},
            files=[File(**row) for row in rows],
        )


async def counts(database: Database) -> dict[str, int]:
    """Rows by table."""
    return {table: int(await database.pool.fetchval(f"SELECT count(*) FROM {table}")) for table in COUNTED}


async def refit(database: Database, files: Sequence[File]) -> None:
    """Write what these files really are: uploads that were replaced while a backup was made."""
    await database.pool.executemany(
        "UPDATE assets SET size = $2, sha256 = $3 WHERE key = $1",
        [(each.key, each.size, each.sha256) for each in files],
    )


async def dump(url: str, snapshot: str, target: Path) -> None:
    """Write the database as of a snapshot to a file that must not be there yet. Raises DumpError."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    more = ("--format=custom", "--compress=gzip:3", "--no-owner", "--no-privileges")
    await _run("pg_dump", url, f"--snapshot={snapshot}", f"--file={target}", *more)


async def restore(url: str, source: Path) -> None:
    """Fill an empty database from a dump: all of it, or nothing. Raises DumpError."""
    more = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
    await _run("pg_restore", url, *more, str(source))


def newest() -> str:
    """The newest schema that this program knows."""
    return head()


def apart(url: str) -> tuple[str, dict[str, str]]:
    """A database URL without its password, and the variable that carries it: arguments are shown to every process."""
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    fields = [field.partition("=") for field in parts.query.split("&") if field]
    given = [parts.password, *(value for name, _, value in fields if name == "password")]
    kept = "&".join("".join(field) for field in fields if field[0] != "password")
    netloc = f"{user.partition(':')[0]}@{place}" if user else place
    secret = next((unquote(each) for each in reversed(given) if each is not None), None)
    bare = f"{parts.scheme}://{netloc}{parts.path}{'?' if kept else ''}{kept}"
    return bare, {} if secret is None else {"PGPASSWORD": secret}


async def _run(name: str, url: str, *arguments: str) -> None:
    # Without the caller's PG* variables, which would have a say in where and how it connects.
    environ = {key: os.environ[key] for key in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if key in os.environ}
    bare, password = apart(url)
    process = await asyncio.create_subprocess_exec(
        str(tool(name)),
        f"--dbname={bare}",
        *arguments,
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        env={**environ, **password, "LC_ALL": "C"},
    )
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines() or [f"it ended with status {process.returncode}"]
        raise DumpError(f"{name} failed: {lines[0]}")

"""The embedded PostgreSQL: found again, shared, stopped by the last one out, in whatever folder it lies."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tessera.db.connection import Database
from tessera.db.embedded import Embedded
from tessera.db.migrate import Queue, head, migrate
from tessera.engine import queue
from tessera.testing.databases import Databases

OURS = Queue(queue.VERSION, queue.install)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a name that a shell would take apart."""
    with tempfile.TemporaryDirectory(prefix="tessera-") as base:
        yield Path(base) / "it's 100% c++ & more" / "postgres"


async def ask(url: str, question: str) -> object:
    database = Database(url, size=2)
    await database.open()
    try:
        return await database.pool.fetchval(question)
    finally:
        await database.close()


def alive(process: psutil.Process) -> bool:
    """A process that ended is a zombie for as long as nobody asks how."""
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def server(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postmaster.pid").read_text().splitlines()[0]))


async def test_the_server_lives_from_start_to_stop(folder: Path) -> None:
    embedded = Embedded(folder)
    url = await asyncio.to_thread(embedded.start)
    process = server(folder)
    try:
        assert await ask(url, "SELECT current_setting('jit')") == "off"
        assert await ask(url, "SELECT current_setting('listen_addresses')") == ""
        assert (folder.stat().st_mode & 0o777) == 0o700, "the server trusts whoever reaches its socket"
    finally:
        await asyncio.to_thread(embedded.stop)
    assert not alive(process)
    await asyncio.to_thread(embedded.stop)  # once more is no trouble


async def test_a_server_that_a_killed_process_left_is_found_and_then_stopped(folder: Path) -> None:
    code = f"from tessera.db.embedded import *; import os; Embedded(Path({str(folder)!r})).start(); os._exit(9)"
    left = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-W", "error", "-c", code], capture_output=True, timeout=60, check=False
    )
    assert (left.returncode, left.stderr.decode()) == (9, ""), "a start says something to everybody who starts"
    process = server(folder)
    embedded = Embedded(folder)
    url = await asyncio.to_thread(embedded.start)
    assert server(folder).pid == process.pid
    assert await ask(url, "SELECT 1") == 1
    await asyncio.to_thread(embedded.stop)
    assert not alive(process)


async def test_the_last_one_out_stops_it(folder: Path) -> None:
    embedded = Embedded(folder)
    url = await asyncio.to_thread(embedded.start)
    code = f"from tessera.db.embedded import *; e = Embedded(Path({str(folder)!r})); e.start(); e.stop()"
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], timeout=60, check=True)
    assert await ask(url, "SELECT 1") == 1, "one of two stopped the server under the other"
    process = server(folder)
    await asyncio.to_thread(embedded.stop)
    assert not alive(process)


@pytest.mark.parametrize("left", ["another process", "half a file", "a dead process"])
async def test_a_stale_file_of_a_server_does_not_keep_us_from_starting(folder: Path, left: str) -> None:
    embedded = Embedded(folder)
    await asyncio.to_thread(embedded.start)
    file = folder / "postmaster.pid"
    lines = file.read_text().splitlines()
    await asyncio.to_thread(embedded.stop)
    lines[0] = {"another process": str(os.getpid()), "half a file": "12"}.get(left, str(2**22 - 1))
    file.write_text("\n".join(lines[: 3 if left == "half a file" else None]) + "\n")
    try:
        url = await asyncio.to_thread(embedded.start)
        assert await ask(url, "SELECT 1") == 1
    finally:
        await asyncio.to_thread(embedded.stop)


async def test_a_long_path_has_its_socket_elsewhere_and_nobody_else_gets_in(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="tessera-") as base:
        embedded = Embedded(Path(base) / ("x" * 120) / "postgres")
        url = await asyncio.to_thread(embedded.start)
        try:
            assert await ask(url, "SELECT 1") == 1
            place = Path(str(await ask(url, "SELECT current_setting('unix_socket_directories')")))
            assert place != embedded.folder
            assert (place.stat().st_mode & 0o777) == 0o700
            assert place.stat().st_uid == embedded.folder.stat().st_uid
        finally:
            await asyncio.to_thread(embedded.stop)
        place.rmdir()


# ---- the schema ----


async def test_a_migrated_database_has_nothing_to_do(database_url: str) -> None:
    assert await migrate(database_url, OURS) is False
    assert await ask(database_url, "SELECT version_num FROM alembic_version") == head()


async def test_a_newer_queue_is_brought_up_to_date_once(database_url: str) -> None:
    calls = []

    async def install(connection: object) -> None:
        calls.append(connection)

    newer = Queue("9999.1", install)
    assert await migrate(database_url, newer) is True
    assert await migrate(database_url, newer) is False
    assert len(calls) == 1


async def test_of_many_that_start_at_once_one_migrates(postgres: Databases) -> None:
    async with postgres.fresh() as url:
        empty = url.replace("/test_", "/bare_")
        name = empty.partition("?")[0].rpartition("/")[2]
        await ask(url, f"CREATE DATABASE {name}")
        try:
            done = await asyncio.gather(*(migrate(empty, OURS) for _ in range(4)))
            assert sorted(done) == [False, False, False, True]
            assert await ask(empty, "SELECT count(*) FROM ledger") == 0
        finally:
            await ask(url, f"DROP DATABASE {name}")

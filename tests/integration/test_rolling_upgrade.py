"""An upgrade of the schema while gateways work, and gateways of either side on the schema of the other."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Connection
from tests.integration.workshop import OpenShop, Workshop
from typer.testing import CliRunner

from tessera.cli import main
from tessera.db.migrate import MIGRATIONS, Queue, Unfit, head, migrate, names
from tessera.db.migrations import schema
from tessera.domain.task import State
from tessera.engine import queue
from tessera.providers.fake import Fake
from tessera.testing.databases import Databases
from tessera.testing.gateway import OpenHouse
from tessera.testing.mailbox import PATIENCE
from tessera.testing.plugin import MakeConfig, Passed, houses

OURS = Queue(queue.VERSION, queue.install)
SAMPLES = Path(__file__).parent / "samples"
OLD_TASKS = 20_000
LOCK_TIMEOUT, SLACK = 0.3, 1.5
"""Seconds: what a change may wait here, and what a busy machine may add to it."""


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Path]:
    """``folder(revision)``: the migrations of a program that knows everything up to it, samples included."""

    def make(newest: str) -> Path:
        target = tmp_path / f"migrations-{newest}"
        shutil.copytree(MIGRATIONS, target, ignore=shutil.ignore_patterns("__pycache__", "[0-9]*.py"))
        for path in [*(MIGRATIONS / "versions").glob("[0-9]*.py"), *SAMPLES.glob("[0-9]*.py")]:
            if path.stem[:4] <= newest:
                shutil.copy(path, target / "versions")
        return target

    return make


@asynccontextmanager
async def bare(postgres: Databases) -> AsyncIterator[str]:
    """The URL of a database in which there is nothing at all."""
    async with postgres.fresh() as url, connected(url) as connection:
        empty = url.replace("/test_", "/bare_")
        name = empty.partition("?")[0].rpartition("/")[2]
        await connection.execute(f"CREATE DATABASE {name}")
        try:
            yield empty
        finally:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(url: str, question: str) -> object:
    async with connected(url) as connection:
        return await connection.fetchval(question)


async def shape(url: str) -> list[str]:
    """Every column and every index, in words."""
    async with connected(url) as connection:
        rows = await connection.fetch(
            """
            SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default) AS words
            FROM information_schema.columns WHERE table_schema = 'public'
            UNION ALL
            SELECT concat_ws(' ', pg_get_indexdef(indexrelid), CASE WHEN indisvalid THEN 'valid' ELSE 'INVALID' END)
            FROM pg_index WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
            ORDER BY words
            """
        )
        return [row["words"] for row in rows]


async def fill(url: str) -> None:
    """Tasks of long ago, so that an index has something to be built from."""
    async with connected(url) as connection:
        await connection.execute(
            """
            INSERT INTO tasks (id, account_id, key_id, mode, family, operation, model, request, params, price,
                state, created_at, completed_at)
            SELECT 'old' || n, 'nobody', 'k', 'test', 'f', 'o', 'm', '{}', repeat('x', 100), 0,
                'succeeded', now() - interval '1 day', now() - interval '1 day'
            FROM generate_series(1, $1::int) AS n
            """,
            OLD_TASKS,
        )


# ---- while a gateway works ----


async def test_tasks_are_accepted_and_run_while_an_expand_runs(
    open_shop: OpenShop,
    database_url: str,
    folder: Callable[[str], Path],
    passed: Passed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", LOCK_TIMEOUT)
    stepped_back = note_rests(monkeypatch)
    await fill(database_url)
    ended = passed("run.finished")
    async with open_shop(Fake("sandbox"), work=True) as shop, connected(database_url) as reader:
        # Somebody who reads for long, as a dump does, keeps the change from its lock, and it everybody else.
        reading = reader.transaction()
        await reading.start()
        await reader.fetchval("SELECT count(*) FROM tasks")
        upgrade = asyncio.create_task(migrate(database_url, OURS, folder("9001")))
        submits = asyncio.create_task(submit_until(shop, upgrade))
        await asyncio.wait_for(stepped_back.wait(), PATIENCE)
        await reading.rollback()
        assert await asyncio.wait_for(upgrade, PATIENCE)
        took = await submits
        for _ in took:
            await ended.next()
        assert max(took.values()) < LOCK_TIMEOUT + SLACK
        assert {(await shop.task(task_id)).state for task_id in took} == {State.SUCCEEDED}
    assert len(took) > 20, "nobody worked meanwhile"
    assert await ask(database_url, "SELECT version_num FROM alembic_version") == "9001"
    assert await ask(database_url, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'tasks_sample'::regclass")
    assert await ask(database_url, "SELECT count(*) FROM samples") == 0
    assert await ask(database_url, "SELECT count(*) FROM tasks WHERE weight = 1") == OLD_TASKS + len(took)


def note_rests(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """An event that is set when a change steps back from a lock. It rests in another thread."""
    seen, loop = asyncio.Event(), asyncio.get_running_loop()
    rest = schema.rest

    def note(tries: int) -> None:
        loop.call_soon_threadsafe(seen.set)
        rest(tries)

    monkeypatch.setattr(schema, "rest", note)
    return seen


async def submit_until(shop: Workshop, end: "asyncio.Task[bool]") -> dict[str, float]:
    """Submit tasks, four at a time, until ``end`` and once more; answers how long each took, in seconds."""
    took: dict[str, float] = {}

    async def submit() -> None:
        began = time.perf_counter()
        took[await shop.order()] = time.perf_counter() - began

    last = False
    while not last:
        last = end.done()
        await asyncio.gather(*(submit() for _ in range(4)))
    return took


# ---- either side on the schema of the other ----


async def test_a_gateway_of_the_release_before_starts_and_works_on_an_expanded_schema(
    open_shop: OpenShop, database_url: str, folder: Callable[[str], Path], passed: Passed
) -> None:
    assert await migrate(database_url, OURS, folder("9001")) is True
    ended = passed("run.finished")
    async with open_shop(Fake("sandbox"), work=True) as shop:
        task_id = await shop.order()
        await ended.next()
        assert (await shop.task(task_id)).state is State.SUCCEEDED
        await shop.check()
    assert await ask(database_url, "SELECT version_num FROM alembic_version") == "9001", "it left it as it was"


async def test_a_gateway_that_a_contract_left_behind_does_not_start_and_says_what_to_do(
    open_house: OpenHouse, database_url: str, folder: Callable[[str], Path]
) -> None:
    await migrate(database_url, OURS, folder("9002"))
    with pytest.raises(Unfit, match=rf"9002.*9001.*knows {head()}.*Install the newer Tessera.*restore the backup"):
        async with open_house():
            pass
    assert await migrate(database_url, OURS, folder("9001")) is False, "the release between the two fits"


async def test_a_gateway_brings_the_schema_of_the_release_before_up_to_date(
    postgres: Databases, database_url: str, make_config: MakeConfig, folder: Callable[[str], Path]
) -> None:
    async with bare(postgres) as url:
        await migrate(url, OURS, folder(names()[-2][:4]))
        async with houses(url, make_config)():
            assert await ask(url, "SELECT version_num FROM alembic_version") == head()
        assert await shape(url) == await shape(database_url)


async def test_of_many_that_upgrade_at_once_none_waits_for_ever(
    postgres: Databases, folder: Callable[[str], Path]
) -> None:
    async with bare(postgres) as url:
        await migrate(url, OURS, folder("0001"))
        # Whoever waited inside the database would be waited for by the index build of the one that works.
        async with asyncio.timeout(PATIENCE):
            done = await asyncio.gather(*(migrate(url, OURS) for _ in range(4)))
        assert sorted(done) == [False, False, False, True]


# ---- interruptions ----


async def test_an_upgrade_that_is_cut_short_anywhere_goes_on(
    postgres: Databases, database_url: str, folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(Exception):
        """The process is gone."""

    attempted, left = schema._attempted, [0]

    def cut(work: schema.Work, connection: Connection) -> bool:
        done = attempted(work, connection)
        left[0] -= 1
        if left[0] == 0:
            raise Cut
        return done

    monkeypatch.setattr(schema, "_attempted", cut)
    async with bare(postgres) as url:
        await migrate(url, OURS, folder("0001"))
        for number in count(1):
            left[0] = number
            try:
                await migrate(url, OURS)
                break
            except Cut:
                continue
        assert number > len(names()), "it was cut short after every statement of every migration"
        assert await shape(url) == await shape(database_url)


async def test_the_ruin_of_an_index_is_built_anew(
    postgres: Databases, database_url: str, folder: Callable[[str], Path]
) -> None:
    async with bare(postgres) as url:
        await migrate(url, OURS, folder("0001"))
        await fill(url)
        async with connected(url) as connection:
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY tasks_ended ON tasks (model)")
        assert any("tasks_ended" in words and "INVALID" in words for words in await shape(url))
        await migrate(url, OURS)
        assert await shape(url) == await shape(database_url)


async def test_a_change_that_never_gets_its_lock_says_who_has_to_end(
    database_url: str, folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", 0.02)
    monkeypatch.setattr(schema, "TRIES", 2)
    monkeypatch.setattr(schema, "rest", lambda tries: None)
    later = folder("9001")
    async with connected(database_url) as reader, reader.transaction():
        await reader.fetchval("SELECT count(*) FROM tasks")
        with pytest.raises(schema.Busy, match="a forgotten psql"):
            await migrate(database_url, OURS, later)
    assert await migrate(database_url, OURS, later) is True


# ---- the command ----


async def test_the_command_says_what_is_to_do_and_does_it(
    postgres: Databases, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    async with bare(postgres) as url:
        await migrate(url, OURS, folder("0002"))
        environ = {"TESSERA_DATABASE_URL": url}

        async def run(*arguments: str) -> tuple[int, dict[str, object]]:
            command = ["migrate", "--json", "--data-dir", str(tmp_path), *arguments]
            result = await asyncio.to_thread(CliRunner().invoke, main.app, command, env=environ)
            return result.exit_code, json.loads(result.stdout)

        later = names()[2:]
        assert await run("--check") == (1, {"before": "0002", "done": [], "pending": later})
        assert await run() == (0, {"before": "0002", "done": later, "pending": []})
        assert await run("--check") == (0, {"before": head(), "done": [], "pending": []})


async def test_the_command_looks_without_making_a_database(tmp_path: Path) -> None:
    command = ["migrate", "--check", "--data-dir", str(tmp_path / "none")]
    result = await asyncio.to_thread(CliRunner().invoke, main.app, command)
    assert result.exit_code == 1
    assert names()[0] in result.stdout
    assert not (tmp_path / "none").exists()

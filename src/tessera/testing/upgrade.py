"""``python -m tessera.testing.upgrade [REF]``: a rolling upgrade from an earlier program to this one, for real.

The earlier program is taken from the repository's history: the newest release tag, or else the commit before the newest
migration. Its API and worker run on a database that it made itself. While tasks are submitted without a pause, this
program upgrades the schema; then its API accepts beside the old worker; then old processes are started anew on the
new schema; then this program's worker takes over. Every accepted task has to end well, and every balance to add up.

Live tasks go to a simulator of OpenAI's, test tasks to the sandbox. Only jobs of a kind that the old program does not
know may wait for a new worker.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

import tessera
from tessera.db import ledger
from tessera.db.connection import Database
from tessera.db.embedded import Embedded
from tessera.db.migrate import MIGRATIONS, head, migrate, names, standing
from tessera.domain.credit import milli
from tessera.domain.task import Mode
from tessera.engine.accounts import Accounts
from tessera.kit.clock import system
from tessera.testing.simulators.openai_images import Simulator
from tessera.webhooks.sign import new_secret
from tessera.wiring import QUEUE

TEST_KEY, LIVE_KEY = "tsk_test_" + "upgrade0check0of0two0programs", "tsk_live_" + "upgrade0check0of0two0programs"
ACCEPT, LOOK = "/api/v1/gpt4o-image/generate", "/api/v1/gpt4o-image/record-info"
HERE = Path(tessera.__file__).parents[1]
RUNNING, SUCCEEDED = 0, 1
START, END = 40.0, 60.0
"""Seconds until a process is ready, and until the tasks of a stage have ended; a busy machine takes its time."""

HANDOVER = 5.0
"""Seconds that the old worker is given for test tasks of the new API, where their kind is new to it."""

KINDS = "from typing import get_args; from tessera.engine.queue import Kind; print(*get_args(Kind))"

LANES, BATCH = 3, 8
"""Requests under way during the upgrade, and tasks of each later stage. Pictures are drawn, which takes its time."""


class Broken(Exception):
    """The upgrade was not what it promises to be."""


@dataclass(frozen=True, slots=True)
class Program:
    """A version of Tessera: ``source`` is the folder that it is imported from."""

    name: str
    source: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where both programs live: one database, one data folder, the URL that links are built on, and the provider of
    live tasks: its URL and its key.
    """

    folder: Path
    database_url: str
    public_url: str
    provider: tuple[str, str]

    def environ(self, program: Program) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(program.source),
            "TESSERA_DATABASE_URL": self.database_url,
            "TESSERA_DATA_DIR": str(self.folder / "data"),
            "TESSERA_PUBLIC_URL": self.public_url,
            "TESSERA_BOOTSTRAP_TEST_KEY": TEST_KEY,
            "TESSERA_BOOTSTRAP_LIVE_KEY": LIVE_KEY,
            "TESSERA_BOOTSTRAP_TEST_CREDITS": "1000000",
            "TESSERA_RATE_LIMIT": "0",
            "TESSERA_SANDBOX_SECONDS": "0.2",
            "OPENAI_BASE_URL": self.provider[0],
            "OPENAI_API_KEY": self.provider[1],
        }


@dataclass(slots=True)
class Customer:
    """Submits tasks, and remembers each with the seconds that its acceptance took."""

    http: aiohttp.ClientSession
    key: str
    took: dict[str, float] = field(default_factory=dict)

    async def submit(self, api: str) -> str:
        began = time.perf_counter()
        answer = await self._ask("POST", api + ACCEPT, json={"prompt": "a bridge", "size": "1:1"})
        task_id = str(answer["taskId"])
        self.took[task_id] = time.perf_counter() - began
        return task_id

    async def submit_until(self, api: str, end: asyncio.Event) -> None:
        """Keep some requests under way, whatever happens on the other side."""
        while not end.is_set():
            await asyncio.gather(*(self.submit(api) for _ in range(LANES)))
            await asyncio.sleep(0.02)

    async def all_ended(self, api: str) -> None:
        """Wait until every task so far has ended well. Raises Broken."""
        if left := await self.wait(api, self.took):
            raise Broken(f"{len(left)} of {len(self.took)} tasks have not ended, such as {min(left)}")

    async def wait(self, api: str, tasks: Iterable[str], patience: float = END) -> set[str]:
        """Wait until these tasks have ended well; answers those that have not. Raises Broken for a failure."""
        left = set(tasks)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while left:
                    for task_id in sorted(left):
                        if await self._ended(api, task_id):
                            left.remove(task_id)
                    await asyncio.sleep(0.1)
        return left

    async def _ended(self, api: str, task_id: str) -> bool:
        record = await self._ask("GET", api + LOOK, params={"taskId": task_id})
        if record["successFlag"] not in (RUNNING, SUCCEEDED):
            raise Broken(f"task {task_id} failed: {record.get('errorMessage')}")
        return record["successFlag"] == SUCCEEDED

    async def _ask(self, method: str, url: str, **more: object) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with self.http.request(method, url, headers=headers, **more) as response:  # type: ignore[arg-type]
            answer = await response.json(content_type=None)
        if answer.get("code") != 200:
            raise Broken(f"{method} {url} answered {answer}")
        return dict(answer["data"])


@asynccontextmanager
async def running(site: Site, program: Program, role: str) -> AsyncIterator[str]:
    """An ``api`` or a ``worker``, from the line that says it is ready to its orderly end; answers an API's URL."""
    log = site.folder / f"{program.name}-{role}.log"
    port = _free_port()
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tessera.cli.main", role, "--json"),
            *(("--port", str(port)) if role == "api" else ()),
            env=site.environ(program),
            cwd=site.folder,  # no settings file of whoever calls us
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        await _ready(process, log)
        yield f"http://127.0.0.1:{port}"
        if process.returncode is not None:
            raise Broken(f"{program.name} {role} ended by itself; see {log}")
    finally:
        await _end(process)


async def _ready(process: asyncio.subprocess.Process, log: Path) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(START):
        async for line in process.stdout:
            if json.loads(line)["event"] == "ready":
                return
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise Broken(f"a process did not start: {''.join(last)}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), START)
    except TimeoutError:
        process.kill()
        await process.wait()


async def check(site: Site, old: Program, new: Program, say: Callable[[str], None]) -> None:
    """Upgrade from one program to the other while tasks come in. Raises Broken."""
    async with aiohttp.ClientSession() as http:
        test, live = Customer(http, TEST_KEY), Customer(http, LIVE_KEY)
        async with running(site, old, "api") as before, running(site, old, "worker"):
            await _upgrade_under_load(site, test, before, say)
            await _give_credits(site)
            async with running(site, new, "api") as after:
                await _beside_the_old_worker(old, new, test, live, after, say)
        async with running(site, old, "api") as again, running(site, new, "api") as after:
            async with running(site, old, "worker"):
                say("the old API and the old worker started anew on the new schema")
                for customer in (test, live):
                    if await customer.wait(after, await _batch(customer, again)):
                        raise Broken("the old worker does not end tasks of the old API any more")
            async with running(site, new, "worker"):
                say("the old API accepts, the new worker runs")
                for customer in (test, live):
                    await _batch(customer, again)
                    await customer.all_ended(after)
    await _audit(site)
    say(f"all {len(test.took) + len(live.took)} tasks ended well, and every balance is the sum of its entries")


async def _beside_the_old_worker(
    old: Program, new: Program, test: Customer, live: Customer, api: str, say: Callable[[str], None]
) -> None:
    """The new API accepts, and only the old worker runs. Raises Broken."""
    if left := await live.wait(api, await _batch(live, api)):
        raise Broken(f"the old worker did not end {len(left)} of {BATCH} live tasks of the new API")
    say(f"the new API accepts, the old worker ended all {BATCH} live tasks")
    strange = sorted(set(_kinds(new)) - set(_kinds(old)))
    patience = HANDOVER if "task-test" in strange else END
    left = await test.wait(api, await _batch(test, api), patience)
    if left and "task-test" not in strange:
        raise Broken(f"the old worker did not end {len(left)} of {BATCH} test tasks of the new API")
    say(f"and {BATCH - len(left)} of {BATCH} test tasks")
    if strange:
        say(f"jobs of a new kind wait for a new worker: {', '.join(strange)}")


def _kinds(program: Program) -> list[str]:
    """The kinds of jobs that a program knows."""
    return _said(program, KINDS).split()


def _said(program: Program, code: str) -> str:
    """What a line of Python prints in a program."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(program.source)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


async def _upgrade_under_load(site: Site, customer: Customer, api: str, say: Callable[[str], None]) -> None:
    found = await standing(site.database_url)
    say(f"the old program made schema {found.revision}, the new one knows {head()}")
    if not found.pending(QUEUE):
        raise Broken("the old program knows the newest schema already: name an earlier one")
    enough = asyncio.Event()
    submits = asyncio.create_task(customer.submit_until(api, enough))
    for _ in range(5):
        await customer.submit(api)  # the others are under way by now
    earlier = set(customer.took)
    await migrate(site.database_url, QUEUE)
    say("upgraded: " + ", ".join(found.pending(QUEUE)))
    enough.set()
    await submits
    during = [took for task_id, took in customer.took.items() if task_id not in earlier]
    say(f"{len(during)} submits meanwhile, the slowest took {max(during) * 1000:.0f} ms")
    await customer.all_ended(api)
    say(f"the old worker ended all {len(customer.took)} on the new schema")


async def _batch(customer: Customer, api: str) -> list[str]:
    return await asyncio.gather(*(customer.submit(api) for _ in range(BATCH)))


async def _give_credits(site: Site) -> None:
    """Live tasks are paid for."""
    async with _database(site) as database:
        accounts = Accounts(database, clock=system, new_secret=new_secret)
        await accounts.grant((await accounts.all())[0], Mode.LIVE, milli(1_000_000))


async def _audit(site: Site) -> None:
    async with _database(site) as database:
        if wrong := await ledger.anomalies(database):
            raise Broken(f"balances are wrong: {wrong}")


@asynccontextmanager
async def _database(site: Site) -> AsyncIterator[Database]:
    database = Database(site.database_url, size=2)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


# ---- the earlier program ----


def earlier(root: Path) -> str:
    """The newest release tag, or else the commit before the newest migration was added."""
    tags = _git(root, "tag", "--list", "v*", "--sort=-version:refname").split()
    if tags:
        return tags[0]
    newest = MIGRATIONS / "versions" / f"{names()[-1]}.py"
    added = _git(root, "log", "--diff-filter=A", "--format=%H", "-n1", "--", str(newest)).strip()
    return f"{added}~1" if added else "HEAD"


@contextmanager
def exported(root: Path, ref: str) -> Iterator[Program]:
    """The source of a commit in a folder of its own. Raises Broken where it is not what would run."""
    with tempfile.TemporaryDirectory(prefix="tessera-earlier-") as name:
        packed = Path(name) / "src.tar"
        _git(root, "archive", f"--output={packed}", ref, "src", "pyproject.toml")
        shutil.unpack_archive(packed, name)
        _declare(Path(name))
        program = Program("old", Path(name) / "src")
        said = _said(program, "import tessera; print(tessera.__file__)")
        if not Path(said).is_relative_to(program.source):
            raise Broken(f"the old program would be imported from {said}")
        yield program


def _declare(folder: Path) -> None:
    """Say what the earlier program brings: what is installed tells of this one's plug-ins, which it may not have."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / "src" / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = {"console_scripts": project.get("scripts", {}), **project.get("entry-points", {})}
    lines = [line for group, names in groups.items() for line in (f"[{group}]", *map(" = ".join, names.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def _git(root: Path, *arguments: str) -> str:
    found = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    if found.returncode:
        raise Broken(f"git {arguments[0]}: {found.stderr.strip()}")
    return found.stdout


async def _check(folder: Path, database_url: str, url: str, old: Program, say: Callable[[str], None]) -> None:
    async with Simulator() as provider:
        site = Site(folder=folder, database_url=database_url, public_url=url, provider=(provider.url, provider.key))
        await check(site, old, Program("new", HERE), say)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tessera.testing.upgrade", description=__doc__.split("\n")[0])
    parser.add_argument("ref", nargs="?", help="The commit or tag of the earlier program.")
    ref = parser.parse_args().ref
    folder = Path(tempfile.mkdtemp(prefix="tessera-upgrade-"))
    embedded, began = Embedded(folder / "postgres"), time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    try:
        ref = ref or earlier(HERE)
        with exported(HERE.parent, ref) as old:
            say(f"from {ref} to the program in {HERE}")
            url = f"http://127.0.0.1:{_free_port()}"
            asyncio.run(_check(folder, embedded.start(), url, old, say))
    except Broken as error:
        print(f"BROKEN: {error}\nlogs and data: {folder}", file=sys.stderr)
        sys.exit(1)
    finally:
        embedded.stop()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

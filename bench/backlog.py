"""Measure a backlog: many tasks in flight at a slow provider, then many more waiting behind them.

``python -m bench.backlog`` takes about five minutes, ``--quick`` half a minute. One worker, one API process,
PostgreSQL, the provider and the load all share this machine.
"""

import argparse
import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from uuid import uuid4

import asyncpg
import msgspec
import psutil
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries
from pgqueuer.types import QueueEntrypoint, QueueManagerId
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import machine, report, rows, slow
from bench.load import HOST, ROOT, Outcome, Plan, drive
from bench.server import Server, free_port, serving
from bench.upstream import Book, Lateness
from tessera.db.embedded import Embedded

RESULTS = ROOT / "bench" / "results" / "backlog.json"
API = ("tessera.cli.main", "api")
WORKER = ("tessera.cli.main", "worker")
PURSE = 10**9
"""Credits: enough for everything."""

STEP = 0.5
"""Seconds between two looks."""

PATIENCE = 300.0
"""Seconds for any one stage; a stage that takes longer is a failure of the measurement."""


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """``flight`` tasks at a provider that takes ``seconds`` for each and wants to be asked every ``again`` seconds;
    ``waiting`` tasks behind as many, watched for ``watch`` seconds."""

    flight: int
    waiting: int
    seconds: float
    again: float
    watch: float


FULL = Scale(flight=10_000, waiting=100_000, seconds=60, again=10, watch=20)
QUICK = Scale(flight=500, waiting=5_000, seconds=8, again=2, watch=5)


class Flight(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, ``memory`` in bytes: the worker's at its largest. ``cruise`` is the poll lag while all tasks
    were in flight and none came or went, ``lateness`` that of the whole run."""

    tasks: int
    submitted: Outcome
    picked: float
    ended: float
    idle_memory: int
    memory: int
    worker_cpu: float
    database_cpu: float
    cruise: Lateness
    lateness: Lateness


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway is like at one moment: ``scrape`` and ``dequeue`` in milliseconds."""

    waiting: int
    submit: Outcome
    single: Outcome
    scrape: float
    dequeue: float


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """``before`` and ``behind``: without a backlog, and with it. ``drain`` is how long the worker took to stop."""

    before: Desk
    filled: Outcome
    behind: Desk
    held: int
    memory: int
    turnover: float
    lateness: Lateness
    drain: float


class Bench:
    """The servers of one run, and what can be asked of them. ``sent`` are submissions ready for the wire."""

    def __init__(self, url: str, upstream: int, api: Server, environ: Mapping[str, str], sent: list[bytes]) -> None:
        self.url = url
        self.api = api
        self.environ = environ
        self.sent = sent
        self._upstream = upstream

    @contextmanager
    def worker(self, concurrency: int) -> Iterator[Server]:
        port = free_port()
        more = {"TESSERA_WORKER_PORT": str(port), "TESSERA_WORKER_CONCURRENCY": str(concurrency)}
        with serving(WORKER, port, {**self.environ, **more}) as worker:
            yield worker

    def book(self) -> Book:
        return msgspec.json.decode(self._get("book"), type=Book)

    def late(self, since: int) -> Lateness:
        return msgspec.json.decode(self._get(f"late/{since}"), type=Lateness)

    def submit(self, count: int) -> Outcome:
        return drive(Plan(port=self.api.port, requests=self.sent, seconds=PATIENCE, count=count))

    def counts(self) -> dict[str, int]:
        """Tasks by state."""
        rows = self.query("SELECT state, count(*) FROM tasks GROUP BY state")
        return {row["state"]: row["count"] for row in rows}

    def query(self, statement: str) -> list[asyncpg.Record]:
        async def ask() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.url)
            try:
                return list(await connection.fetch(statement))
            finally:
                await connection.close()

        return asyncio.run(ask())

    def desk(self, waiting: int, seconds: float) -> Desk:
        """Measure submissions, a scrape and a dequeue as they are now."""
        plan = Plan(port=self.api.port, requests=self.sent, seconds=seconds)
        single = Plan(port=self.api.port, requests=self.sent, seconds=seconds / 2, connections=1)
        return Desk(
            waiting=waiting,
            submit=drive(plan),
            single=drive(single),
            scrape=median(_timed(lambda: _fetch(self.api.port, "metrics")) for _ in range(5)),
            dequeue=asyncio.run(_dequeue(self.url)),
        )

    def _get(self, path: str) -> bytes:
        return _fetch(self._upstream, path)


def _fetch(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://{HOST}:{port}/{path}", timeout=30) as answer:
        return bytes(answer.read())


def _timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


async def _dequeue(url: str) -> float:
    """Milliseconds that PostgreSQL takes to hand a new worker its first hundred jobs; they are given back at once."""
    connection = await asyncpg.connect(url)
    queries = Queries.from_asyncpg_connection(connection)
    took = []
    try:
        for _ in range(10):
            took.append(await _dequeue_once(connection, queries))
    finally:
        await connection.close()
    return median(took)


async def _dequeue_once(connection: asyncpg.Connection, queries: Queries) -> float:
    transaction = connection.transaction()
    await transaction.start()
    began = time.perf_counter()
    await queries.dequeue(
        100,
        {QueueEntrypoint("task"): EntrypointExecutionParameter(0)},
        QueueManagerId(uuid4()),
        10_000,
        timedelta(seconds=10),
    )
    took = time.perf_counter() - began
    await transaction.rollback()
    return 1000 * took


def fly(bench: Bench, scale: Scale, database: psutil.Process, bar: "Bar") -> Flight:
    """Part one: so many tasks in flight in one worker, from the first picked up to the last one ended."""
    submitted = bench.submit(scale.flight)
    with bench.worker(scale.flight) as worker:
        ready, cpu, stored = time.monotonic(), worker.cpu(), rows.database_cpu(database)
        idle, peak = worker.memory(), Peak(worker)

        def accepted() -> int:
            peak.look()
            return bench.book().accepted

        def ended() -> int:
            peak.look()
            return bench.book().fetched

        bar.until("picked up", accepted, scale.flight)
        picked, asked = time.monotonic() - ready, bench.book().asked
        # Between the last one picked up and the first one ready, where there is such a time, nothing comes or goes.
        time.sleep(max(2.0, scale.seconds - picked - 1.0))
        cruise = bench.late(asked)
        bar.until("fetched", ended, scale.flight)
        bar.until("ended", lambda: bench.counts().get("succeeded", 0), scale.flight)
        return Flight(
            tasks=scale.flight,
            submitted=submitted,
            picked=picked,
            ended=time.monotonic() - ready,
            idle_memory=idle,
            memory=peak.bytes,
            worker_cpu=worker.cpu() - cpu,
            database_cpu=rows.database_cpu(database) - stored,
            cruise=cruise,
            lateness=bench.late(0),
        )


def crowd(bench: Bench, scale: Scale, bar: "Bar") -> Crowd:
    """Part two: the worker is full, and ten times as many wait."""
    before = bench.desk(0, scale.watch / 4)
    with bench.worker(scale.flight) as worker:
        peak = Peak(worker)
        filled = bench.submit(scale.waiting + scale.flight)
        # On a busy machine it ends as many as it takes before it is full: then that is what it holds.
        bar.watch("in flight", lambda: bench.counts().get("running", 0), scale.flight, 1.5 * scale.seconds)
        counts = bench.counts()
        peak.look()
        behind = bench.desk(counts["waiting"], scale.watch / 4)
        # The load above takes its share of the machine: how the worker does is seen without it.
        time.sleep(2 * STEP)
        asked, done, since = bench.book().asked, bench.counts().get("succeeded", 0), time.monotonic()
        time.sleep(scale.watch)
        peak.look()
        ended = bench.counts()
        turnover = (ended.get("succeeded", 0) - done) / (time.monotonic() - since)
        late = bench.late(asked)
        held, stopping = ended.get("running", 0), time.monotonic()
    return Crowd(
        before=before,
        filled=filled,
        behind=behind,
        held=held,
        memory=peak.bytes,
        turnover=turnover,
        lateness=late,
        drain=time.monotonic() - stopping,
    )


class Peak:
    """The most memory that a process was seen to hold, in bytes."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.bytes = 0

    def look(self) -> None:
        self.bytes = max(self.bytes, self._server.memory())


class Bar:
    """One bar for each stage on a terminal; nothing elsewhere."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet

    def until(self, stage: str, count: Callable[[], int], total: int) -> None:
        """Look until the count is reached. Raises TimeoutError."""
        if (seen := self.watch(stage, count, total, PATIENCE)) < total:
            raise TimeoutError(f"{stage}: {seen} of {total} after {PATIENCE:g} s")

    def watch(self, stage: str, count: Callable[[], int], total: int, seconds: float) -> int:
        """Look until the count is reached, so many seconds at the most; answers how far it came."""
        columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        deadline = time.monotonic() + seconds
        with Progress(*columns, console=self._console, disable=self._quiet) as progress:
            task = progress.add_task(stage, total=total)
            while (seen := count()) < total and time.monotonic() < deadline:
                progress.update(task, completed=seen)
                time.sleep(STEP)
            progress.update(task, completed=seen)
        return seen


def judge(flight: Flight | None, crowded: Crowd | None) -> list[report.Line]:
    """The promises, and what was seen of them."""
    found = []
    if flight:
        found += [
            report.line("in flight: memory of the worker", 400, flight.memory / 1e6, " MB"),
            report.line("in flight: poll lag, p99", 1, flight.lateness.p99, " s"),
        ]
    if crowded:
        found += [
            report.line("backlog: memory of the worker", 400, crowded.memory / 1e6, " MB"),
            report.line("backlog: poll lag, p99", 1, crowded.lateness.p99, " s"),
            report.line("backlog: one submit at a time, p99", 50, crowded.behind.single.p99, " ms"),
            report.line("backlog: scrape of /metrics", 250, crowded.behind.scrape, " ms"),
            report.line("backlog: dequeue of a hundred", 50, crowded.behind.dequeue, " ms"),
        ]
    return found


def show(console: Console, scale: Scale, flight: Flight | None, crowded: Crowd | None) -> None:
    if flight:
        console.print(report.table(_title(scale, flight), ("", "seen"), _flight_rows(flight)))
    if crowded:
        title = f"{crowded.behind.waiting:,} waiting behind {crowded.held:,} in flight"
        console.print(report.table(title, ("", "no backlog", "with it"), _crowd_rows(crowded)))
    judged = [(each.measure, each.target, each.seen, report.mark(each)) for each in judge(flight, crowded)]
    console.print(report.table("Promises", ("", "target", "seen", ""), judged))


def _title(scale: Scale, flight: Flight) -> str:
    return f"{flight.tasks:,} tasks at a provider of {scale.seconds:g} s, asked every {scale.again:g} s, one worker"


def _flight_rows(flight: Flight) -> list[tuple[str, str]]:
    return [
        ("submitted", f"{flight.submitted.rate:,.0f}/s, p99 {flight.submitted.p99:.0f} ms"),
        ("all picked up after", f"{flight.picked:.1f} s"),
        ("all ended after", f"{flight.ended:.1f} s"),
        ("worker: memory, idle and largest", f"{flight.idle_memory / 1e6:.0f} MB, {flight.memory / 1e6:.0f} MB"),
        ("processor: worker, PostgreSQL", f"{flight.worker_cpu:.0f} s, {flight.database_cpu:.0f} s"),
        ("poll lag, whole run", _late(flight.lateness)),
        ("poll lag, cruising", _late(flight.cruise)),
    ]


def _crowd_rows(crowded: Crowd) -> list[tuple[str, str, str]]:

    def both(tell: Callable[[Desk], str]) -> tuple[str, str]:
        return tell(crowded.before), tell(crowded.behind)

    return [
        ("submits, 32 connections", *both(lambda each: f"{each.submit.rate:,.0f}/s, p99 {each.submit.p99:.0f} ms")),
        ("one submit at a time", *both(lambda each: f"{each.single.p50:.1f} ms, p99 {each.single.p99:.0f} ms")),
        ("scrape of /metrics", *both(lambda each: f"{each.scrape:.0f} ms")),
        ("dequeue of a hundred", *both(lambda each: f"{each.dequeue:.1f} ms")),
        ("filled at", "", f"{crowded.filled.rate:,.0f}/s, p99 {crowded.filled.p99:.0f} ms"),
        ("worker: memory", "", f"{crowded.memory / 1e6:.0f} MB"),
        ("tasks ended", "", f"{crowded.turnover:.0f}/s"),
        ("poll lag", "", _late(crowded.lateness)),
        ("worker stopped within", "", f"{crowded.drain:.1f} s"),
    ]


def _late(lateness: Lateness) -> str:
    times = (f"{1000 * each:.0f} ms" for each in (lateness.p50, lateness.p99, lateness.worst))
    return "p50 {}, p99 {}, worst {}".format(*times) + f" of {lateness.count:,}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.backlog", description="Measure a backlog on this machine.")
    parser.add_argument("--quick", action="store_true", help="a twentieth of it, about half a minute")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, no bars")
    parser.add_argument("--again", type=float, help="seconds between two questions about a job (10; quick: 2)")
    parser.add_argument("--only", choices=("flight", "crowd"), help="one of the two parts")
    parser.add_argument("--folder", type=Path, help="where the database and the files lie meanwhile")
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    scale = msgspec.structs.replace(scale, again=arguments.again) if arguments.again else scale
    with tempfile.TemporaryDirectory(prefix="tessera-bench-", dir=arguments.folder) as folder:
        _run(Path(folder), scale, arguments.only, quiet=arguments.json)


def _run(folder: Path, scale: Scale, only: str | None, *, quiet: bool) -> None:
    console, began = Console(), time.monotonic()
    facts: dict[str, object] = {"at": datetime.now(UTC), "machine": machine.facts(folder), "scale": scale}
    database = Embedded(folder / "data" / "postgres")
    url = database.start()
    try:
        facts["durability"] = asyncio.run(machine.durability(url))
        postmaster = psutil.Process(int((folder / "data" / "postgres" / "postmaster.pid").read_text().split()[0]))
        with _opened(folder, scale, url) as bench:
            bar = Bar(console, quiet=quiet)
            flight = fly(bench, scale, postmaster, bar) if only != "crowd" else None
            crowded = crowd(bench, scale, bar) if only != "flight" else None
    finally:
        database.stop()
    facts["seconds"] = round(time.monotonic() - began, 1)
    document = {**facts, "promises": judge(flight, crowded), "flight": flight, "crowd": crowded}
    text = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_bytes(text)
    if quiet:
        sys.stdout.write(text.decode())
        return
    show(console, scale, flight, crowded)
    console.print(f"everything: {RESULTS.relative_to(ROOT)}")


@contextmanager
def _opened(folder: Path, scale: Scale, url: str) -> Iterator[Bench]:
    """The provider and the API, running, and credits enough."""
    key, upstream, port = f"tsk_live_{secrets.token_hex(24)}", free_port(), free_port()
    slow.install(folder / "plugins")
    environ = {
        "TESSERA_DATA_DIR": str(folder / "data"),
        "TESSERA_HOST": HOST,
        "TESSERA_PORT": str(port),
        "TESSERA_RATE_LIMIT": "0",
        "TESSERA_LOG_LEVEL": "warning",
        "TESSERA_BOOTSTRAP_LIVE_KEY": key,
        "PYTHONPATH": os.pathsep.join((str(folder / "plugins"), *sys.path[1:])),
        slow.VARIABLE: f"http://{HOST}:{upstream}",
    }
    with (
        serving(["bench.upstream", str(upstream), str(scale.seconds), str(scale.again)], upstream),
        serving(API, port, environ) as api,
    ):
        _grant(environ)
        yield Bench(url, upstream, api, environ, rows.requests({}, key)["submit"])


def _grant(environ: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "tessera.cli.main", "credits", "grant", "default", str(PURSE), "--mode", "live"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environ}, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()

"""``/metrics`` for Prometheus: what this process counted, and what the database says at the moment of the scrape.

It is for the machine itself. From elsewhere, through a proxy included, there is no such path, unless ``metrics_token``
is set: then whoever shows it is answered, and nobody else.
"""

import asyncio
import hmac
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from ipaddress import ip_address
from itertools import accumulate
from typing import TYPE_CHECKING

import structlog
from litestar import Request, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from tessera import __version__
from tessera.api.http import HttpRequest, HttpResponse, answer
from tessera.db import stats
from tessera.domain.task import State
from tessera.kit.meter import BOUNDS, Labels, Times
from tessera.wiring import House

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = structlog.get_logger(__name__)

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip")

LEDGER_EVERY = 60.0
LEDGER_SHARE = 20
"""The ledger is added up at most once a minute, and no more than one twentieth of the time is spent on it."""
LEDGER_PATIENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the database says. None where it does not answer."""

    jobs: Sequence[stats.Jobs]
    tasks: Sequence[stats.Open]


class Audit:
    """How many wallets are not the sum of their ledger, as of the last time that it was added up."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._next = 0.0
        self._running: asyncio.Task[None] | None = None
        self.count: int | None = None

    async def look(self) -> None:
        """Begin to add up where it is time to, and wait for it a moment only: a scrape must not time out on it."""
        if self._running is None and time.monotonic() >= self._next:
            self._running = asyncio.create_task(self._add_up())
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=1.0)

    async def _add_up(self) -> None:
        began = time.monotonic()
        try:
            found = await stats.anomalies(self._house.database, timeout=LEDGER_PATIENCE)
            for line in found:
                log.error("ledger anomaly", wallet=line)
            self.count = len(found)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost the other numbers
            self.count = None
            log.warning("the ledger could not be added up", error=str(error), kind=type(error).__name__)
        finally:
            took = time.monotonic() - began
            self._next = time.monotonic() + max(LEDGER_EVERY, LEDGER_SHARE * took)
            self._running = None


class Metrics:
    def __init__(self, house: House) -> None:
        self._house = house
        self._audit = Audit(house)
        self._turn = asyncio.Lock()

    async def show(self) -> bytes:
        await asyncio.to_thread(import_module, "prometheus_client")  # 70 ms that only who is scraped pays
        async with self._turn:
            snapshot = await self._snapshot()
            if snapshot is not None:
                await self._audit.look()
        from prometheus_client import GC_COLLECTOR, CollectorRegistry, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Shown(self._house, snapshot, self._audit.count))
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(GC_COLLECTOR)
        return bytes(generate_latest(registry))

    async def _snapshot(self) -> Snapshot | None:
        try:
            async with asyncio.timeout(5):
                database = self._house.database
                return Snapshot(await stats.jobs(database), await stats.open_tasks(database))
        except Exception as error:  # noqa: BLE001 - a database that is down is a number, too
            log.warning("no numbers from the database", error=str(error), kind=type(error).__name__)
            return None


class _Shown:
    """A collector of Prometheus's over one moment."""

    def __init__(self, house: House, snapshot: Snapshot | None, anomalies: int | None) -> None:
        self._house = house
        self._snapshot = snapshot
        self._anomalies = anomalies

    def collect(self) -> Iterator["Metric"]:
        yield _gauge("tessera_info", "The version that runs.", ("version",), {(__version__,): 1})
        yield _gauge("tessera_database_up", "Whether the database answered.", (), {(): int(self._snapshot is not None)})
        yield from self._process()
        yield from self._counted()
        if self._snapshot is not None:
            yield from self._queue(self._snapshot.jobs)
            yield from self._tasks(self._snapshot.tasks)
        if self._anomalies is not None:
            yield _gauge(
                "tessera_ledger_anomalies",
                "Wallets whose balance is not the sum of their ledger entries.",
                (),
                {(): self._anomalies},
            )

    def _process(self) -> Iterator["Metric"]:
        worker, pool = self._house.worker, self._house.database.pool
        yield _gauge("tessera_worker_up", "Whether this process takes jobs.", (), {(): int(worker.alive)})
        yield _gauge("tessera_worker_jobs", "Jobs that this process holds.", (), {(): worker.holding})
        idle = pool.get_idle_size()
        connections: dict[Labels, float] = {("idle",): idle, ("busy",): pool.get_size() - idle}
        yield _gauge("tessera_database_connections", "Connections of this process.", ("state",), connections)

    def _counted(self) -> Iterator["Metric"]:
        book = self._house.meter
        yield _gauge(
            "tessera_in_flight",
            "Tasks of this process that are with a provider now.",
            ("provider",),
            book.levels("in_flight"),
        )
        yield _counter("tessera_attempts", "Attempts that ended.", ("provider", "outcome"), book.counts("attempts"))
        yield _counter("tessera_tasks", "Tasks that ended.", ("family", "end", "reason"), book.counts("tasks"))
        yield _counter("tessera_callbacks", "Tries to deliver a callback.", ("outcome",), book.counts("callbacks"))
        failed: dict[Labels, int] = {(): 0, **book.counts("jobs_failed")}
        yield _counter("tessera_jobs_failed", "Jobs that met a fault of ours and are tried again.", (), failed)
        yield _histogram(
            "tessera_request_seconds",
            "Time from a request to the beginning of its answer.",
            ("route", "code"),
            book.times("requests"),
        )

    def _queue(self, lines: Sequence[stats.Jobs]) -> Iterator["Metric"]:
        counts: dict[Labels, int] = {(line.kind, line.status): line.count for line in lines}
        yield _gauge("tessera_queue_jobs", "Jobs in the queue.", ("kind", "status"), counts)
        due: dict[Labels, float] = {(line.kind,): line.due for line in lines if line.status == "queued"}
        yield _gauge("tessera_queue_due_seconds", "How long the oldest due job has waited.", ("kind",), due)
        pending = [line for line in lines if line.kind in ("callback", "callback-test")]
        yield _gauge(
            "tessera_deliveries_pending", "Callbacks to deliver.", (), {(): sum(line.count for line in pending)}
        )
        oldest = max((line.oldest for line in pending), default=0.0)
        yield _gauge("tessera_deliveries_oldest_seconds", "Age of the oldest of them.", (), {(): oldest})

    def _tasks(self, lines: Sequence[stats.Open]) -> Iterator["Metric"]:
        found = {line.state: line for line in lines}
        states = (State.WAITING, State.RUNNING)
        counts: dict[Labels, int] = {(state.value,): found[state].count if state in found else 0 for state in states}
        yield _gauge("tessera_tasks_open", "Tasks that have not ended.", ("state",), counts)
        now, waiting = self._house.clock(), found.get(State.WAITING)
        age = max(0.0, (now - waiting.oldest).total_seconds()) if waiting else 0.0
        yield _gauge("tessera_tasks_oldest_waiting_seconds", "Age of the oldest waiting task.", (), {(): age})


def _gauge(name: str, doc: str, labels: Sequence[str], values: Mapping[Labels, float]) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, doc, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, doc: str, labels: Sequence[str], values: Mapping[Labels, int]) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, doc, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _histogram(name: str, doc: str, labels: Sequence[str], values: Mapping[Labels, Times]) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, doc, labels=labels)
    bounds = [*map(str, BOUNDS), "+Inf"]
    for key, times in values.items():
        family.add_metric(key, list(zip(bounds, accumulate(times.groups), strict=True)), sum_value=times.total)
    return family


def permitted(request: HttpRequest, token: str | None) -> bool:
    """With a token: who shows it. Without: who asks on the machine itself, and not by way of a proxy on it."""
    if token is not None:
        kind, _, shown = request.headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def routes(house: House) -> list[HTTPRouteHandler]:
    metrics = Metrics(house)

    @get("/metrics")
    async def show(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        if not permitted(request, house.config.metrics_token):
            raise NotFoundException
        return answer(await metrics.show(), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})

    return [show]

"""The worker: takes jobs from the queue, holds many at a time, and hands them back when it drains.

PgQueuer keeps a heartbeat on every job that it holds; the jobs of a worker that died are taken over by the next one
that looks. It looks when it dequeues, which is why it does so every other second.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from pgqueuer import PgQueuer
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job, Schedule

from tessera.db.connection import Database
from tessera.engine import faults
from tessera.engine.run import Run
from tessera.engine.step import HandBack
from tessera.kit.meter import SILENT, Meter
from tessera.kit.trace import HEADERS, OFF, Carrier, Tracer

log = structlog.get_logger(__name__)

Step = Callable[[str], Awaitable[timedelta | None]]
"""One try of a delivery or of passing a cancel on; answers how long to wait for the next, None when it is over."""

Sweep = Callable[[], Awaitable[object]]

AGAIN = timedelta(seconds=5)
SWEEP = "*/10 * * * *"
"""Retention runs every ten minutes, on one worker of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """``concurrency`` jobs held at the most; a job without a heartbeat for ``heartbeat`` is taken over."""

    concurrency: int
    heartbeat: timedelta
    dequeue: timedelta
    drain: timedelta
    batch: int = 100


class Worker:
    def __init__(
        self,
        database: Database,
        run: Run,
        deliver: Step,
        pass_on: Step,
        sweep: Sweep,
        pace: Pace,
        *,
        meter: Meter = SILENT,
        tracer: Tracer = OFF,
    ) -> None:
        self._database = database
        self._run = run
        self._deliver = deliver
        self._pass_on = pass_on
        self._sweep = sweep
        self._pace = pace
        self._meter = meter
        self._tracer = tracer
        self._held: set[asyncio.Task[None]] = set()
        self._queue: PgQueuer | None = None
        self._main: asyncio.Task[None] | None = None

    @property
    def holding(self) -> int:
        return len(self._held)

    @property
    def alive(self) -> bool:
        return self._main is not None and not self._main.done()

    async def start(self) -> None:
        logging.getLogger("pgqueuer").setLevel(logging.ERROR)
        self._main = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """Drain: claim nothing more, let steps under way end, hand the rest back."""
        await faults.reach("drain")
        self._run.draining.set()
        if self._queue is not None:
            self._queue.shutdown.set()
        if self._held:
            await asyncio.wait(self._held, timeout=self._pace.drain.total_seconds())
        for task in self._held:
            task.cancel()
        if self._main is not None:
            await asyncio.wait({self._main}, timeout=self._pace.drain.total_seconds())
            self._main.cancel()

    async def _keep_running(self) -> None:
        """The queue ends when the database goes away: it is started again until the process drains."""
        while not self._run.draining.is_set():
            self._queue = self._build()
            try:
                await self._queue.run(
                    dequeue_timeout=self._pace.dequeue,
                    batch_size=self._pace.batch,
                    max_concurrent_tasks=max(self._pace.concurrency, 2 * self._pace.batch),
                    heartbeat_timeout=self._pace.heartbeat,
                    shutdown_on_listener_failure=True,
                )
            except Exception as error:  # noqa: BLE001 - the worker outlives its database
                if self._run.draining.is_set():
                    return
                log.error("queue lost, starting again", error=str(error), kind=type(error).__name__)
                await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(1):
                await self._run.draining.wait()
        except TimeoutError:
            return

    def _build(self) -> PgQueuer:
        built = PgQueuer.from_asyncpg_pool(self._database.pool)
        built.entrypoint("task", accepts_context=False)(self._task)
        built.entrypoint("callback", accepts_context=False)(self._callback)
        built.entrypoint("cancel", accepts_context=False)(self._cancel)
        built.schedule("retention", SWEEP)(self._retention)
        return built

    async def _task(self, job: Job) -> None:
        await self._traced("run", job, self._run.walk(_payload(job)))

    async def _callback(self, job: Job) -> None:
        await self._traced("callback", job, self._repeat(self._deliver, _payload(job)))

    async def _cancel(self, job: Job) -> None:
        await self._traced("cancel", job, self._repeat(self._pass_on, _payload(job)))

    async def _traced(self, name: str, job: Job, work: Awaitable[None]) -> None:
        """Do the work of one job as a part of the trace that it was put in the queue with."""
        with self._tracer.root(name, _carrier(job), kind="consumer", subject=_payload(job)):
            await self._hold(work)

    async def _retention(self, schedule: Schedule) -> None:
        try:
            await self._sweep()
        except Exception as error:  # noqa: BLE001 - the next round does again what this one could not
            log.error("retention failed", error=str(error))

    async def _repeat(self, step: Step, subject: str) -> None:
        again = await step(subject)
        if again is not None:
            raise RetryRequested(delay=again)

    async def _hold(self, work: Awaitable[None]) -> None:
        """Do the work of one job; what happens to the job is decided here and nowhere else."""
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._held.add(task)
        try:
            await asyncio.shield(task)
        except HandBack:
            raise RetryRequested(delay=timedelta(0), reason="draining") from None
        except RetryRequested:
            raise
        except asyncio.CancelledError:
            task.cancel()
            raise RetryRequested(delay=timedelta(0), reason="stopped") from None
        except Exception as error:
            # A fault of ours or of the database: the job stays, so that the task is never lost.
            log.exception("job failed, trying again", error=str(error))
            self._meter.count("jobs_failed")
            raise RetryRequested(delay=AGAIN, reason=type(error).__name__) from error
        finally:
            self._held.discard(task)


def _carrier(job: Job) -> Carrier | None:
    """What tells of the trace that put this job into the queue."""
    found = job.headers or {}
    return {name: str(found[name]) for name in HEADERS if name in found} or None


def _payload(job: Job) -> str:
    return (job.payload or b"").decode()

"""The worker: takes jobs from the queue, holds many at a time, and hands them back when it drains.

PgQueuer keeps a heartbeat on every job that it holds; the jobs of a worker that died are taken over by the next one
that looks. It looks when it dequeues, which is why it does so every other second.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from pgqueuer import PgQueuer
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job, Schedule

from tessera.db.connection import Database
from tessera.engine import faults, lease
from tessera.engine.run import Run
from tessera.engine.step import HandBack, LostClaim
from tessera.kit.meter import SILENT, Meter
from tessera.kit.trace import HEADERS, OFF, Carrier, Tracer

log = structlog.get_logger(__name__)

Step = Callable[[str], Awaitable[timedelta | None]]
"""One try of a delivery or of passing a cancel on; answers how long to wait for the next, None when it is over."""

Work = Callable[[str], Coroutine[None, None, None]]
"""What is done about the subject of a job."""

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
        self._held: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._queue: PgQueuer | None = None
        self._queues: set[asyncio.Task[None]] = set()
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
            await asyncio.wait(self._held.values(), timeout=self._pace.drain.total_seconds())
        for task in list(self._held.values()):
            task.cancel()
        if self._main is not None:
            await asyncio.wait({self._main}, timeout=self._pace.drain.total_seconds())
            self._main.cancel()

    async def _keep_running(self) -> None:
        """A queue ends when the database goes away: another one is begun until the process drains.

        The jobs of the one before go on meanwhile, and it keeps their leases.
        """
        draining = asyncio.create_task(self._run.draining.wait())
        try:
            while not draining.done():
                self._queue = self._build()
                running = asyncio.create_task(self._take(self._queue))
                self._queues.add(running)
                running.add_done_callback(self._queues.discard)
                ending = asyncio.create_task(self._queue.shutdown.wait())
                await asyncio.wait({running, ending, draining}, return_when=asyncio.FIRST_COMPLETED)
                ending.cancel()
                if not draining.done():
                    log.error("queue lost, beginning another", held=self.holding)
                    await self._rest()
            if self._queues:
                await asyncio.wait(self._queues)
        finally:
            for task in (draining, *self._queues):
                task.cancel()

    async def _take(self, queue: PgQueuer) -> None:
        """Take jobs from the queue until it ends, and hold those that were taken until they are done."""
        # The library wants room for two batches: a worker that shall hold few jobs takes them in small ones.
        batch = max(1, min(self._pace.batch, self._pace.concurrency // 2))
        try:
            await queue.run(
                dequeue_timeout=self._pace.dequeue,
                batch_size=batch,
                max_concurrent_tasks=max(self._pace.concurrency, 2 * batch),
                heartbeat_timeout=self._pace.heartbeat,
                shutdown_on_listener_failure=True,
            )
        except Exception as error:  # noqa: BLE001 - the worker outlives its database
            log.warning("queue ended", error=str(error), kind=type(error).__name__)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(1):
                await self._run.draining.wait()
        except TimeoutError:
            return

    def _build(self) -> PgQueuer:
        built = lease.build(self._database)
        built.entrypoint("task", accepts_context=False)(self._task)
        built.entrypoint("callback", accepts_context=False)(self._callback)
        built.entrypoint("cancel", accepts_context=False)(self._cancel)
        built.schedule("retention", SWEEP)(self._retention)
        return built

    async def _task(self, job: Job) -> None:
        await self._traced("run", job, self._run.hold)

    async def _callback(self, job: Job) -> None:
        await self._traced("callback", job, partial(self._repeat, self._deliver))

    async def _cancel(self, job: Job) -> None:
        await self._traced("cancel", job, partial(self._repeat, self._pass_on))

    async def _traced(self, name: str, job: Job, work: Work) -> None:
        """Do the work of one job as a part of the trace that it was put in the queue with."""
        with self._tracer.root(name, _carrier(job), kind="consumer", subject=_payload(job)):
            await self._hold(job, work)

    async def _retention(self, schedule: Schedule) -> None:
        try:
            await self._sweep()
        except Exception as error:  # noqa: BLE001 - the next round does again what this one could not
            log.error("retention failed", error=str(error))

    async def _repeat(self, step: Step, subject: str) -> None:
        again = await step(subject)
        if again is not None:
            raise RetryRequested(delay=again)

    async def _hold(self, job: Job, work: Work) -> None:
        """Do the work of one job; what happens to the job is decided here and nowhere else."""
        task = self._begin(job, work)
        try:
            await asyncio.shield(task)
        except HandBack:
            raise RetryRequested(delay=timedelta(0), reason="draining") from None
        except LostClaim:
            # Where the job is still ours, or ours again, there is a task to be brought to its end.
            raise RetryRequested(delay=timedelta(0), reason="claim lost") from None
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

    def _begin(self, job: Job, work: Work) -> "asyncio.Task[None]":
        """The work on this subject: begun now, or under way already for a queue that has ended since."""
        key = (str(job.entrypoint), _payload(job))
        task = self._held.get(key)
        if task is None:
            task = asyncio.create_task(work(_payload(job)))
            self._held[key] = task
            task.add_done_callback(lambda _: self._held.pop(key, None))
        return task


def _carrier(job: Job) -> Carrier | None:
    """What tells of the trace that put this job into the queue."""
    found = job.headers or {}
    return {name: str(found[name]) for name in HEADERS if name in found} or None


def _payload(job: Job) -> str:
    return (job.payload or b"").decode()

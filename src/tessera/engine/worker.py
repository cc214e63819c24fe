"""The worker: takes jobs from the queue, holds many at a time, and hands them back when it drains.

PgQueuer keeps a heartbeat on every job that it holds; the jobs of a worker that died are taken over by the next one
that looks. It looks when it dequeues, which is why it does so every other second.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from pgqueuer import PgQueuer
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job, Schedule

from tessera.db import webhooks
from tessera.db.connection import Database
from tessera.engine import faults, lease
from tessera.engine.run import Run
from tessera.engine.step import HandBack, LostClaim
from tessera.kit.backoff import grow
from tessera.kit.meter import SILENT, Meter
from tessera.kit.trace import HEADERS, OFF, Carrier, Tracer

log = structlog.get_logger(__name__)

Step = Callable[[str], Awaitable[timedelta | None]]
"""One try of a delivery or of passing a cancel on; answers how long to wait for the next, None when it is over."""

Work = Callable[[str], Coroutine[None, None, None]]
"""What is done about the subject of a job."""

Sweep = Callable[[], Awaitable[object]]

AGAIN = timedelta(seconds=5)
SOON = timedelta(seconds=1)
CROWDED = timedelta(seconds=30)
"""How long a callback or a cancel is put off at the most while too many others hang."""

CALLBACKS, TEST_CALLBACKS, CANCELS = 1000, 250, 1000
"""Callbacks of live tasks, those of test tasks, and cancels held at the most: none waits for a slot of another."""

PART = 4
"""One account holds at the most this part of the slots for callbacks: its receivers may hang, and others' do not."""

SWEEP = "*/10 * * * *"
"""Retention runs every ten minutes, on one worker of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """``concurrency`` live tasks and ``test_concurrency`` test tasks held at the most.

    A job without a heartbeat for ``heartbeat`` is taken over. At shutdown steps under way get ``drain`` to end; a
    submission that was sent, and whose answer comes this once or never, gets ``longest``.
    """

    concurrency: int
    test_concurrency: int
    heartbeat: timedelta
    dequeue: timedelta
    drain: timedelta
    longest: timedelta
    batch: int = 100


class Lane:
    """A queue that is taken from until the process drains; ``register`` gives it its entrypoints.

    At most ``concurrency`` of its jobs are held at a time.
    """

    def __init__(
        self,
        database: Database,
        draining: asyncio.Event,
        register: Callable[[PgQueuer], None],
        pace: Pace,
        concurrency: int,
    ) -> None:
        self._database = database
        self._draining = draining
        self._register = register
        self._pace = pace
        self._concurrency = concurrency
        self._queue: PgQueuer | None = None
        self._queues: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Take nothing more."""
        if self._queue is not None:
            self._queue.shutdown.set()

    async def keep_running(self) -> None:
        """A queue ends when the database goes away: another one is begun until the process drains.

        The jobs of the one before go on meanwhile, and it keeps their leases.
        """
        draining = asyncio.create_task(self._draining.wait())
        try:
            while not draining.done():
                await self._run_one(draining)
            if self._queues:
                await asyncio.wait(self._queues)
        finally:
            for task in (draining, *self._queues):
                task.cancel()

    async def _run_one(self, draining: asyncio.Task[bool]) -> None:
        self._queue = queue = lease.build(self._database, self._pace.heartbeat)
        self._register(queue)
        running = asyncio.create_task(self._take(queue))
        self._queues.add(running)
        running.add_done_callback(self._queues.discard)
        ending = asyncio.create_task(queue.shutdown.wait())
        await asyncio.wait({running, ending, draining}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not draining.done():
            queue.shutdown.set()
            lease.hang_up(queue)
            log.error("queue lost, beginning another")
            await self._rest()

    async def _take(self, queue: PgQueuer) -> None:
        """Take jobs from the queue until it ends, and hold those that were taken until they are done."""
        # The library wants room for two batches: a worker that shall hold few jobs takes them in small ones.
        batch = max(1, min(self._pace.batch, self._concurrency // 2))
        keeping = asyncio.create_task(lease.keep(queue, self._pace.heartbeat))
        # Where nothing is scheduled nobody has to ask every second what is due.
        run = queue.run if queue.sm.registry else queue.qm.run
        try:
            await run(
                dequeue_timeout=self._pace.dequeue,
                batch_size=batch,
                max_concurrent_tasks=max(self._concurrency, 2 * batch),
                heartbeat_timeout=lease.OFF,
                shutdown_on_listener_failure=True,
            )
        except Exception as error:  # noqa: BLE001 - the worker outlives its database
            log.warning("queue ended", error=str(error), kind=type(error).__name__)
        finally:
            keeping.cancel()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(1):
                await self._draining.wait()
        except TimeoutError:
            return


class Slots:
    """So many errands of a kind are under way at the most, and ``each`` of one account."""

    def __init__(self, most: int, each: int) -> None:
        self._most = most
        self._each = max(1, each)
        self._held: Counter[str] = Counter()

    @contextmanager
    def one(self, account_id: str) -> Iterator[bool]:
        """A slot for the account while the block runs. Answers whether there was one left."""
        room = self._held.total() < self._most and self._held[account_id] < self._each
        self._held[account_id] += room
        try:
            yield room
        finally:
            self._held[account_id] -= room
            if not self._held[account_id]:
                del self._held[account_id]


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
        self._slots = {
            "callback": Slots(CALLBACKS, CALLBACKS // PART),
            "callback-test": Slots(TEST_CALLBACKS, TEST_CALLBACKS // PART),
            "cancel": Slots(CANCELS, CANCELS),
        }
        self._held: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._lanes = (
            Lane(database, run.draining, self._tasks, pace, pace.concurrency),
            # Test tasks have slots of their own: a flood of them, or some that hang, delays nobody's live ones.
            Lane(database, run.draining, self._tests, pace, pace.test_concurrency),
            # Callbacks and cancels are short, and never wait behind tasks that are long. Each kind has slots enough
            # here: a lane of its own would cost each a connection to listen with.
            Lane(database, run.draining, self._errands, pace, CALLBACKS + TEST_CALLBACKS + CANCELS),
        )
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
        for lane in self._lanes:
            lane.close()
        await self._let_end()
        for task in list(self._held.values()):
            task.cancel()
        if self._main is not None:
            await asyncio.wait({self._main}, timeout=self._pace.drain.total_seconds())
            self._main.cancel()
            await asyncio.wait({self._main})

    async def _let_end(self) -> None:
        """Wait for what is held: for the drain time, and longer for submissions that nobody can ask after again."""
        began = asyncio.get_running_loop().time()
        while self._held:
            waited = asyncio.get_running_loop().time() - began
            most = self._pace.longest if self._run.unrepeatable else self._pace.drain
            left = most.total_seconds() - waited
            if left <= 0:
                return
            if waited > self._pace.drain.total_seconds():
                log.warning("waiting for paid submissions to answer", count=self._run.unrepeatable)
            # For all of them: who looks anew after each of thousands is busy with nothing else.
            await asyncio.wait(self._held.values(), timeout=min(left, 1.0))

    async def _keep_running(self) -> None:
        await asyncio.gather(*(lane.keep_running() for lane in self._lanes))

    def _tasks(self, queue: PgQueuer) -> None:
        queue.entrypoint("task", accepts_context=False)(self._task)

    def _tests(self, queue: PgQueuer) -> None:
        queue.entrypoint("task-test", accepts_context=False)(self._task)

    def _errands(self, queue: PgQueuer) -> None:
        queue.entrypoint("callback", accepts_context=False)(self._callback)
        queue.entrypoint("callback-test", accepts_context=False)(self._callback)
        queue.entrypoint("cancel", accepts_context=False)(self._cancel)
        queue.schedule("retention", SWEEP)(self._retention)

    async def _task(self, job: Job) -> None:
        await self._traced("run", job, self._run.hold)

    async def _callback(self, job: Job) -> None:
        await self._traced("callback", job, partial(self._tell, job))

    async def _cancel(self, job: Job) -> None:
        await self._traced("cancel", job, partial(self._errand, job, "", self._pass_on))

    async def _traced(self, name: str, job: Job, work: Work) -> None:
        """Do the work of one job as a part of the trace that it was put in the queue with."""
        with self._tracer.root(name, _carrier(job), kind="consumer", subject=_payload(job)):
            await self._hold(job, work)

    async def _retention(self, schedule: Schedule) -> None:
        try:
            await self._sweep()
        except Exception as error:  # noqa: BLE001 - the next round does again what this one could not
            log.error("retention failed", error=str(error))

    async def _tell(self, job: Job, delivery_id: str) -> None:
        delivery = await webhooks.get(self._database, delivery_id)
        if delivery is not None:
            await self._errand(job, delivery.account_id, self._deliver, delivery_id)

    async def _errand(self, job: Job, account_id: str, step: Step, subject: str) -> None:
        """One step, and another one when it says so. Where no slot is left it is put off, for ever longer."""
        with self._slots[str(job.entrypoint)].one(account_id) as room:
            if not room:
                raise RetryRequested(delay=grow(SOON, 2, job.attempts, CROWDED), reason="no slot")
            again = await step(subject)
        if again is not None:
            raise RetryRequested(delay=again)

    async def _hold(self, job: Job, work: Work) -> None:
        """Do the work of one job; what happens to the job is decided here and nowhere else."""
        task = self._begin(job, work)
        try:
            await asyncio.shield(task)
        except HandBack as back:
            raise RetryRequested(delay=back.delay, reason="handed back") from None
        except LostClaim:
            # Where the job is still ours, or ours again, there is a task to be brought to its end.
            raise RetryRequested(delay=SOON, reason="claim lost") from None
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

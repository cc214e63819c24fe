"""PgQueuer for a worker, with leases that bind and an ear for the database going away.

The library ends, repeats and keeps alive whatever job it is told of, drops one that it could not put back, and when the
database goes away it waits for all its jobs before it says so. None of that may happen to a paid task:

- only the holder of a job ends it, puts it back or renews its lease (``db/journal``);
- the leases of all jobs that a queue holds are renewed together (``keep``), not by a timer for each of thousands;
- jobs that are put back at the same moment, as all are when a worker stops, are put back together;
- a process that is behind with what it holds takes nothing more until it has caught up;
- only a job that was done leaves the queue; one that could not even be put back is taken over when its lease is over;
- ``PgQueuer.shutdown`` is set at the first sign of a lost database, so that the worker can begin anew at once, while
  the jobs that are held already go on.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from uuid import UUID

import structlog
from pgqueuer import PgQueuer
from pgqueuer.core.buffers import HeartbeatBuffer, JobStatusLogBuffer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Job, TracebackRecord
from pgqueuer.ports.driver import NotifyCallback
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import JOB_STATUS, HealthCheckId, JobId, QueueEntrypoint, QueueManagerId

from tessera.db import journal
from tessera.db.connection import Database
from tessera.db.errors import LOST
from tessera.kit.batch import Batch

log = structlog.get_logger(__name__)


OFF = timedelta(days=1)
"""The library's own heartbeat is told to beat so seldom that it never does."""

GROUP = 1000
"""Jobs that one statement changes."""

BEHIND = 0.02
"""A turn of the event loop that takes so many seconds means that its work is more than it can do at once."""

BREATH, BREATHS = 0.05, 20
"""Seconds that are waited then, and how often at the most: even a busy process goes on, slowly."""


def build(database: Database, lease: timedelta | None = None) -> PgQueuer:
    """A queue without entrypoints yet; it runs once.

    It takes over the jobs of a process that was silent for ``lease``, where that is given: the library's own time-out
    is ``OFF`` then.
    """
    driver = _Driver(database)
    queries = _Leased(driver, database, lease)
    built = PgQueuer(connection=driver, queries=queries)
    built.qm = _Manager(queries, built.channel, resources=built.resources)
    built.qm.shutdown = built.shutdown
    driver.lost = built.shutdown.set
    queries.holder = built.qm.queue_manager_id
    return built


async def keep(queue: PgQueuer, lease: timedelta) -> None:
    """Renew the leases of the jobs that this queue holds, until canceled. A round that fails is soon made again."""
    while True:
        try:
            await _beat(queue)
            await asyncio.sleep(lease.total_seconds() / 3)
        except Exception as error:  # noqa: BLE001 - whatever it is, the jobs go on and need their leases
            log.warning("leases not renewed, trying again", kind=type(error).__name__, error=str(error))
            await asyncio.sleep(lease.total_seconds() / 10)


async def _beat(queue: PgQueuer) -> None:
    held = list(queue.qm.job_context)
    for start in range(0, len(held), GROUP):
        await queue.qm.queries.update_heartbeat(held[start : start + GROUP])


def hang_up(queue: PgQueuer) -> None:
    """Let a queue that has ended listen no more, though the jobs that it holds go on."""
    if isinstance(queue.connection, _Driver):
        queue.connection.hang_up()


class _Manager(QueueManager):
    """The library's manager, without a heartbeat for each job: two tasks and a timer that a held job can do without."""

    async def _dispatch(
        self, job: Job, jbuff: JobStatusLogBuffer, hbuff: HeartbeatBuffer, heartbeat_timeout: timedelta
    ) -> None:
        await super()._dispatch(job, jbuff, hbuff, timedelta(0))


class _Driver(AsyncpgPoolDriver):
    """The library's driver over our pool; ``lost`` is called when a statement fails."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.pool)
        self.lost: Callable[[], None] = lambda: None
        self.heard = asyncio.Event()

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        await super().add_listener(channel, callback)
        self.heard.set()

    def hang_up(self) -> None:
        """Give the connection up that it listens with: a queue that has ended takes nothing more."""
        listening, self._listener_connection = self._listener_connection, None
        if listening is not None:
            with suppress(*LOST):  # a pool that lost it may have taken it back already
                listening.terminate()

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        with self._listening():
            return await super().fetch(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        with self._listening():
            return await super().execute(query, *args)

    async def notify(self, channel: str, payload: str) -> None:
        with self._listening():
            await super().notify(channel, payload)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            # The jobs of this queue may go on for long; what it listened with is free for the next queue at once.
            self.hang_up()
            self.lost()
            raise


class _Leased(Queries):
    """The library's queries; ``holder`` is the queue that asks."""

    def __init__(self, driver: _Driver, database: Database, lease: timedelta | None) -> None:
        super().__init__(driver)
        self._lease = lease
        self._database = database
        self._ear = driver
        self._back: Batch[tuple[int, timedelta], None] = Batch(self._put_back, limit=GROUP)
        self.holder: UUID | None = None

    async def dequeue(
        self,
        batch_size: int,
        entrypoints: dict[QueueEntrypoint, EntrypointExecutionParameter],
        queue_manager_id: QueueManagerId,
        global_concurrency_limit: int | None,
        heartbeat_timeout: timedelta,
    ) -> list[Job]:
        await _caught_up()
        lease = self._lease or heartbeat_timeout
        return await super().dequeue(batch_size, entrypoints, queue_manager_id, global_concurrency_limit, lease)

    async def notify_health_check(self, health_check_event_id: HealthCheckId) -> None:
        # The library probes its listener before it has begun to listen; it would miss the answer, and give up for it.
        await self._ear.heard.wait()
        await super().notify_health_check(health_check_event_id)

    async def log_jobs(self, job_status: list[tuple[Job, JOB_STATUS, TracebackRecord | None]]) -> None:
        done = [job.id for job, status, _ in job_status if status == "successful"]
        if done and self.holder is not None:
            await journal.done(self._database, done, self.holder)

    async def retry_job(self, job: Job, delay: timedelta, traceback_record: TracebackRecord | None) -> None:
        await self._back((job.id, delay))

    async def _put_back(self, jobs: Sequence[tuple[int, timedelta]]) -> list[None]:
        try:
            if self.holder is not None:
                await journal.again(self._database, jobs, self.holder)
        except Exception as error:  # noqa: BLE001 - the library would drop the jobs for it; so they are taken over later
            kind = type(error).__name__
            log.warning("jobs not put back, their leases run out", count=len(jobs), kind=kind, error=str(error))
        return [None] * len(jobs)

    async def update_heartbeat(self, job_ids: list[JobId]) -> None:
        if self.holder is not None:
            await journal.beat(self._database, list(set(job_ids)), self.holder)


async def _caught_up() -> None:
    """Wait while the event loop is behind: what a full process takes on top delays what it holds already."""
    loop = asyncio.get_running_loop()
    for _ in range(BREATHS):
        began = loop.time()
        await asyncio.sleep(0)
        if loop.time() - began < BEHIND:
            return
        await asyncio.sleep(BREATH)

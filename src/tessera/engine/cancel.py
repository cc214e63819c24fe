"""Cancel, passed on: the provider of a canceled task is asked to stop, as often as it takes and it makes sense.

What came of it stands on the attempt: when the provider could not be told, or nobody knows whether it has the job, its
row says so.
"""

from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import structlog

from tessera.db import attempts, tasks
from tessera.db.connection import Database
from tessera.db.errors import Conflict
from tessera.domain.errors import ProviderError, Unavailable
from tessera.domain.task import Attempt, AttemptState, Task
from tessera.engine.routes import Hop, Routes
from tessera.kit.backoff import grow
from tessera.kit.clock import Clock
from tessera.kit.meter import SILENT, Meter
from tessera.providers.base import Finder, Job

log = structlog.get_logger(__name__)

FOR = timedelta(minutes=10)
"""How long after the cancel a provider that does not answer is asked again."""

BUGS_FOR = timedelta(minutes=1)
"""The same for one whose code is broken: a fault of a plug-in seldom mends itself."""

LOOK_FOR = timedelta(seconds=10)
"""How long a submission that nobody waits for any more may take to show in the provider's own list."""

UNHEARD = "The task was canceled, and its provider could not be told"
UNKNOWN = "The task was canceled while it was unknown whether its provider had taken it; nobody could be told"


T = TypeVar("T")


class _BugError(Exception):
    """The provider raised what no provider may raise."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


async def _ask(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except ProviderError:
        raise
    except Exception as error:
        # A broken plug-in must not bring the same job back for ever; what the database raises is another matter.
        raise _BugError(error) from error


class PassOn:
    def __init__(
        self, database: Database, routes: Routes, *, scratch: Path, clock: Clock, meter: Meter = SILENT
    ) -> None:
        self._database = database
        self._routes = routes
        self._scratch = scratch
        self._clock = clock
        self._meter = meter

    async def __call__(self, task_id: str) -> timedelta | None:
        """Ask the provider once. Answers how long to wait before asking again; None when nothing is left to do."""
        task = await tasks.get(self._database, task_id)
        history = await attempts.of_task(self._database, task) if task else []
        if task is None or not history:
            return None
        attempt = history[-1]
        hop = self._routes.hop(attempt.provider, attempt.model)
        if hop is None:
            return None
        try:
            if attempt.state is AttemptState.SUBMITTED:
                return await self._stop(task, attempt, hop, attempt.upstream_id)
            if attempt.state is AttemptState.INTENT:
                return await self._find(task, attempt, hop)
        except Unavailable as error:
            return await self._later(task, attempt, error, FOR)
        except _BugError as bug:
            log.error("cancel broke", task=task.id, provider=hop.name, exc_info=bug.error)
            return await self._later(task, attempt, bug.error, BUGS_FOR)
        return None

    async def _find(self, task: Task, attempt: Attempt, hop: Hop) -> timedelta | None:
        """There is an intent and no receipt: whoever was to write it may have died in between.

        Where the submission is still under way, its own worker brings the receipt, and a job like this one, later.
        Sending again, to learn the id of the one job behind a key, might begin it: nobody does.
        """
        if not isinstance(hop.provider, Finder):
            log.warning("cancel not passed on: no upstream id", task=task.id, provider=hop.name)
            await self._end(task, attempt, AttemptState.AMBIGUOUS, UNKNOWN)
            return None
        try:
            found = await _ask(hop.provider.find(self._job(task, attempt, None)))
        except Unavailable:
            raise
        except ProviderError as error:
            log.warning("not found for a cancel", task=task.id, provider=hop.name, error=str(error))
            await self._end(task, attempt, AttemptState.AMBIGUOUS, UNKNOWN)
            return None
        if found is not None:
            return await self._receive(task, attempt, hop, found)
        if self._since(task) < LOOK_FOR:
            return timedelta(seconds=1)
        await self._end(task, attempt, AttemptState.CANCELED, None)
        return None

    async def _receive(self, task: Task, attempt: Attempt, hop: Hop, upstream_id: str) -> timedelta | None:
        try:
            await attempts.submitted(self._database, attempt, task.epoch, upstream_id)
        except Conflict:
            # Stopping it would stop the job of another task.
            log.error("a provider gave one id twice", task=task.id, provider=hop.name, upstream_id=upstream_id)
            await self._end(task, attempt, AttemptState.AMBIGUOUS, UNKNOWN)
            return None
        return await self._stop(task, attempt, hop, upstream_id)

    async def _stop(self, task: Task, attempt: Attempt, hop: Hop, upstream_id: str | None) -> timedelta | None:
        try:
            stopped = await _ask(hop.provider.cancel(self._job(task, attempt, upstream_id)))
        except Unavailable:
            raise
        except ProviderError as error:
            log.warning("cancel refused", task=task.id, provider=hop.name, error=str(error))
            stopped = False
        log.info("cancel passed on", task=task.id, provider=hop.name, stopped=stopped)
        await self._end(task, attempt, AttemptState.CANCELED, None)
        return None

    async def _end(self, task: Task, attempt: Attempt, state: AttemptState, error: str | None) -> None:
        async with self._database.transaction() as connection:
            await attempts.end(connection, attempt, task.epoch, state, self._clock(), error=error)
        self._meter.count("attempts", attempt.provider, state.value)

    def _job(self, task: Task, attempt: Attempt, upstream_id: str | None) -> Job:
        return Job(
            task_id=task.id,
            idempotency_key=attempt.idempotency_key,
            model=attempt.model,
            request=task.request,
            workdir=self._scratch,
            upstream_id=upstream_id,
        )

    def _since(self, task: Task) -> timedelta:
        """How long ago the task was canceled."""
        return self._clock() - (task.completed_at or task.created_at)

    async def _later(self, task: Task, attempt: Attempt, error: Exception, patience: timedelta) -> timedelta | None:
        since = self._since(task)
        if since > patience:
            log.warning("cancel never passed on", task=task.id, provider=attempt.provider, error=str(error))
            text = f"{UNHEARD} ({type(error).__name__})"
            await self._end(task, attempt, AttemptState.CANCELED, text)
            return None
        return grow(timedelta(seconds=1), 2, int(since.total_seconds() // 5), timedelta(minutes=1))

"""Cancel, passed on: the provider of a canceled task is asked to stop, as often as it takes and it makes sense."""

from datetime import timedelta
from pathlib import Path

import structlog

from tessera.db import attempts, tasks
from tessera.db.connection import Database
from tessera.domain.errors import ProviderError, Unavailable
from tessera.domain.task import Attempt, AttemptState, Task
from tessera.engine.routes import Routes
from tessera.kit.backoff import grow
from tessera.kit.clock import Clock
from tessera.kit.meter import SILENT, Meter
from tessera.providers.base import Job

log = structlog.get_logger(__name__)

FOR = timedelta(minutes=10)


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
        if task is None or not history or history[-1].state is not AttemptState.SUBMITTED:
            return None
        attempt = history[-1]
        hop = self._routes.hop(attempt.provider, attempt.model)
        if hop is None:
            return None
        try:
            stopped = await hop.provider.cancel(self._job(task, attempt))
        except Unavailable as error:
            return self._later(task, attempt, error)
        except ProviderError as error:
            log.warning("cancel refused", task=task.id, provider=hop.name, error=str(error))
            stopped = False
        log.info("cancel passed on", task=task.id, provider=hop.name, stopped=stopped)
        async with self._database.transaction() as connection:
            await attempts.end(connection, attempt, task.epoch, AttemptState.CANCELED, self._clock())
        self._meter.count("attempts", attempt.provider, AttemptState.CANCELED.value)
        return None

    def _job(self, task: Task, attempt: Attempt) -> Job:
        return Job(
            task_id=task.id,
            idempotency_key=attempt.idempotency_key,
            model=attempt.model,
            request=task.request,
            workdir=self._scratch,
            upstream_id=attempt.upstream_id,
        )

    def _later(self, task: Task, attempt: Attempt, error: Unavailable) -> timedelta | None:
        since = self._clock() - (task.completed_at or task.created_at)
        if since > FOR:
            log.warning("cancel never passed on", task=task.id, provider=attempt.provider, error=str(error))
            return None
        return grow(timedelta(seconds=1), 2, int(since.total_seconds() // 5), timedelta(minutes=1))

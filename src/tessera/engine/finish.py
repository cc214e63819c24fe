"""Finish: the end of a task in one transaction: state by compare-and-set, settle or release, outbox row and its job."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog

from tessera.db import assets, attempts, ledger, tasks, webhooks
from tessera.db.connection import Connection, Database
from tessera.domain.asset import Asset
from tessera.domain.errors import ProviderError
from tessera.domain.task import Attempt, AttemptState, Failure, Reason, State, Task
from tessera.domain.webhook import Delivery
from tessera.engine import faults, queue
from tessera.kit import trace
from tessera.kit.clock import Clock
from tessera.kit.ids import Ids
from tessera.kit.meter import SILENT, Meter
from tessera.providers.base import Done, Running

log = structlog.get_logger(__name__)

ENDING = 8
"""Ends that are written at a time: when thousands come at once, there is always a connection left for a heartbeat."""

CANCELED = Failure(Reason.CANCELED, "The task was canceled; nothing was charged")


class Finish:
    def __init__(self, database: Database, *, clock: Clock, ids: Ids, meter: Meter = SILENT) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._meter = meter
        self._line = asyncio.Semaphore(ENDING)

    async def advance(self, task: Task, outputs: Sequence[Asset], made: Running) -> bool | None:
        """The task has reached a stage, and these outputs more are stored: it is recorded, and told.

        False for a task that is past its deadline, which nobody is told anything of but its end; None when the claim
        was lost.
        """
        now = self._clock()
        async with self._database.transaction() as connection:
            if await tasks.advance(connection, task, made.stage or "", made.pieces):
                await assets.put(connection, outputs)
                await self._tell(connection, task, made.stage or "", 1)
                log.info("task advanced", stage=made.stage, seconds=round((now - task.created_at).total_seconds(), 3))
                return True
        return False if await tasks.held(self._database, task) else None

    async def succeed(self, task: Task, attempt: Attempt, outputs: Sequence[Asset], done: Done) -> bool:
        """The files are stored: settle, and tell. False when another end came first; nothing is changed then.

        After the deadline the hold is back already: a late success is free, and told like any other.
        """
        await faults.reach("run.finishing")
        now = self._clock()
        async with self._ending(State.SUCCEEDED) as connection:
            if await tasks.end(connection, task, State.SUCCEEDED, None, now, done.pieces):
                await ledger.settle(connection, task.id, now)
            elif not await tasks.revive(connection, task, now, done.pieces):
                return False
            await attempts.end(connection, attempt, task.epoch, AttemptState.SUCCEEDED, now, facts=done.facts)
            await assets.put(connection, outputs)
            await self._tell(connection, task, State.SUCCEEDED.value, done.callbacks)
        self._meter.count("attempts", attempt.provider, AttemptState.SUCCEEDED.value)
        self._meter.count("tasks", task.family, State.SUCCEEDED.value, "")
        await faults.reach("run.finished")
        log.info("task succeeded", outputs=len(outputs), seconds=round((now - task.created_at).total_seconds(), 3))
        return True

    async def fail(
        self,
        task: Task,
        attempt: Attempt | None,
        state: AttemptState,
        failure: Failure,
        cause: ProviderError | None = None,
    ) -> bool:
        """No result: release the hold, and tell. False when another end came first.

        ``attempt`` gets its verdict either way, and what it had made on its way is given up; None leaves it open (the
        deadline ends the task, not the attempt).
        """
        await faults.reach("run.finishing")
        now = self._clock()
        failure = replace(failure, message=_clean(failure.message))
        if attempt is not None:
            self._meter.count("attempts", attempt.provider, state.value)
        async with self._ending(State.FAILED) as connection:
            if attempt is not None:
                detail = _detail(cause)
                await attempts.end(connection, attempt, task.epoch, state, now, error=failure.message, detail=detail)
            if not await tasks.end(connection, task, State.FAILED, failure, now):
                return False
            await ledger.release(connection, task.id, task.key_id, now)
            if attempt is not None:
                await assets.give_up(connection, task.id, now)
            await self._tell(connection, task, State.FAILED.value, 1)
        self._meter.count("tasks", task.family, State.FAILED.value, failure.reason.value)
        await faults.reach("run.finished")
        log.info("task failed", reason=failure.reason.value, message=failure.message)
        return True

    async def close(self, task: Task, attempt: Attempt, state: AttemptState, cause: ProviderError | None) -> None:
        """An attempt is over, its task is not: another one follows, and begins anew."""
        error, detail, now = _clean(str(cause)) if cause else None, _detail(cause), self._clock()
        async with self._database.transaction() as connection:
            await attempts.end(connection, attempt, task.epoch, state, now, error=error, detail=detail)
            # A stage and its outputs are always those of the open attempt.
            if await tasks.begin_anew(connection, task):
                await assets.give_up(connection, task.id, now)
        self._meter.count("attempts", attempt.provider, state.value)
        log.info("attempt over", provider=attempt.provider, state=state.value, error=str(cause))

    async def cancel(self, task_id: str, account_id: str) -> Task | None:
        """Cancel an open task at once: nothing is charged, the end is told, and its provider hears of it by a job.

        None when there was nothing to cancel: the task is over, unknown, or another account's.
        """
        now = self._clock()
        async with self._database.transaction() as connection:
            task = await tasks.cancel(connection, task_id, account_id, CANCELED, now)
            if task is None:
                return None
            await ledger.release(connection, task.id, task.key_id, now)
            if task.stage is not None:
                await assets.give_up(connection, task.id, now)
            await self._tell(connection, task, State.CANCELED.value, 1)
            if task.started_at is not None:
                await queue.put(connection, "cancel", [task.id])
        self._meter.count("tasks", task.family, State.CANCELED.value, Reason.CANCELED.value)
        log.info("task canceled", task=task.id)
        return task

    async def tell_again(self, delivery_id: str, account_id: str) -> Delivery | None:
        """Deliver a callback once more, on the whole schedule. None when it is under way, unknown or not theirs."""
        known = await webhooks.get(self._database, delivery_id)
        task = await tasks.get(self._database, known.task_id) if known is not None else None
        if task is None:
            return None
        async with self._database.transaction() as connection:
            delivery = await webhooks.reopen(connection, delivery_id, account_id, self._clock())
            if delivery is not None:
                await queue.put(connection, queue.CALLBACKS[task.mode], [delivery.id])
        return delivery

    @asynccontextmanager
    async def _ending(self, state: State) -> AsyncIterator[Connection]:
        """The one transaction of an end, as a step of its own in the trace."""
        with trace.span("finish", state=state.value):
            async with self._line, self._database.transaction() as connection:
                yield connection

    async def _tell(self, connection: Connection, task: Task, event: str, times: int) -> None:
        if task.callback_url is None:
            return
        deliveries = [
            Delivery(
                id=f"msg_{self._ids()}",
                account_id=task.account_id,
                task_id=task.id,
                event=f"task.{event}",
                url=task.callback_url,
                created_at=self._clock(),
            )
            for _ in range(times)
        ]
        await webhooks.add(connection, deliveries)
        await queue.put(connection, queue.CALLBACKS[task.mode], [delivery.id for delivery in deliveries])


def _clean(text: str) -> str:
    """A provider's words without what the database refuses: they must not keep a task from its end."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _detail(cause: ProviderError | None) -> Mapping[str, object] | None:
    return cause.detail if cause else None

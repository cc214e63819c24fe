"""The recorded steps of one attempt: intent, submit, poll.

Whoever takes a task over reads its last attempt and goes on where that stands: with an upstream id it polls, with an
intent alone the outcome is ambiguous. Every write carries the epoch of the claim, so a worker that lost its task
changes nothing more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from types import NoneType
from typing import TypeVar

import structlog

from tessera.db import attempts, pending, tasks
from tessera.db.connection import Database
from tessera.db.errors import Conflict
from tessera.domain.errors import Ambiguous, Failed, ProviderError, Rejected, Unavailable
from tessera.domain.task import Attempt, AttemptState, Failure, Reason, State, Task
from tessera.engine import faults, queue
from tessera.engine.insist import insist
from tessera.engine.routes import Hop
from tessera.kit import trace
from tessera.kit.backoff import grow
from tessera.kit.batch import Batch
from tessera.kit.bell import Bell
from tessera.kit.clock import Clock
from tessera.kit.ids import Ids
from tessera.kit.meter import SILENT, Meter
from tessera.providers.base import Accepted, Done, Finder, Job, Running

log = structlog.get_logger(__name__)

T = TypeVar("T")

GLANCE = timedelta(seconds=30)
"""How often a worker that only waits looks whether the task is still its own."""

RESENDS = 3
"""Submissions of one attempt whose outcome stayed ambiguous, where sending again is safe."""

BUGS = 5
"""Questions in a row that a provider's own code may stumble over, before its answer is given up."""

LINGER = timedelta(seconds=1)
"""So long at the least a question waits until the progress that the last one brought is written."""

FRESH = timedelta(milliseconds=500)
"""So long after an intent its claim is not doubted."""

UNKNOWN = "The provider did not confirm this task; its outcome is unknown and nothing was charged. Please try again"


class LostClaim(Exception):
    """Another worker, or another end, has this task now."""


class HandBack(Exception):
    """The job goes back to the queue for ``delay``: the process drains, or there is nothing to do before."""

    def __init__(self, delay: timedelta = timedelta(0)) -> None:
        super().__init__("handed back")
        self.delay = delay


class _NonsenseError(Unavailable):
    """The provider's own code stumbled over a question, or over its answer."""


class Verdict(Exception):
    """The attempt is over without outputs. ``elsewhere`` says whether another provider of the route may be asked."""

    def __init__(self, state: AttemptState, failure: Failure, *, cause: ProviderError | None, elsewhere: bool) -> None:
        super().__init__(failure.message)
        self.state = state
        self.failure = failure
        self.cause = cause
        self.elsewhere = elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """``deadline`` is how long a task may take in all; a result is still taken for ``late`` after it.

    ``resend_ambiguous``: the operator would rather pay twice than not at all.
    """

    deadline: timedelta
    late: timedelta
    resend_ambiguous: bool = False


Reached = Callable[[Running], Awaitable[int]]
"""Records what a job has made by the stage that it has reached; answers how many of its outputs are stored."""

Wait = Callable[[Bell, float], Awaitable[bool]]


class Steps:
    """One for a process. ``draining`` is set when it shall hand its tasks back.

    ``wait`` waits for an event, so many seconds at the most; it answers whether the event came.
    """

    def __init__(
        self,
        database: Database,
        patience: Patience,
        *,
        clock: Clock,
        ids: Ids,
        wait: Wait = Bell.within,
        meter: Meter = SILENT,
    ) -> None:
        self._database = database
        self._patience = patience
        self._clock = clock
        self._ids = ids
        self._wait = wait
        self._meter = meter
        # Thousands of tasks report their progress: as many as have come meanwhile are written at once.
        self._progress: Batch[tuple[Task, float], bool] = Batch(self._write_progress, limit=1000)
        self._pending: Batch[tuple[Task, str], bool] = Batch(self._write_pending, limit=1000)
        self.draining = Bell()
        self.unrepeatable = 0
        """Submissions under way whose answer comes this once or never."""

    def over(self, task: Task) -> bool:
        """Whether the task is past its deadline."""
        return self._clock() >= self.deadline(task)

    def deadline(self, task: Task) -> datetime:
        """Counted from the first claim: time in the queue is ours, not the provider's."""
        return (task.started_at or task.created_at) + self._patience.deadline

    async def intend(self, task: Task, hop: Hop, number: int) -> Attempt:
        """Step 1: the attempt is written before anything leaves the house. Raises LostClaim."""
        now = self._clock()
        attempt = Attempt(
            task_id=task.id,
            number=number,
            provider=hop.name,
            model=hop.model,
            idempotency_key=self._ids(),
            state=AttemptState.INTENT,
            upstream_id=None,
            created_at=now,
        )
        async with self._database.transaction() as connection:
            if not await tasks.start(connection, task):
                raise LostClaim
            await attempts.intend(connection, attempt)
        await faults.reach("run.intended")
        return attempt

    async def storing(self, task: Task, key: str) -> None:
        """Before an output is stored its key is on record, so that a crash leaves nothing unknown. Raises LostClaim."""
        if not await insist(lambda: self._pending((task, key)), "pending output"):
            raise LostClaim

    async def carry_out(
        self,
        task: Task,
        hop: Hop,
        attempt: Attempt,
        blank: Job,
        *,
        reached: Reached,
        resumed: bool,
        complete: bool = True,
    ) -> tuple[Done, bool]:
        """Steps 2 and 3: submit, unless there is an upstream id, and poll. Raises Verdict, LostClaim, HandBack.

        Answers the end of the job, and whether the provider can be asked for it once more. ``reached`` hears of each
        stage of the job. A job that is not ``complete`` lacks its inputs: it can be looked up and polled, and never
        sent.
        """
        job = replace(
            blank, idempotency_key=attempt.idempotency_key, model=attempt.model, upstream_id=attempt.upstream_id
        )
        self._meter.move("in_flight", +1, hop.name)
        try:
            if job.upstream_id is not None:
                return await self._watch(task, hop, job, reached), True
            answer = await self._submit(task, hop, attempt, job, ambiguous=resumed, complete=complete)
            if isinstance(answer, Done):
                return answer, False
            return await self._watch(task, hop, answer, reached), True
        except ProviderError as error:
            raise _verdict(error) from error
        finally:
            self._meter.move("in_flight", -1, hop.name)

    async def _submit(
        self, task: Task, hop: Hop, attempt: Attempt, job: Job, *, ambiguous: bool, complete: bool
    ) -> Job | Done:
        """Send once. After an ambiguous outcome look first, and send again only where that is one job.

        What the provider says to a question or to a repetition is no word on the submission that is in doubt: until
        that one is cleared up no other key is used and no other provider is asked.
        """
        resends, silences = 0, 0
        while True:
            try:
                found = await self._look(hop, job) if ambiguous else None
                if found is None and not complete:
                    raise _unsendable()
                # A provider that was asked, and has no such job, leaves nothing in doubt.
                ambiguous = ambiguous and not isinstance(hop.provider, Finder)
                answer = await self._call(task, hop, attempt, job) if found is None else Accepted(upstream_id=found)
            except Unavailable as error:
                if not ambiguous:
                    raise
                silences += 1
                log.warning("outcome still ambiguous", provider=hop.name, silences=silences, error=str(error))
                await self._pause_late(task, grow(timedelta(seconds=1), 2, silences - 1, timedelta(minutes=1)))
                continue
            except Rejected as error:
                if ambiguous and error.portable:
                    raise Ambiguous("the repetition was rejected, the first submission is in doubt") from error
                raise
            except Ambiguous as error:
                resends += 1
                if resends >= RESENDS:
                    raise
                log.warning("outcome ambiguous", provider=hop.name, error=str(error))
                ambiguous = True
                await self.pause(grow(timedelta(seconds=1), 3, resends - 1, timedelta(seconds=30)))
                continue
            await faults.reach("run.called")
            if isinstance(answer, Done):
                return answer
            return await self._receipt(task, attempt, job, answer.upstream_id)

    async def _call(self, task: Task, hop: Hop, attempt: Attempt, job: Job) -> Accepted | Done:
        """Send the job. Whoever waited or slept since the intent looks first whether the task is still its own."""
        await faults.reach("run.calling")
        if self._clock() - attempt.created_at > FRESH and not await tasks.held(self._database, task):
            raise LostClaim
        with trace.span("submit", "client", provider=hop.name, model=hop.model), self._sending(hop):
            # Whatever broke, it broke after the job may have been accepted.
            return await _ask(hop, "submit", partial(hop.provider.submit, job), (Accepted, Done), Ambiguous)

    @contextmanager
    def _sending(self, hop: Hop) -> Iterator[None]:
        once = not (hop.provider.manifest.idempotent or isinstance(hop.provider, Finder))
        self.unrepeatable += once
        try:
            yield
        finally:
            self.unrepeatable -= once

    async def _look(self, hop: Hop, job: Job) -> str | None:
        """After an ambiguous submission: the upstream id of the job; None when sending (again) is right.

        Raises Ambiguous when nobody can tell.
        """
        if isinstance(hop.provider, Finder):
            return await _ask(hop, "find", partial(hop.provider.find, job), (str, NoneType), Ambiguous)
        if hop.provider.manifest.idempotent or self._patience.resend_ambiguous:
            return None
        raise Ambiguous("the provider cannot be asked whether it accepted this job")

    async def _receipt(self, task: Task, attempt: Attempt, job: Job, upstream_id: str) -> Job:
        """The upstream id is committed at once. Where the task was canceled meanwhile, so is the upstream job."""
        try:
            held = await insist(
                lambda: attempts.submitted(self._database, attempt, task.epoch, upstream_id), "upstream id"
            )
        except Conflict as error:
            # Following it would deliver another caller's files.
            raise Failed("The provider's answer could not be used", detail={"upstream_id": upstream_id}) from error
        if not held:
            await self._pass_on(task)
            raise LostClaim
        await faults.reach("run.submitted")
        return replace(job, upstream_id=upstream_id)

    async def _pass_on(self, task: Task) -> None:
        current = await tasks.get(self._database, task.id)
        if current is not None and current.state is State.CANCELED:
            async with self._database.transaction() as connection:
                await queue.put(connection, "cancel", [task.id])

    async def _watch(self, task: Task, hop: Hop, job: Job, reached: Reached) -> Done:
        with trace.span("poll", "client", provider=hop.name, model=hop.model):
            return await self._poll(task, hop, job, reached)

    async def _poll(self, task: Task, hop: Hop, job: Job, reached: Reached) -> Done:
        """Ask in the provider's own rhythm; no answer is no verdict, it only slows the asking down."""
        misses, bugs, written, seen = 0, 0, task.progress, self._clock()
        while True:
            if self._clock() - seen > GLANCE:
                # Canceled, or taken over: without progress to write nothing else would tell.
                seen = self._clock()
                if not await tasks.held(self._database, task):
                    raise LostClaim
            try:
                state = await _ask(hop, "poll", partial(hop.provider.poll, job), (Running, Done), _NonsenseError)
                misses = bugs = 0
            except Unavailable as error:
                misses, bugs = misses + 1, _bugs(bugs, error)
                log.warning("poll unanswered", provider=hop.name, misses=misses, error=str(error))
                await self._pause_late(task, grow(timedelta(seconds=2), 2, misses - 1, timedelta(minutes=1)))
                continue
            answered = self._clock()
            if isinstance(state, Done):
                return state
            if state.stage is not None:
                job = replace(job, stage=state.stage, kept=await reached(state))
            if state.progress is not None and state.progress >= written + 0.01:
                written = min(state.progress, 0.99)
                if await self._note_progress(task, written, max(state.again, LINGER)):
                    seen = self._clock()
            # What was written meanwhile must not delay the next question.
            spent = max(timedelta(0), self._clock() - answered)
            await self._pause_late(task, max(timedelta(0), state.again - spent))

    async def _note_progress(self, task: Task, value: float, most: timedelta) -> bool:
        """Write it, and wait so long at the most: a busy database delays no question. Answers whether it was written.

        Raises LostClaim.
        """
        step = self._progress.add((task, value))
        await asyncio.wait({step}, timeout=most.total_seconds())
        if not step.done():
            step.cancel()
            return False
        if not step.result():
            raise LostClaim
        return True

    async def _write_progress(self, steps: Sequence[tuple[Task, float]]) -> list[bool]:
        still = await tasks.progress_all(self._database, steps)
        return [task.id in still or await tasks.held(self._database, task) for task, _ in steps]

    async def _write_pending(self, notes: Sequence[tuple[Task, str]]) -> list[bool]:
        noted = await pending.outputs(self._database, notes, self._clock())
        return [key in noted for _, key in notes]

    async def _pause_late(self, task: Task, wait: timedelta) -> None:
        """Wait for the next poll. Past the deadline nobody waits for it: the job goes back, for ever longer."""
        late = self._clock() - self.deadline(task)
        if late < timedelta(0):
            await self.pause(wait)
            return
        wait = min(max(wait, late / 4), timedelta(minutes=5))
        if late + wait > self._patience.late:
            raise Ambiguous("no result came, long after the deadline")
        raise HandBack(wait)

    async def pause(self, delay: timedelta) -> None:
        """Wait, unless the process drains: then the job goes back (HandBack)."""
        if await self._wait(self.draining, max(0.0, delay.total_seconds())):
            raise HandBack


async def _ask(
    hop: Hop, verb: str, call: Callable[[], Awaitable[T]], kinds: tuple[type, ...], bug: type[ProviderError]
) -> T:
    """The border to a provider's code: its four errors pass, and whatever else it raises or answers becomes ``bug``.

    A plug-in that is broken must not bring the same job back for ever.
    """
    try:
        found = await call()
    except ProviderError:
        raise
    except Exception as error:
        log.exception("provider broke", provider=hop.name, verb=verb)
        raise bug(f"the provider's code broke ({type(error).__name__})") from error
    if not isinstance(found, kinds) or not isinstance(getattr(found, "upstream_id", ""), str):
        log.error("provider broke", provider=hop.name, verb=verb, answer=repr(found)[:200])
        raise bug(f"the provider's code answered with a {type(found).__name__} that is none")
    return found


def _bugs(before: int, error: Unavailable) -> int:
    """How often in a row the provider's code has stumbled by now. Raises Failed when that was often enough."""
    if not isinstance(error, _NonsenseError):
        return 0
    if before + 1 >= BUGS:
        raise Failed("The provider's answer could not be understood", detail={"error": str(error)}) from error
    return before + 1


def _unsendable() -> Verdict:
    failure = Failure(Reason.UNKNOWN, UNKNOWN)
    return Verdict(AttemptState.AMBIGUOUS, failure, cause=None, elsewhere=False)


def _verdict(error: ProviderError) -> Verdict:
    """The border where the four errors of a provider become the end of an attempt."""
    if isinstance(error, Rejected):
        failure = Failure(error.reason, str(error))
        return Verdict(AttemptState.REJECTED, failure, cause=error, elsewhere=error.portable)
    if isinstance(error, Unavailable):
        failure = Failure(Reason.UNAVAILABLE, str(error))
        return Verdict(AttemptState.UNAVAILABLE, failure, cause=error, elsewhere=True)
    if isinstance(error, Failed):
        return Verdict(AttemptState.FAILED, Failure(error.reason, str(error)), cause=error, elsewhere=False)
    return Verdict(AttemptState.AMBIGUOUS, Failure(Reason.UNKNOWN, UNKNOWN), cause=error, elsewhere=False)

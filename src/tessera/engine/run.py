"""Run: the walk of one task, by whichever worker holds its job.

gather the inputs -> for each provider of the route: intend, submit, poll -> keep the outputs -> finish. The deadline
ends a task for its caller; the walk goes on, and a late success is still stored, recorded and told.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import structlog

from tessera.db import assets, attempts, tasks
from tessera.db.connection import Database
from tessera.domain.errors import InputError, NoProvider, ProviderError, Unavailable
from tessera.domain.task import Attempt, AttemptState, Failure, Reason, State, Task
from tessera.engine import faults
from tessera.engine.finish import Finish
from tessera.engine.inputs import Inputs
from tessera.engine.insist import insist
from tessera.engine.keep import Keep
from tessera.engine.routes import Hop, Routes
from tessera.engine.step import UNKNOWN, HandBack, LostClaim, Steps, Verdict
from tessera.kit.backoff import grow
from tessera.kit.bell import Alarm
from tessera.kit.clock import Clock
from tessera.providers.base import Done, Job, Running

log = structlog.get_logger(__name__)

ELSEWHERE = timedelta(seconds=30)
"""How long a job waits for a worker that has the provider of its open attempt."""

TRIES = 4
"""Submissions to one provider that surely did not accept, before the next of the route is asked."""

DEADLINE = Failure(Reason.DEADLINE, "The provider gave no result in time; nothing was charged")
NOT_THEIRS = (Reason.CONTENT, Reason.INPUT_INVALID, Reason.INPUT_UNREACHABLE, Reason.STORAGE)
OPEN = (AttemptState.INTENT, AttemptState.SUBMITTED)


@dataclass(slots=True)
class Position:
    """Where a walk stands: the hop to ask, the attempts made, the one to resume, the tries at this hop."""

    hop: int
    number: int
    resume: Attempt | None
    tries: int = 0


class Stages:
    """What an attempt has made on its way: stored, recorded and told, each stage once."""

    def __init__(self, task: Task, attempt: Attempt, job: Job, keep: Keep, finish: Finish) -> None:
        self._task = task
        self._attempt = attempt
        self._folder = job.workdir
        self._keep = keep
        self._finish = finish
        self._stage = job.stage
        self.kept = job.kept
        """How many outputs of this attempt are stored."""

    async def __call__(self, made: Running) -> int:
        """Answers how many outputs are stored by now. Raises Verdict, LostClaim and HandBack."""
        if made.stage == self._stage:
            return self.kept
        outputs = await self._keep.all(self._task, self._attempt, made, self._folder, self.kept, again=True)
        told = await insist(lambda: self._finish.advance(self._task, outputs, made), "stage")
        if told is None:
            raise LostClaim
        self._stage = made.stage
        self.kept += len(outputs) if told else 0
        await faults.reach("run.advanced")
        return self.kept

    async def succeed(self, done: Done, *, again: bool) -> bool:
        """Store what is not stored yet, and finish. Raises Verdict, LostClaim and HandBack.

        ``again``: the provider can be asked for this end once more, by whoever takes the task over.
        """
        outputs = await self._keep.all(self._task, self._attempt, done, self._folder, self.kept, again=again)
        return await insist(lambda: self._finish.succeed(self._task, self._attempt, outputs, done), "success")


class Run:
    """One for a process; ``walk`` is called once for each job that the worker holds."""

    def __init__(
        self,
        database: Database,
        routes: Routes,
        inputs: Inputs,
        steps: Steps,
        keep: Keep,
        finish: Finish,
        *,
        scratch: Path,
        clock: Clock,
        late: timedelta,
    ) -> None:
        self._database = database
        self._routes = routes
        self._inputs = inputs
        self._steps = steps
        self._keep = keep
        self._finish = finish
        self._scratch = scratch
        self._clock = clock
        self._late = late

    @property
    def unrepeatable(self) -> int:
        """Submissions under way whose answer comes this once or never."""
        return self._steps.unrepeatable

    @property
    def draining(self) -> asyncio.Event:
        return self._steps.draining

    async def walk(self, task_id: str) -> None:
        """Bring the task to its end, or as far as the claim reaches. Raises HandBack when the process drains first."""
        with suppress(LostClaim):
            await self.hold(task_id)

    async def hold(self, task_id: str) -> None:
        """Bring the task to its end. Raises HandBack when the process drains first, and LostClaim.

        Who lost the claim knows nothing of the task: its job must not be taken for done.
        """
        now = self._clock()
        task = await tasks.claim(self._database, task_id, now, now - self._late)
        if task is None:
            return
        await faults.reach("run.claimed")
        with structlog.contextvars.bound_contextvars(task=task.id):
            try:
                async with self._deadline(task), self._folder(task) as folder:
                    await self._walk(task, folder)
            except LostClaim:
                log.info("claim lost")
                raise

    async def _walk(self, task: Task, folder: Path) -> None:
        history = await attempts.of_task(self._database, task)
        last = history[-1] if history else None
        late = task.state is State.FAILED or self._steps.over(task)
        if late and (last is None or last.state not in OPEN):
            return  # nothing is under way that could still succeed
        try:
            blank, complete = await self._prepare(task, last, folder)
            # Past its deadline nobody pays for the task any more: it is looked up and polled, and not sent again.
            await self._try_hops(task, history, blank, complete=complete and not late)
        except InputError as error:
            await self._refuse(task, Failure(error.reason, str(error)))
        except NoProvider as error:
            await self._refuse(task, Failure(Reason.UNAVAILABLE, str(error)))

    async def _fail(self, task: Task, attempt: Attempt, verdict: Verdict) -> bool:
        return await insist(
            lambda: self._finish.fail(task, attempt, verdict.state, verdict.failure, verdict.cause), "failure"
        )

    async def _refuse(self, task: Task, failure: Failure) -> None:
        """End a task that no provider was asked for."""
        await self._ended(task, await self._finish.fail(task, None, AttemptState.REJECTED, failure))

    async def _ended(self, task: Task, by_us: bool) -> None:
        """Raises LostClaim where neither we nor our own deadline ended the task."""
        if not by_us and not await tasks.held(self._database, task):
            raise LostClaim

    async def _prepare(self, task: Task, last: Attempt | None, folder: Path) -> tuple[Job, bool]:
        """A job with the inputs on the local disk, and whether they are all there. Raises InputError."""
        complete = True
        try:
            gathered = await self._inputs.gather(task.request, folder)
        except InputError:
            if last is None or last.state not in OPEN:
                raise
            # The provider may have its own copy since it took the job: an input that is gone by now must not end it.
            gathered, complete = (), False
        job = Job(
            task_id=task.id,
            idempotency_key="",
            model="",
            request=task.request,
            workdir=folder,
            operation=task.operation,
            files=gathered,
            stage=task.stage,
            kept=await assets.count(self._database, task.id) if task.stage is not None else 0,
        )
        return job, complete

    async def _try_hops(self, task: Task, history: list[Attempt], blank: Job, *, complete: bool) -> None:
        """Ask the providers of the route in order, beginning where the last worker stopped."""
        hops = self._hops(task, history)
        primary = self._routes.primary(task.mode, task.model, task.operation)
        position = _position(history, hops)
        while True:
            hop, attempt, resumed = await self._next(task, hops, position)
            try:
                if hop is None:
                    raise self._gone(task, attempt)
                job = blank if resumed else replace(blank, stage=None, kept=0)
                stages = Stages(task, attempt, job, self._keep, self._finish)
                done, again = await self._steps.carry_out(
                    task, hop, attempt, job, reached=stages, resumed=resumed, complete=complete
                )
                await self._ended(task, await stages.succeed(done, again=again))
                return
            except Verdict as verdict:
                wait = _move(position, verdict, len(hops), primary)
                # Past the deadline a late success still counts, and nothing new is begun.
                if wait is None or self._steps.over(task):
                    await self._ended(task, await self._fail(task, attempt, verdict))
                    return
                await self._finish.close(task, attempt, verdict.state, verdict.cause)
                await self._steps.pause(wait)

    def _hops(self, task: Task, history: list[Attempt]) -> list[Hop]:
        """The route of the task. Raises NoProvider, unless an attempt is open: that one can still be brought home."""
        try:
            return self._routes.of(task.mode, task.model, task.operation, task.fallback)
        except NoProvider:
            if history and history[-1].state in OPEN:
                return []
            raise

    def _gone(self, task: Task, attempt: Attempt) -> Exception:
        """The provider of an open attempt is not configured here: perhaps it is elsewhere, or will be again."""
        log.warning("provider is not configured here", provider=attempt.provider, attempt=attempt.number)
        if not self._steps.over(task):
            return HandBack(ELSEWHERE)
        return Verdict(AttemptState.AMBIGUOUS, Failure(Reason.UNKNOWN, UNKNOWN), cause=None, elsewhere=False)

    async def _next(self, task: Task, hops: list[Hop], position: Position) -> tuple[Hop | None, Attempt, bool]:
        """The hop and attempt to go on with; no hop where the provider of an open attempt is configured no more."""
        resume, position.resume = position.resume, None
        if resume is not None:
            return self._routes.hop(resume.provider, resume.model), resume, True
        if position.hop >= len(hops):
            raise NoProvider("No provider is left that could serve this task")
        position.number += 1
        hop = hops[position.hop]
        return hop, await self._steps.intend(task, hop, position.number), False

    @asynccontextmanager
    async def _deadline(self, task: Task) -> AsyncIterator[None]:
        """While the block runs, end the task for its caller when its time is over."""
        left = self._steps.deadline(task) - self._clock()
        alarm = Alarm(max(0.0, left.total_seconds()), lambda: self._expire(task))

        async def settle() -> None:
            """Past the deadline, have it written. Where the clock jumped, or the machine slept, the alarm waits yet."""
            if self._steps.over(task):
                await alarm.ring()

        try:
            await settle()
            yield
        finally:
            await settle()
            alarm.cancel()

    async def _expire(self, task: Task) -> None:
        try:
            await insist(lambda: self._finish.fail(task, None, AttemptState.FAILED, DEADLINE), "deadline")
        except Exception as error:  # noqa: BLE001 - a timer must not die unheard: the next worker's timer ends the task
            log.error("deadline not written", error=str(error))

    @asynccontextmanager
    async def _folder(self, task: Task) -> AsyncIterator[Path]:
        path = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=f"{task.id[:12]}-", dir=self._scratch))
        try:
            yield path
        finally:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


def _position(history: list[Attempt], hops: list[Hop]) -> Position:
    """Where the last worker stopped: at an open attempt, at the same hop again, or behind one that gave its verdict."""
    if not history:
        return Position(hop=0, number=0, resume=None)
    last = history[-1]
    exact = [i for i, hop in enumerate(hops) if (hop.name, hop.model) == (last.provider, last.model)]
    same = exact or [i for i, hop in enumerate(hops) if hop.name == last.provider] or [0]
    if last.state in OPEN:
        return Position(hop=same[0], number=last.number, resume=last)
    ahead = 0 if last.state is AttemptState.UNAVAILABLE else 1
    return Position(hop=same[0] + ahead, number=last.number, resume=None)


def _move(position: Position, verdict: Verdict, hops: int, primary: int) -> timedelta | None:
    """Where to go after a verdict, and how long to wait before; None where the task ends with it."""
    more = position.hop + 1 < hops
    if verdict.state is AttemptState.UNAVAILABLE:
        position.tries += 1
        if position.tries < TRIES or not more:
            return _patience(verdict.cause, position.tries)
    if more and (verdict.elsewhere if position.hop + 1 < primary else _may_fall_back(verdict)):
        position.hop, position.tries = position.hop + 1, 0
        return timedelta(0)
    return None


def _may_fall_back(verdict: Verdict) -> bool:
    """To the fallback model, which the request allowed: after any failure of the first but a refusal of what was asked.

    An ambiguous outcome may still cost at the first provider, so it is never followed by another one. Nor is a result
    that we could not store: that is no fault of the provider, and the next one's result would meet the same.
    """
    return verdict.failure.reason not in NOT_THEIRS and verdict.state is not AttemptState.AMBIGUOUS


def _patience(cause: ProviderError | None, tries: int) -> timedelta:
    wait = grow(timedelta(seconds=1), 2, tries - 1, timedelta(minutes=1))
    if isinstance(cause, Unavailable) and cause.retry_after is not None:
        return max(wait, min(cause.retry_after, timedelta(minutes=5)))
    return wait

"""Run: the walk of one task, by whichever worker holds its job.

Five recorded steps: intent, submit, poll, ingest, finish. Whoever takes a task over reads its last attempt and goes on
where that stands: with an upstream id it polls, with an intent alone the outcome is ambiguous. Every write carries the
epoch of the claim, so a worker that lost its task changes nothing more.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import structlog

from tessera.db import attempts, tasks
from tessera.db.connection import Database
from tessera.domain.asset import Asset, Origin
from tessera.domain.errors import (
    Ambiguous,
    Failed,
    InputError,
    NoProvider,
    ProviderError,
    Rejected,
    StorageError,
    Unavailable,
)
from tessera.domain.task import Attempt, AttemptState, Failure, Reason, Task
from tessera.engine import faults
from tessera.engine.finish import Finish
from tessera.engine.inputs import Inputs
from tessera.engine.routes import Hop, Routes
from tessera.kit.backoff import grow
from tessera.kit.clock import Clock
from tessera.kit.ids import Ids
from tessera.kit.outbound import Outbound, OutboundError
from tessera.providers.base import Done, Finder, Job, LocalFile, Output
from tessera.storage.base import Store
from tessera.storage.ingest import ingest

log = structlog.get_logger(__name__)

TRIES = 4
"""Submissions to one provider that surely did not accept, before the next of the route is asked."""

RESENDS = 3
"""Submissions of one attempt whose outcome stayed ambiguous, where sending again is safe."""

UNKNOWN = "The provider did not confirm this task; its outcome is unknown and nothing was charged. Please try again"


class LostClaim(Exception):
    """Another worker, or another end, has this task now."""


class HandBack(Exception):
    """This process is draining: the job goes back to the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``deadline`` is how long a task may take in all, ``output_bytes`` and ``pixels`` bound one output."""

    deadline: timedelta
    output_bytes: int
    pixels: int
    resend_ambiguous: bool = False
    fetch_seconds: float = 300.0


class Verdict(Exception):
    """The attempt is over without outputs. ``next_hop`` says whether another provider may be asked, and on which terms."""

    def __init__(self, state: AttemptState, failure: Failure, *, cause: ProviderError | None, elsewhere: bool) -> None:
        super().__init__(failure.message)
        self.state = state
        self.failure = failure
        self.cause = cause
        self.elsewhere = elsewhere


class Run:
    """One for a process; ``walk`` is called once for each job that the worker holds."""

    def __init__(
        self,
        database: Database,
        routes: Routes,
        inputs: Inputs,
        store: Store,
        outbound: Outbound,
        finish: Finish,
        limits: Limits,
        *,
        scratch: Path,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._database = database
        self._routes = routes
        self._inputs = inputs
        self._store = store
        self._outbound = outbound
        self._finish = finish
        self._limits = limits
        self._scratch = scratch
        self._clock = clock
        self._ids = ids
        self.draining = asyncio.Event()

    async def walk(self, task_id: str) -> None:
        """Bring the task to its end. Raises HandBack when the process drains first."""
        task = await tasks.claim(self._database, task_id)
        if task is None:
            return
        await faults.reach("run.claimed")
        with structlog.contextvars.bound_contextvars(task=task.id):
            try:
                await self._walk(task)
            except LostClaim:
                log.info("claim lost")

    async def _walk(self, task: Task) -> None:
        history = await attempts.of_task(self._database, task)
        async with self._folder(task) as folder:
            try:
                async with asyncio.timeout(self._left(task)):
                    await self._try_hops(task, history, folder)
            except TimeoutError:
                await self._finish.fail(task, None, AttemptState.CANCELED, DEADLINE_PASSED)
            except InputError as error:
                await self._finish.fail(task, None, AttemptState.REJECTED, Failure(error.reason, str(error)))
            except NoProvider as error:
                await self._finish.fail(task, None, AttemptState.REJECTED, Failure(Reason.UNAVAILABLE, str(error)))

    async def _try_hops(self, task: Task, history: list[Attempt], folder: Path) -> None:
        """Ask the providers of the route in order, beginning where the last worker stopped."""
        gathered = await self._inputs.gather(task.request, folder)
        blank = Job(
            task_id=task.id,
            idempotency_key="",
            model="",
            request=task.request,
            workdir=folder,
            images=gathered.images,
            mask=gathered.mask,
        )
        hops = self._routes.of(task.mode, task.model, task.operation, task.fallback)
        primary = self._routes.primary(task.mode, task.model, task.operation)
        last = history[-1] if history else None
        index = next((i for i, hop in enumerate(hops) if last and hop.name == last.provider), 0)
        number = len(history)
        resume = last if last and last.state in (AttemptState.INTENT, AttemptState.SUBMITTED) else None
        tries = 0
        while True:
            hop = (self._routes.hop(resume.provider, resume.model) if resume else None) or hops[index]
            attempt = resume
            if attempt is None:
                number += 1
                attempt = await self._intend(task, hop, number)
            try:
                await self._carry_out(task, hop, attempt, blank, resumed=resume is not None)
                return
            except Verdict as verdict:
                resume = None
                tries = tries + 1 if verdict.state is AttemptState.UNAVAILABLE else TRIES
                more = index + 1 < len(hops)
                if verdict.state is AttemptState.UNAVAILABLE and (tries < TRIES or not more):
                    await self._finish.close(attempt, verdict.state, verdict.cause)
                    await self._pause(_patience(verdict.cause, tries))
                    continue
                if more and (verdict.elsewhere if index + 1 < primary else _may_fall_back(verdict)):
                    await self._finish.close(attempt, verdict.state, verdict.cause)
                    index, tries = index + 1, 0
                    continue
                await self._finish.fail(task, attempt, verdict.state, verdict.failure, verdict.cause)
                return

    async def _intend(self, task: Task, hop: Hop, number: int) -> Attempt:
        """Step 1: the attempt is written before anything leaves the house."""
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
            if not await tasks.start(connection, task, now):
                raise LostClaim
            await attempts.intend(connection, attempt)
        await faults.reach("run.intended")
        return attempt

    async def _carry_out(self, task: Task, hop: Hop, attempt: Attempt, blank: Job, *, resumed: bool) -> None:
        """Steps 2 to 5 of one attempt. Raises Verdict when it brings no outputs."""
        job = replace(
            blank, idempotency_key=attempt.idempotency_key, model=attempt.model, upstream_id=attempt.upstream_id
        )
        try:
            done = None
            if job.upstream_id is None:
                job, done = await self._submit(task, hop, attempt, job, ambiguous=resumed)
            if done is None:
                done = await self._watch(task, hop, job)
        except Rejected as error:
            raise Verdict(
                AttemptState.REJECTED, Failure(error.reason, str(error)), cause=error, elsewhere=error.portable
            ) from error
        except Unavailable as error:
            failure = Failure(Reason.UNAVAILABLE, str(error))
            raise Verdict(AttemptState.UNAVAILABLE, failure, cause=error, elsewhere=True) from error
        except Ambiguous as error:
            failure = Failure(Reason.UNKNOWN, UNKNOWN)
            raise Verdict(AttemptState.AMBIGUOUS, failure, cause=error, elsewhere=False) from error
        except Failed as error:
            raise Verdict(
                AttemptState.FAILED, Failure(error.reason, str(error)), cause=error, elsewhere=False
            ) from error
        outputs = await self._ingest(task, hop, done)
        await self._finish.succeed(task, attempt, outputs, done)

    async def _submit(
        self, task: Task, hop: Hop, attempt: Attempt, job: Job, *, ambiguous: bool
    ) -> tuple[Job, Done | None]:
        """Step 2: send once. After an ambiguous outcome look first, and send again only where that is one job."""
        resends = 0
        while True:
            try:
                if ambiguous:
                    found = await self._look(hop, job)
                    if found is not None:
                        return await self._receipt(task, attempt, job, found), None
                answer = await hop.provider.submit(job)
                await faults.reach("run.called")
            except Ambiguous as error:
                resends += 1
                if resends >= RESENDS:
                    raise
                log.warning("outcome ambiguous", provider=hop.name, error=str(error))
                ambiguous = True
                await self._pause(grow(timedelta(seconds=1), 3, resends - 1, timedelta(seconds=30)))
                continue
            if isinstance(answer, Done):
                return job, answer
            return await self._receipt(task, attempt, job, answer.upstream_id), None

    async def _look(self, hop: Hop, job: Job) -> str | None:
        """After an ambiguous submission: the upstream id of the job; None when sending (again) is right.

        Raises Ambiguous when nobody can tell.
        """
        if isinstance(hop.provider, Finder):
            return await hop.provider.find(job)
        if hop.provider.manifest.idempotent or self._limits.resend_ambiguous:
            return None
        raise Ambiguous("the provider cannot be asked whether it accepted this job")

    async def _receipt(self, task: Task, attempt: Attempt, job: Job, upstream_id: str) -> Job:
        if not await attempts.submitted(self._database, attempt, task.epoch, upstream_id):
            raise LostClaim
        await faults.reach("run.submitted")
        return replace(job, upstream_id=upstream_id)

    async def _watch(self, task: Task, hop: Hop, job: Job) -> Done:
        """Step 3: ask in the provider's own rhythm; no answer is no verdict, it only slows the asking down."""
        misses, written = 0, task.progress
        while True:
            try:
                state = await hop.provider.poll(job)
            except Unavailable as error:
                misses += 1
                log.warning("poll unanswered", provider=hop.name, misses=misses, error=str(error))
                await self._pause(grow(timedelta(seconds=2), 2, misses - 1, timedelta(minutes=1)))
                continue
            misses = 0
            if isinstance(state, Done):
                return state
            if state.progress is not None and state.progress >= written + 0.01:
                written = min(state.progress, 0.99)
                if not await tasks.progress(self._database, task, written):
                    raise LostClaim
            await self._pause(state.again)

    async def _ingest(self, task: Task, hop: Hop, done: Done) -> list[Asset]:
        """Step 4: the outputs come into our storage, each with its size and hash."""
        if not done.outputs:
            raise _no_outputs()
        async with self._folder(task) as folder:
            return [await self._keep(task, output, position, folder) for position, output in enumerate(done.outputs)]

    async def _keep(self, task: Task, output: Output, position: int, folder: Path) -> Asset:
        await faults.reach("run.ingesting")
        failures = 0
        while True:
            try:
                path = await self._fetch(output, folder / f"output-{position}")
                # The epoch in the name: a worker that lost its claim can never write over the file that counts.
                kept = await ingest(
                    self._store,
                    f"s/{task.id}-{task.epoch}_{position}",
                    path,
                    spool_dir=folder,
                    max_bytes=self._limits.output_bytes,
                    max_pixels=self._limits.pixels,
                )
                break
            except (StorageError, OutboundError) as error:
                failures += 1
                if failures >= TRIES:
                    raise Verdict(
                        AttemptState.FAILED,
                        Failure(
                            Reason.STORAGE, "The result could not be stored; nothing was charged. Please try again"
                        ),
                        cause=None,
                        elsewhere=False,
                    ) from error
                log.warning("output not stored", position=position, failures=failures, error=str(error))
                await self._pause(grow(timedelta(seconds=1), 4, failures - 1, timedelta(minutes=1)))
        return Asset(
            key=kept.key,
            account_id=task.account_id,
            origin=Origin.OUTPUT,
            media_type=kept.media_type,
            size=kept.size,
            sha256=kept.sha256,
            created_at=self._clock(),
            task_id=task.id,
            position=position,
            width=kept.width,
            height=kept.height,
        )

    async def _fetch(self, output: Output, path: Path) -> Path:
        if isinstance(output, LocalFile):
            return output.path
        await self._outbound.download(
            output.url,
            path,
            max_bytes=self._limits.output_bytes,
            timeout=self._limits.fetch_seconds,
            headers=output.headers,
        )
        return path

    async def _pause(self, delay: timedelta) -> None:
        """Wait, unless the process drains: then the job goes back."""
        try:
            async with asyncio.timeout(max(0.0, delay.total_seconds())):
                await self.draining.wait()
        except TimeoutError:
            return
        raise HandBack

    def _left(self, task: Task) -> float:
        """Seconds until the task's deadline."""
        return max(0.0, (task.created_at + self._limits.deadline - self._clock()).total_seconds())

    @asynccontextmanager
    async def _folder(self, task: Task) -> AsyncIterator[Path]:
        path = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=f"{task.id[:12]}-", dir=self._scratch))
        try:
            yield path
        finally:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


DEADLINE_PASSED = Failure(Reason.DEADLINE, "The provider gave no result in time; nothing was charged")


def _may_fall_back(verdict: Verdict) -> bool:
    """To the fallback model, which the request allowed: after any failure of the first but a refusal of what was asked.

    An ambiguous outcome may still cost at the first provider, so it is never followed by another one.
    """
    mine = verdict.failure.reason in (Reason.CONTENT, Reason.INPUT_INVALID, Reason.INPUT_UNREACHABLE)
    return not mine and verdict.state is not AttemptState.AMBIGUOUS


def _patience(cause: ProviderError | None, tries: int) -> timedelta:
    wait = grow(timedelta(seconds=1), 2, tries - 1, timedelta(minutes=1))
    if isinstance(cause, Unavailable) and cause.retry_after is not None:
        return max(wait, min(cause.retry_after, timedelta(minutes=5)))
    return wait


def _no_outputs() -> Verdict:
    failure = Failure(Reason.PROVIDER, "Failed to generate image")
    return Verdict(AttemptState.FAILED, failure, cause=None, elsewhere=False)

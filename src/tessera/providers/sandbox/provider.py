"""The sandbox: a provider without a provider. Free, offline, the same answer to the same request, and honest about it.

It keeps nothing in memory. The upstream id says when a job began; the clock and the request say all the rest, so any
process may go on with any job after a crash.
"""

import asyncio
import hashlib
from collections.abc import Coroutine, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from tessera.domain.errors import Ambiguous, ConfigError, Failed, Rejected, Unavailable
from tessera.domain.task import Reason
from tessera.kit.clock import Clock, millis
from tessera.kit.cpu import Crew, WorkLostError
from tessera.providers.base import Accepted, Done, Job, LocalFile, Manifest, Running
from tessera.providers.sandbox import art
from tessera.providers.sandbox.directives import Directives, Fault, UnknownDirectiveError, parse
from tessera.providers.sandbox.edit import BadPictureError
from tessera.providers.sandbox.render import Order, check, render, seed

DURATION = timedelta(seconds=3)
STUCK = 0.99
"""How far a job that hangs, or that is about to be finished, says that it has come."""

_FAILS_AT = 0.4
"""How far a job that fails has come by then."""

_SOON = timedelta(milliseconds=500)
_LATER = timedelta(seconds=5)
_BAD_PICTURE = "We couldn't process the provided image file (code=invalid_image_format)"

_VERDICTS = {
    Fault.CONTENT: (Reason.CONTENT, "Your content was flagged by OpenAI as violating content policies"),
    Fault.UNREACHABLE: (Reason.INPUT_UNREACHABLE, "Unable to download image from the provided filesUrl"),
    Fault.BROKEN: (Reason.PROVIDER, "Failed to generate image"),
}

MANIFEST = Manifest(
    name="sandbox",
    title="Tessera sandbox",
    operations=frozenset({"image.generate", "image.edit"}),
    models={"gpt4o-image": "sandbox-image", "*": "sandbox-image"},
    idempotent=True,
)


class Surroundings(Protocol):
    """What the sandbox needs of the place where it is switched on."""

    @property
    def clock(self) -> Clock: ...

    @property
    def cpu(self) -> Crew: ...

    @property
    def environ(self) -> Mapping[str, str]: ...


class Factory:
    """Makes the sandbox; ``manifest`` tells beforehand what it serves."""

    manifest: Manifest = MANIFEST

    def __call__(self, context: Surroundings) -> "Sandbox":
        """The sandbox as configured: ``TESSERA_SANDBOX_SECONDS`` sets how long a job takes. Raises ConfigError."""
        text = context.environ.get("TESSERA_SANDBOX_SECONDS", "").strip()
        if not text:
            return Sandbox(context.clock, context.cpu)
        try:
            duration = timedelta(seconds=float(text))
        except (ValueError, OverflowError) as error:
            raise ConfigError(f"TESSERA_SANDBOX_SECONDS must be a number of seconds, not {text!r}") from error
        if duration < timedelta(0):
            raise ConfigError("TESSERA_SANDBOX_SECONDS must not be negative")
        return Sandbox(context.clock, context.cpu, duration=duration)


provider = Factory()


class Sandbox:
    """Takes ``duration`` for every job that does not ask for another one; the drawing itself is done by ``cpu``.

    The crew belongs to whoever made it: closing the sandbox leaves it alone.
    """

    def __init__(self, clock: Clock, cpu: Crew, duration: timedelta = DURATION) -> None:
        self._clock = clock
        self._cpu = cpu
        self._duration = duration

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    async def submit(self, job: Job) -> Accepted:
        _, wanted = _read(job)
        _refuse(wanted.fault)
        _examine(job)
        if job.images:
            await self._decode(job)
        return Accepted(upstream_id=upstream_id(job.idempotency_key, self._clock()))

    async def _decode(self, job: Job) -> None:
        """Open the inputs now, so that a broken one is refused before the job is promised."""
        try:
            await self._cpu.run(check, _paths(job), job.mask.path if job.mask else None)
        except BadPictureError as error:
            raise Rejected(_BAD_PICTURE, reason=Reason.INPUT_INVALID, detail={"cause": str(error)}) from error
        except WorkLostError as error:
            raise Unavailable("The inputs could not be read just now") from error

    async def poll(self, job: Job) -> Running | Done:
        """Where the job stands by the clock. When its time has come this draws, and takes as long as that takes."""
        started = began(job.upstream_id)
        prompt, wanted = _read(job)
        total = self._duration if wanted.delay is None else wanted.delay
        elapsed = max(timedelta(0), self._clock() - started)
        if wanted.hang:
            return Running(progress=_progress(elapsed, total), again=_LATER)
        if wanted.fault in _VERDICTS:
            return self._failing(wanted, elapsed)
        if elapsed < total:
            return Running(progress=_progress(elapsed, total), again=min(_SOON, total - elapsed))
        return await self._finish(job, prompt, wanted)

    async def cancel(self, job: Job) -> bool:
        """There is nothing to stop: a job that is no longer asked after is gone."""
        return True

    async def close(self) -> None:
        """Nothing is held."""

    def _failing(self, wanted: Directives, elapsed: timedelta) -> Running:
        """A job on its way to a bad end, which comes after the delay or at its usual place in the duration."""
        assert wanted.fault is not None
        end = self._duration * _FAILS_AT if wanted.delay is None else wanted.delay
        if elapsed < end:
            return Running(progress=_progress(elapsed, end) * _FAILS_AT, again=min(_SOON, end - elapsed))
        reason, message = _VERDICTS[wanted.fault]
        raise Failed(message, reason=reason)

    async def _finish(self, job: Job, prompt: str, wanted: Directives) -> Done:
        order = _order(job, prompt)
        try:
            paths = await _all(self._cpu.run(render, order, index) for index in range(order.count))
        except BadPictureError as error:
            raise Failed(_BAD_PICTURE, reason=Reason.INPUT_INVALID, detail={"cause": str(error)}) from error
        except WorkLostError as error:
            raise Unavailable("The picture was lost while it was drawn; it is drawn again when asked for") from error
        outputs = tuple(LocalFile(path=path) for path in paths)
        return Done(outputs=outputs, facts={"seed": order.seed}, callbacks=wanted.callbacks)


def upstream_id(key: str, moment: datetime) -> str:
    """``sbx-<20 hex digits of the key's SHA-256>-<milliseconds since 1970>``."""
    return f"sbx-{hashlib.sha256(key.encode()).hexdigest()[:20]}-{millis(moment)}"


def began(upstream_id: str | None) -> datetime:
    """When a job was submitted. Raises Failed for an id that is none of ours."""
    head, _, tail = (upstream_id or "").rpartition("-")
    if not head.startswith("sbx-") or not (tail.isascii() and tail.isdigit()) or len(tail) > 14:
        raise Failed("The sandbox does not know this job", reason=Reason.UNKNOWN, detail={"upstream_id": upstream_id})
    return datetime.fromtimestamp(int(tail) / 1000, UTC)


def _read(job: Job) -> tuple[str, Directives]:
    try:
        return parse(job.request.prompt)
    except UnknownDirectiveError as error:
        raise Rejected(str(error), reason=Reason.INPUT_INVALID) from error


def _refuse(fault: Fault | None) -> None:
    """The faults that answer a submission."""
    if fault is Fault.BUSY:
        raise Unavailable("The sandbox was asked to be too busy", retry_after=timedelta(seconds=1))
    if fault is Fault.REJECT:
        raise Rejected("The sandbox was asked to reject this job", portable=True)
    if fault is Fault.AMBIGUOUS:
        raise Ambiguous("The sandbox was asked to leave this submission without an answer")


def _examine(job: Job) -> None:
    """What can be known of a request without opening its files."""
    try:
        art.size(job.request.ratio)
    except ValueError as error:
        raise Rejected(f"The sandbox cannot draw this size: {error}", reason=Reason.INPUT_INVALID) from error
    if job.mask is not None and not job.images:
        raise Rejected("A mask needs a picture to edit", reason=Reason.INPUT_INVALID)


def _progress(elapsed: timedelta, total: timedelta) -> float:
    return min(STUCK, elapsed / total) if total else STUCK


def _paths(job: Job) -> tuple[Path, ...]:
    return tuple(image.path for image in job.images)


def _order(job: Job, prompt: str) -> Order:
    request = job.request
    given = request.seed
    return Order(
        prompt=prompt,
        seed=seed(prompt, request.ratio, job.model, enhance=request.enhance) if given is None else given,
        ratio=request.ratio,
        count=request.count,
        model=job.model,
        enhance=request.enhance,
        folder=job.workdir,
        images=_paths(job),
        mask=job.mask.path if job.mask else None,
    )


async def _all(work: Iterable[Coroutine[object, object, Path]]) -> list[Path]:
    """All the answers in order. The first error ends the wait for the others, and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except ExceptionGroup as several:
        raise several.exceptions[0] from several
    return [task.result() for task in tasks]

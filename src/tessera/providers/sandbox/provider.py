"""The sandbox: a provider without a provider. Free, offline, the same answer to the same request, and honest about it.

It keeps nothing in memory. The upstream id says when a job began; the clock and the request say all the rest, so any
process may go on with any job after a crash.
"""

import errno
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog

from tessera.domain.errors import Ambiguous, ConfigError, Failed, Rejected, TesseraError, Unavailable
from tessera.domain.task import Line, Reason, Request
from tessera.kit.clock import Clock, millis
from tessera.kit.cpu import Crew, WorkDeadlyError, WorkLostError, WorkTooLongError
from tessera.providers.base import Accepted, Done, Job, Manifest, Running
from tessera.providers.sandbox.directives import Directives, Fault, UnknownDirectiveError, parse
from tessera.providers.sandbox.edit import BadPictureError
from tessera.providers.sandbox.makers.base import Made, Maker, Work
from tessera.providers.sandbox.makers.films import Films
from tessera.providers.sandbox.makers.pictures import Pictures
from tessera.providers.sandbox.makers.songs import Songs
from tessera.providers.sandbox.makers.voices import Voices
from tessera.providers.sandbox.trouble import BadMediaError

log = structlog.get_logger(__name__)

DURATION = timedelta(seconds=3)
STUCK = 0.99
"""How far a job that hangs, or that is about to be finished, says that it has come."""

_FAILS_AT = 0.4
"""How far a job that fails has come by then."""

_SOON = timedelta(milliseconds=500)
_LATER = timedelta(seconds=5)
_SPOKEN = ("prompt", "lyrics", "style", "title")

_VERDICTS = {
    Fault.CONTENT: (Reason.CONTENT, "Your content was flagged as violating content policies"),
    Fault.UNREACHABLE: (Reason.INPUT_UNREACHABLE, "Unable to download the {thing} from the provided URL"),
    Fault.BROKEN: (Reason.PROVIDER, "Failed to generate {thing}"),
}
_FLAGGED = "Your content was flagged by OpenAI as violating content policies"
"""The recorded words of the 4o images."""

_TOO_MUCH: Mapping[type[Exception], str] = {
    WorkTooLongError: "This takes too long for the sandbox; ask for something smaller or shorter",
    WorkDeadlyError: "The sandbox breaks down over this; ask for something smaller, or with other files",
    MemoryError: "This needs too much memory for the sandbox; ask for something smaller or shorter",
}
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN)
"""What the system says while it is short of something: that may pass."""

_ALL: tuple[Maker, ...] = (Pictures(), Films(), Songs(), Voices())
MAKERS: Mapping[str, Maker] = {operation: maker for maker in _ALL for operation in maker.operations}
"""Who makes what, by operation."""

MANIFEST = Manifest(
    name="sandbox",
    title="Tessera sandbox",
    operations=frozenset(MAKERS),
    models={"gpt4o-image": "sandbox-image", "*": "sandbox"},
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
        request, wanted = _read(job)
        _refuse(wanted.fault)
        try:
            await self._maker(job).check(Work(job=job, request=request, cpu=self._cpu))
        except TesseraError:
            raise
        except Exception as error:  # a job that fails in an unforeseen way would fail so until its deadline
            raise _verdict(error, Rejected) from error
        return Accepted(upstream_id=upstream_id(job.idempotency_key, self._clock()))

    def _maker(self, job: Job) -> Maker:
        return MAKERS[job.operation or "image.generate"]

    async def poll(self, job: Job) -> Running | Done:
        """Where the job stands by the clock. When its time has come this makes it, and takes as long as that takes."""
        started = began(job.upstream_id)
        request, wanted = _read(job)
        total = self._duration if wanted.delay is None else wanted.delay
        elapsed = max(timedelta(0), self._clock() - started)
        if wanted.hang:
            return Running(progress=_progress(elapsed, total), again=_LATER)
        if wanted.fault in _VERDICTS:
            return self._failing(job, wanted, elapsed)
        work = Work(job=job, request=request, cpu=self._cpu)
        due = self._due(job, total)
        if due is not None and elapsed >= due[0]:
            return await self._reach(work, due[1], _progress(elapsed, total))
        if elapsed < total:
            until = due[0] if due is not None else total
            return Running(progress=_progress(elapsed, total), again=min(_SOON, until - elapsed))
        return await self._finish(work, wanted)

    def _due(self, job: Job, total: timedelta) -> tuple[timedelta, str] | None:
        """The stage that comes next, and how long after its beginning the job reaches it."""
        stages = self._maker(job).stages(job)
        names = [name for _, name in stages]
        coming = stages[names.index(job.stage) + 1 :] if job.stage in names else stages
        return (total * coming[0][0], coming[0][1]) if coming else None

    async def cancel(self, job: Job) -> bool:
        """There is nothing to stop: a job that is no longer asked after is gone."""
        return True

    async def close(self) -> None:
        """Nothing is held."""

    def _failing(self, job: Job, wanted: Directives, elapsed: timedelta) -> Running:
        """A job on its way to a bad end, which comes after the delay or at its usual place in the duration."""
        assert wanted.fault is not None
        end = self._duration * _FAILS_AT if wanted.delay is None else wanted.delay
        if elapsed < end:
            return Running(progress=_progress(elapsed, end) * _FAILS_AT, again=min(_SOON, end - elapsed))
        reason, message = _VERDICTS[wanted.fault]
        if reason is Reason.CONTENT and job.model == MANIFEST.models["gpt4o-image"]:
            message = _FLAGGED
        thing = job.operation.partition(".")[0] or "image"
        raise Failed(message.format(thing=thing), reason=reason)

    async def _reach(self, work: Work, stage: str, progress: float) -> Running:
        made = await self._make(work, stage)
        again = timedelta(0)
        return Running(progress=progress, again=again, stage=stage, outputs=made.outputs, pieces=made.pieces)

    async def _finish(self, work: Work, wanted: Directives) -> Done:
        made = await self._make(work, None)
        return Done(outputs=made.outputs, pieces=made.pieces, facts=made.facts, callbacks=wanted.callbacks)

    async def _make(self, work: Work, stage: str | None) -> Made:
        try:
            return await self._maker(work.job).make(work, stage)
        except TesseraError:
            raise
        except Exception as error:  # as above
            raise _verdict(error, Failed) from error


def _verdict(error: Exception, no: type[Rejected] | type[Failed]) -> Rejected | Failed | Unavailable:
    """What an error means for the job: ``no`` where the same would go wrong again."""
    if isinstance(error, BadMediaError):
        return no(_broken(error), reason=Reason.INPUT_INVALID, detail={"cause": str(error)})
    if isinstance(error, WorkTooLongError | WorkDeadlyError | MemoryError):
        message = next(text for kind, text in _TOO_MUCH.items() if isinstance(error, kind))
        return no(message, detail={"cause": str(error)})
    if isinstance(error, WorkLostError):
        return Unavailable("The work was lost while it was done; it is done again when asked for")
    if isinstance(error, OSError) and error.errno in _PASSING:
        return Unavailable("The machine has no room for the work just now")
    log.error("sandbox.broken", error=type(error).__name__, exc_info=error)
    return no("The sandbox could not do this; its log says why", detail={"cause": type(error).__name__})


def upstream_id(key: str, moment: datetime) -> str:
    """``sbx-<20 hex digits of the key's SHA-256>-<milliseconds since 1970>``."""
    return f"sbx-{hashlib.sha256(key.encode()).hexdigest()[:20]}-{millis(moment)}"


def began(upstream_id: str | None) -> datetime:
    """When a job was submitted. Raises Failed for an id that is none of ours."""
    head, _, tail = (upstream_id or "").rpartition("-")
    if not head.startswith("sbx-") or not (tail.isascii() and tail.isdigit()) or len(tail) > 14:
        raise Failed("The sandbox does not know this job", reason=Reason.UNKNOWN, detail={"upstream_id": upstream_id})
    return datetime.fromtimestamp(int(tail) / 1000, UTC)


def _read(job: Job) -> tuple[Request, Directives]:
    """The request without the directives in its texts, and what they ask for. Raises Rejected."""
    texts = dict(_texts(job.request))
    try:
        _, wanted = parse("\n".join(texts.values()))
        said: dict[str, Any] = {name: parse(text)[0] for name, text in texts.items() if name != "lines"}
    except UnknownDirectiveError as error:
        raise Rejected(str(error), reason=Reason.INPUT_INVALID) from error
    lines = getattr(job.request, "lines", ())
    if lines:
        said["lines"] = tuple(Line(text=parse(line.text)[0], voice=line.voice) for line in lines)
    return replace(job.request, **said), wanted


def _texts(request: Request) -> Iterator[tuple[str, str]]:
    """Where a directive may stand, by field."""
    for name in (each.name for each in fields(request)):
        value = getattr(request, name)
        if name in _SPOKEN and value:
            yield name, value
        elif name == "lines" and value:
            yield name, "\n".join(line.text for line in value)


def _refuse(fault: Fault | None) -> None:
    """The faults that answer a submission."""
    if fault is Fault.BUSY:
        raise Unavailable("The sandbox was asked to be too busy", retry_after=timedelta(seconds=1))
    if fault is Fault.REJECT:
        raise Rejected("The sandbox was asked to reject this job", portable=True)
    if fault is Fault.AMBIGUOUS:
        raise Ambiguous("The sandbox was asked to leave this submission without an answer")


def _progress(elapsed: timedelta, total: timedelta) -> float:
    return min(STUCK, elapsed / total) if total else STUCK


def _broken(error: BadMediaError) -> str:
    if isinstance(error, BadPictureError):
        return "We couldn't process the provided image file (code=invalid_image_format)"  # the recorded words
    return f"We couldn't process a provided media file: {error}"

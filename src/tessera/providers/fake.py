"""A provider that does what it is told, for tests of the engine and of what is built on it.

    fake = Fake("fake")
    fake.script(refuse(Unavailable("busy")), accept(0.3, 0.7, files=2))

The first submission is then answered with Unavailable; the second is accepted, reports two steps of progress and ends
with two pictures. A submission without a script is accepted and ends well with its first poll. The fake keeps a book
like a real service: ``jobs`` is what it accepted and will bill. It never sleeps: what has to wait waits for an event.
"""

import asyncio
import hashlib
import struct
import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from tessera.domain.errors import Ambiguous, Failed, ProviderError
from tessera.domain.task import Piece, Reason, Request
from tessera.providers.base import Accepted, Done, Job, LocalFile, Manifest, Output, Running

OPERATIONS = frozenset({"image.generate", "image.edit"})
MODELS = {"gpt4o-image": "fake-image"}

Step = float | Running | ProviderError | asyncio.Event
"""What one poll brings: progress in 0..1, a stage with what is there by then, an error, or a wait until the event is
set (and then the next step)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What one submission does: wait for ``until``, put the job into the book where ``books``, raise ``error``.

    The rest is the fate of a job that was booked: its ``steps``, then ``failure`` or the outputs. ``at_once`` brings
    the end with the submission itself. ``files`` is how many pictures there are in the end, where it is not as many as
    were asked for; ``outputs`` stand in for them. With ``pieces`` there are no pictures but these outputs.
    """

    books: bool = True
    at_once: bool = False
    error: ProviderError | None = None
    until: asyncio.Event | None = None
    steps: tuple[Step, ...] = ()
    failure: Failed | None = None
    files: int | None = None
    outputs: tuple[Output, ...] | None = None
    pieces: tuple[Piece, ...] = ()
    callbacks: int = 1


def accept(
    *steps: Step,
    files: int | None = None,
    outputs: Iterable[Output] | None = None,
    pieces: Iterable[Piece] = (),
    failure: Failed | None = None,
    callbacks: int = 1,
    until: asyncio.Event | None = None,
) -> Act:
    """Take the job; each poll brings a step, and the one after the last brings the end."""
    given, made = None if outputs is None else tuple(outputs), tuple(pieces)
    return Act(steps=steps, files=files, outputs=given, pieces=made, failure=failure, callbacks=callbacks, until=until)


def finish(
    *, files: int | None = None, outputs: Iterable[Output] | None = None, until: asyncio.Event | None = None
) -> Act:
    """Take the job and answer with its end at once, as a synchronous service does."""
    return Act(at_once=True, files=files, outputs=None if outputs is None else tuple(outputs), until=until)


def refuse(error: ProviderError, *, until: asyncio.Event | None = None) -> Act:
    """Take nothing, and say so with Rejected, Unavailable or Failed."""
    return Act(books=False, error=error, until=until)


def vanish(*, accepted: bool, steps: Iterable[Step] = (), until: asyncio.Event | None = None) -> Act:
    """Give no answer to the submission, after taking the job or without."""
    error = Ambiguous("the connection was lost before an answer came")
    return Act(books=accepted, error=error, steps=tuple(steps), until=until)


@dataclass(slots=True, kw_only=True)
class Booked:
    """A job that was accepted and will be billed: one for each submission, or for each key where keys are honoured."""

    upstream_id: str
    key: str
    job: Job
    act: Act
    steps: deque[Step] = field(default_factory=deque)
    canceled: bool = False


class Fake:
    """In memory, and the same for every worker that is given it: to a second one it is the outside world, too.

    ``idempotent`` says whether a submission with a known key is the same job. ``models`` maps what a caller names to
    an upstream model. ``called`` gets a submission the moment it comes in, ``polled`` an upstream id likewise.
    """

    def __init__(
        self,
        name: str = "fake",
        *,
        idempotent: bool = False,
        models: dict[str, str] | None = None,
        operations: frozenset[str] = OPERATIONS,
    ) -> None:
        self._manifest = Manifest(
            name=name,
            title=f"Fake ({name})",
            operations=operations,
            models=MODELS if models is None else models,
            idempotent=idempotent,
        )
        self._script: deque[Act] = deque()
        self.submissions: list[Job] = []
        self.polls: list[str] = []
        self.jobs: list[Booked] = []
        self.called: asyncio.Queue[Job] = asyncio.Queue()
        self.polled: asyncio.Queue[str] = asyncio.Queue()
        self.closed = False

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def script(self, *acts: Act) -> None:
        """What the next submissions do, in this order."""
        self._script.extend(acts)

    async def submit(self, job: Job) -> Accepted | Done:
        """Do the next act. A known key is the same job again, where keys are honoured."""
        self.submissions.append(job)
        self.called.put_nowait(job)
        known = self.by_key(job.idempotency_key) if self._manifest.idempotent else None
        act = self._script.popleft() if self._script else Act()
        if act.until is not None:
            await act.until.wait()
        booked = known or (self._book(job, act) if act.books else None)
        if act.error is not None:
            raise act.error
        assert booked is not None  # an act that books nothing has an error
        if booked.act.at_once:
            return await self._end(booked, job)
        return Accepted(upstream_id=booked.upstream_id)

    async def poll(self, job: Job) -> Running | Done:
        """The next step of the job, or its end. Raises Failed for a job that is not in the book."""
        upstream_id = job.upstream_id or ""
        self.polls.append(upstream_id)
        self.polled.put_nowait(upstream_id)
        booked = next((each for each in self.jobs if each.upstream_id == upstream_id), None)
        if booked is None or booked.canceled:
            raise Failed("There is no such job", reason=Reason.UNKNOWN, detail={"upstream_id": upstream_id})
        while booked.steps:
            step = booked.steps.popleft()
            if isinstance(step, asyncio.Event):
                await self._hang(booked, step)
            elif isinstance(step, ProviderError):
                raise step
            elif isinstance(step, Running):
                return step
            else:
                return Running(progress=step, again=timedelta(0))
        return await self._end(booked, job)

    async def cancel(self, job: Job) -> bool:
        """Forget the job. False where it is not in the book."""
        booked = next((each for each in self.jobs if each.upstream_id == job.upstream_id), None)
        if booked is not None:
            booked.canceled = True
        return booked is not None

    async def close(self) -> None:
        self.closed = True

    def by_key(self, key: str) -> Booked | None:
        """The job that was booked under an idempotency key, if any."""
        return next((each for each in self.jobs if each.key == key), None)

    def _book(self, job: Job, act: Act) -> Booked:
        upstream_id = f"{self._manifest.name}-{len(self.jobs) + 1}"
        booked = Booked(upstream_id=upstream_id, key=job.idempotency_key, job=job, act=act, steps=deque(act.steps))
        self.jobs.append(booked)
        return booked

    async def _hang(self, booked: Booked, step: asyncio.Event) -> None:
        try:
            await step.wait()
        except asyncio.CancelledError:
            booked.steps.appendleft(step)  # whoever asks next hangs in the same place
            raise

    async def _end(self, booked: Booked, job: Job) -> Done:
        act = booked.act
        if act.failure is not None:
            raise act.failure
        if act.outputs is not None or act.pieces:
            return Done(outputs=act.outputs or (), pieces=act.pieces, callbacks=act.callbacks)
        count = job.request.count if act.files is None else act.files
        outputs = await asyncio.to_thread(_draw, job, booked.upstream_id, count)
        return Done(outputs=outputs, facts={"pictures": count}, callbacks=act.callbacks)


class FindingFake(Fake):
    """A fake that can be asked for a job by its key. ``silences`` are errors that the next questions meet."""

    def __init__(self, name: str = "fake", *, models: dict[str, str] | None = None) -> None:
        super().__init__(name, models=models)
        self.questions: list[str] = []
        self.silences: deque[ProviderError] = deque()

    async def find(self, job: Job) -> str | None:
        """The upstream id behind the key of a job; None where none was accepted."""
        self.questions.append(job.idempotency_key)
        if self.silences:
            raise self.silences.popleft()
        booked = self.by_key(job.idempotency_key)
        return booked.upstream_id if booked else None


def picture(request: Request, index: int = 0) -> bytes:
    """What the fake draws: a small picture of the ratio, different for every request and every index."""
    wide, high = (8 * int(part) for part in _ratio(request).split(":"))
    return png(wide, high, 16 + index, f"{index} {request!r}".encode())


def _ratio(request: Request) -> str:
    ratio = getattr(request, "ratio", "1:1")
    return ratio if ":" in ratio else "1:1"


def png(width: int = 8, height: int = 8, shade: int = 128, comment: bytes = b"") -> bytes:
    """A small valid picture: grey, ``shade`` in 0..255."""
    rows = (b"\0" + bytes([shade]) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    note = b"Comment\0" + hashlib.sha256(comment).hexdigest().encode()
    parts = ((b"IHDR", head), (b"tEXt", note), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _draw(job: Job, name: str, count: int) -> tuple[LocalFile, ...]:
    paths = [job.workdir / f"{name}-{index}.png" for index in range(count)]
    for index, path in enumerate(paths):
        path.write_bytes(picture(job.request, index))
    return tuple(LocalFile(path=path) for path in paths)

"""The seam to an upstream service: a manifest and three verbs.

A provider reports facts (files, seconds, tokens, their error), never amounts. It fails in four ways, each an error of
``tessera.domain.errors``: ``Rejected``, ``Unavailable``, ``Ambiguous``, ``Failed``. Retries of a submission are off in
whatever client it uses: a retry that the engine did not decide on is a second bill.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from tessera.domain.errors import Rejected
from tessera.domain.task import Piece, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a provider is and needs.

    ``operations`` are those of ``Draft.operation`` that it can serve (``image.generate``, ``image.edit`` ...).
    ``models`` maps what a caller may name to the upstream model that serves it by default; the operator can set others.
    ``environment`` names the variables that switch it on (empty: always on).
    ``idempotent`` says that a submission repeated with the same idempotency key is one job.
    """

    name: str
    title: str
    operations: frozenset[str]
    models: Mapping[str, str]
    environment: tuple[str, ...] = ()
    idempotent: bool = False
    homepage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """An input of the request, fetched, checked and lying on the local disk. ``role`` is that of its source."""

    path: Path
    media_type: str
    size: int
    width: int | None = None
    height: int | None = None
    role: str = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt as a provider sees it. ``workdir`` is scratch space that outlives the attempt's last verb only.

    ``upstream_id`` is None until a submission has returned one. ``files`` are in the order of ``request.sources()``.
    ``stage`` is the last one that is on record; the first ``kept`` outputs are stored already, and need not be made
    again by whoever takes a job over.
    """

    task_id: str
    idempotency_key: str
    model: str
    request: Request
    workdir: Path
    operation: str = ""
    files: tuple[InputFile, ...] = ()
    upstream_id: str | None = None
    stage: str | None = None
    kept: int = 0

    @property
    def images(self) -> tuple[InputFile, ...]:
        """The pictures to work on, in their order."""
        return self.of("image")

    @property
    def mask(self) -> InputFile | None:
        return next(iter(self.of("mask")), None)

    def of(self, role: str) -> tuple[InputFile, ...]:
        """The files that play this part."""
        return tuple(file for file in self.files if file.role == role)


R = TypeVar("R", bound=Request)


def asked(job: Job, kind: type[R]) -> R:
    """The request of a job, of the one kind that a provider knows. Raises Rejected for another one."""
    if not isinstance(job.request, kind):
        raise Rejected(f"This provider takes no {type(job.request).__name__}", portable=True)
    return job.request


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """An output that the provider has written below ``Job.workdir``."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """An output to be fetched from the provider's own host; ``headers`` may carry its key."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


Output = LocalFile | RemoteFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The receipt of a submission."""

    upstream_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Not finished. ``progress`` in 0..1 where the provider knows; ``again`` is when it wants to be asked next.

    ``stage`` names how far the job is, where the family of its operation tells that to callers; ``pieces`` and
    ``outputs`` are what is there by then: all of it, in the order that ``Done`` will have. A stage is told once, and
    is in ``Job.stage`` from then on.
    """

    progress: float | None = None
    again: timedelta = timedelta(seconds=2)
    stage: str | None = None
    outputs: tuple[Output, ...] = ()
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Finished: the files in order, and facts worth keeping on the attempt (seconds, tokens, their cost).

    ``pieces`` are what was made where files alone do not tell it; what is words only has pieces and no outputs.
    ``callbacks`` is how many times the end is told; more than one only where a developer asked the sandbox for it.
    """

    outputs: tuple[Output, ...] = ()
    pieces: tuple[Piece, ...] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    callbacks: int = 1


class Provider(Protocol):
    """An upstream service. One instance serves all jobs of a process, concurrently."""

    @property
    def manifest(self) -> Manifest: ...

    async def submit(self, job: Job) -> Accepted | Done:
        """Send the job once. A synchronous service answers ``Done`` at once.

        Raises Rejected, Unavailable, Ambiguous or Failed.
        """
        ...

    async def poll(self, job: Job) -> Running | Done:
        """Ask after ``job.upstream_id``.

        Raises Failed for their verdict, Unavailable when the question got no answer.
        """
        ...

    async def cancel(self, job: Job) -> bool:
        """Ask them to stop. True when they said that they did; False when they cannot."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Finder(Protocol):
    """A provider that can look up a job by our idempotency key."""

    async def find(self, job: Job) -> str | None:
        """The upstream id of a job submitted with ``job.idempotency_key``; None when they surely have none."""
        ...

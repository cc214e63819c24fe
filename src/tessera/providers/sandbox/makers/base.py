"""The seam between the sandbox, which keeps the time, and those who make something when it has come."""

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tessera.domain.errors import Failed
from tessera.domain.task import Piece, Reason, Request
from tessera.kit.cpu import Crew
from tessera.providers.base import Job, Output

T = TypeVar("T")

MISSING = "The sandbox lacks its codecs: install Tessera with its extra 'media' (make setup does), then start it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A job to do: ``request`` is the job's without the sandbox's directives in its texts."""

    job: Job
    request: Request
    cpu: Crew


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What there is of a job: all of it, in the order of its end."""

    outputs: tuple[Output, ...] = ()
    pieces: tuple[Piece, ...] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)


class Maker(Protocol):
    """Makes one kind of media. ``stages`` are told on the way: at which part of its time a job reaches which."""

    @property
    def operations(self) -> frozenset[str]: ...

    def stages(self, job: Job) -> tuple[tuple[float, str], ...]:
        """Ascending, each below 1."""
        ...

    async def check(self, work: Work) -> None:
        """Look at a job before it is accepted. Raises Rejected for what cannot be made, and Trouble for its files."""
        ...

    async def make(self, work: Work, stage: str | None) -> Made:
        """What is there at a stage, or all of it (None). Raises Failed, and Trouble for its files."""
        ...


def source(work: Work) -> Path:
    """The sound to work on. Raises Failed where it is gone since the job was taken."""
    files = work.job.of("audio")
    if not files:
        raise Failed("There is no sound to work on any more", reason=Reason.INPUT_INVALID)
    return files[0].path


def seed(work: Work) -> int:
    """The seed of a request that names none: the same for the same request, below 2**32."""
    given: int | None = getattr(work.request, "seed", None)
    if given is not None:
        return given
    said = {name: value for name, value in asdict(work.request).items() if not _is_place(value)}
    text = json.dumps([work.job.operation, work.job.model, said], sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


def _is_place(value: Any) -> bool:
    """Links to the same file differ, so they say nothing."""
    first = value[0] if isinstance(value, tuple) and value else value
    return isinstance(first, str) and first.startswith(("http://", "https://"))


async def together(work: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """All the answers in order. The first error ends the wait for the others, and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except ExceptionGroup as several:
        raise several.exceptions[0] from several
    return [task.result() for task in tasks]

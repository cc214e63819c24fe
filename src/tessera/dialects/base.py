"""The seam of a family: its operations, each a plain function from a call to what is answered, and its callback.

A family does no I/O. What it has to know or to have done it asks of the ``Desk``, which the gateway gives it for the
caller of the moment: an earlier task of that caller, a link to a file, a new task accepted.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import msgspec

from tessera.contract.decode import Malformed, Mismatch, check, decode
from tessera.contract.envelope import TaskCreated
from tessera.contract.operations import Operation
from tessera.domain.asset import Asset
from tessera.domain.errors import Invalid, NotFound, Unreadable
from tessera.domain.task import Draft, Task

T = TypeVar("T")

Link = Callable[[Asset], str]
"""Answers the public URL of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a caller sent: the body, the query by name (in the order given), the named parts of the path."""

    body: bytes = b""
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)

    def one(self, name: str) -> str:
        """A query parameter that has to be there once, without the white space around it. Raises Invalid."""
        found = self.maybe(name)
        if found is None:
            raise Invalid(f"{name}: is required", field=name)
        return found

    def maybe(self, name: str) -> str | None:
        """A query parameter that may be left out, or be empty. Raises Invalid where it is there twice."""
        given = self.query.get(name, ())
        said = [value.strip() for value in given if value.strip()]
        if said and len(given) > 1:
            raise Invalid(f"{name}: has to be given once", field=name)
        return said[0] if said else None


class Desk(Protocol):
    """What the gateway does for a family, on behalf of the caller of the moment. Another caller's is unknown here."""

    @property
    def now(self) -> datetime: ...

    @property
    def kept(self) -> timedelta:
        """How long outputs are kept."""
        ...

    def link(self, asset: Asset) -> str:
        """The public URL of a file."""
        ...

    def direct(self, asset: Asset) -> str:
        """A link to a file that needs no key and is good for 20 minutes."""
        ...

    def key(self, url: str) -> str | None:
        """The object key behind one of our own links; None for any other URL."""
        ...

    async def asset(self, key: str) -> Asset | None:
        """The caller's file under an object key."""
        ...

    async def task(self, task_id: str) -> Task | None:
        """The caller's task, of whichever family."""
        ...

    async def children(self, parent: Task, operation: str) -> list[Task]:
        """The tasks of an operation that go on from a task, the newest first."""
        ...

    async def accept(self, draft: Draft, *, once: str | None = None) -> str:
        """A new task; answers its id when it is durable. Raises a Refusal.

        ``once`` names what is to be made at the most once in a day: the same name answers the same task.
        """
        ...

    async def credits(self) -> float:
        """What is left on the caller's account."""
        ...

    async def done(self, task_id: str, within: timedelta) -> Task:
        """The task when it is over, or as it stands when the time is."""
        ...


Answer = Callable[[Call, Desk], Awaitable[object]]
"""Serves one operation. What it answers is ``data``; an Envelope is answered as it stands."""


@dataclass(frozen=True, slots=True)
class Route:
    """One operation and who serves it."""

    operation: Operation
    answer: Answer


class Family(Protocol):
    """One family of endpoints: a module of this package has it as ``family``.

    ``name`` is what its tasks carry, ``models`` are those that an operator can route, without their upstream names.
    """

    @property
    def name(self) -> str: ...

    @property
    def models(self) -> frozenset[str]: ...

    @property
    def routes(self) -> Sequence[Route]: ...

    def callback(self, task: Task, link: Link) -> object:
        """The whole body of a callback: of a task that is over, or of one that has reached a stage."""
        ...


def creates(parse: Callable[[bytes], Draft]) -> Answer:
    """Serves an operation whose body is all that it takes to make a task."""

    async def answer(call: Call, desk: Desk) -> object:
        return TaskCreated(await desk.accept(parse(call.body)))

    return answer


def shows(
    family: str,
    record: Callable[[Task, Link, datetime], object],
    *,
    task_id: Callable[[str], str] = str,
    operations: Callable[[str], bool] = lambda operation: True,
    parameter: str = "taskId",
    missing: str = "The record does not exist",
) -> Answer:
    """Serves a record-info: a task of the family, of the operations that are shown there."""

    async def answer(call: Call, desk: Desk) -> object:
        task = await desk.task(task_id(call.one(parameter)))
        if task is None or task.family != family or not operations(task.operation):
            raise NotFound(missing)
        return record(task, desk.link, desk.now)

    return answer


def read(kind: type[T], body: bytes) -> T:
    """A body as a struct of the contract. Raises Invalid."""
    try:
        return decode(kind, body)
    except Mismatch as error:
        raise Invalid(str(error), field=error.field) from error
    except Malformed as error:
        raise Unreadable(str(error)) from error


def compact(body: bytes) -> str:
    """The body as it was sent, without its white space: what ``paramJson`` shows.

    It can be decoded again, by whoever shows it. Raises Unreadable.
    """
    try:
        text = bytes(msgspec.json.format(body, indent=-1)).decode()
        check(text)
        return text
    except Malformed as error:
        raise Unreadable(str(error)) from error
    except RecursionError as error:  # the limit counts from where we stand: what was just read may still be too deep
        raise Unreadable("The request body is nested too deeply") from error


def urls(**given: str | Sequence[str] | None) -> dict[str, str]:
    """The addresses of a request by the names of their fields (``imageUrls[1]``), those that were given."""
    found: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, str):
            found |= {name: value} if value else {}
        else:
            found |= {f"{name}[{index}]": url for index, url in enumerate(value or ())}
    return found


def bounded(field: str, text: str | None, most: int, *, required: bool = False) -> str:
    """A text without the white space around it, of ``most`` characters at the most. Raises Invalid."""
    text = (text or "").strip()
    if required and not text:
        raise Invalid(f"{field}: is required", field=field)
    if len(text) > most:
        raise Invalid(f"{field}: at most {most} characters, got {len(text)}", field=field)
    if "\0" in text:
        raise Invalid(f"{field}: must not contain NUL characters", field=field)
    return text


def sent(task: Task) -> dict[str, Any]:
    """The body that made a task. Empty for what cannot be read any more: a record is shown all the same."""
    try:
        found = msgspec.json.decode(task.params)
    except (msgspec.DecodeError, RecursionError):  # kept by an older version; too deep for where we stand now
        return {}
    return found if isinstance(found, dict) else {}

"""The seam of a family: one body in, one record and one callback out."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from tessera.contract.decode import Malformed, Mismatch, decode
from tessera.domain.asset import Asset
from tessera.domain.errors import Invalid, Unreadable
from tessera.domain.task import Draft, Task

T = TypeVar("T")

Link = Callable[[Asset], str]
"""Answers the public URL of a file."""


class Dialect(Protocol):
    """One family of endpoints. Every method is pure."""

    @property
    def family(self) -> str: ...

    def parse(self, body: bytes) -> Draft:
        """The request that a body asks for. Raises Invalid with the field and the rule."""
        ...

    def record(self, task: Task, link: Link, now: datetime) -> msgspec.Struct:
        """``data`` of the family's record-info."""
        ...

    def callback(self, task: Task, link: Link) -> msgspec.Struct:
        """The whole body of the family's callback, for a task that is over."""
        ...


def read(kind: type[T], body: bytes) -> T:
    """A body as a struct of the contract. Raises Invalid."""
    try:
        return decode(kind, body)
    except Mismatch as error:
        raise Invalid(str(error), field=error.field) from error
    except Malformed as error:
        raise Unreadable(str(error)) from error


def compact(body: bytes) -> str:
    """The body as it was sent, without its white space: what ``paramJson`` shows. Raises Invalid."""
    try:
        return bytes(msgspec.json.format(body, indent=-1)).decode()
    except RecursionError as error:  # the limit counts from where we stand: what was just read may still be too deep
        raise Unreadable("The request body is nested too deeply") from error

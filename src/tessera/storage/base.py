"""The seam to an object store."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from tessera.domain.errors import StorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """An object's facts: ``size`` in bytes, ``etag`` with its quotes."""

    size: int
    media_type: str
    etag: str
    modified_at: datetime


class Undeleted(StorageError):
    """Some objects could not be removed, the others are gone. ``reasons`` are by key."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        key, reason = next(iter(reasons.items()))
        super().__init__(f"{len(reasons)} objects could not be removed, the first is {key!r}: {reason}")
        self.reasons = reasons


class Blocked(StorageError):
    """In a store that is a folder: a file lies where a folder would have to be, or the other way round.

    ``at`` is the key of what is in the way.
    """

    def __init__(self, at: str) -> None:
        super().__init__(f"The object cannot be stored: {at!r} is in the way")
        self.at = at


class Store(Protocol):
    """Bytes under keys. A key is a relative path of safe segments, never empty, never with ``..``.

    Errors: ``tessera.domain.errors.StorageError`` for a failing store, ``NotFound`` for a missing key.
    """

    async def put(self, key: str, source: Path, *, media_type: str) -> Stat:
        """Store a file whole and durably: after the return it survives a power cut. Overwrites."""
        ...

    async def stat(self, key: str) -> Stat: ...

    def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes ``start`` to ``end`` (exclusive; None is the end of the object), in chunks."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is gone already is no error.

        One that cannot be removed does not save the others. Raises Undeleted.
        """
        ...

    async def rename(self, key: str, new: str) -> None:
        """Give an object another key, whole and durably, replacing what was there; its bytes do not come through us.

        A store that cannot rename leaves a copy under the old key, which is the caller's to delete. Raises NotFound.
        """
        ...

    def sign(self, key: str, *, expires: timedelta, now: datetime) -> str:
        """A presigned GET URL (AWS Signature Version 4 in the query) for the object, valid for ``expires``."""
        ...

    async def check(self) -> None:
        """Prove that the store answers, by a write and a delete. Raises StorageError."""
        ...

"""The seam to an object store."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """An object's facts: ``size`` in bytes, ``etag`` with its quotes."""

    size: int
    media_type: str
    etag: str
    modified_at: datetime


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
        """Remove objects; one that is gone already is no error."""
        ...

    def sign(self, key: str, *, expires: timedelta, now: datetime) -> str:
        """A presigned GET URL (AWS Signature Version 4 in the query) for the object, valid for ``expires``."""
        ...

    async def check(self) -> None:
        """Prove that the store answers, by a write and a delete. Raises StorageError."""
        ...

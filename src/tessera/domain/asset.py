"""A file that we keep."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Origin(StrEnum):
    """Where a file came from; each kind has its own retention."""

    OUTPUT = "output"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A stored file: ``key`` is its place in the store, ``size`` in bytes, ``sha256`` in lower-case hex.

    ``width`` and ``height`` are in pixels, ``seconds`` is a length in time; each is None where it has no meaning.
    ``purged_at`` is when its bytes went, at the end of their retention; the row stays to say so.
    """

    key: str
    account_id: str
    origin: Origin
    media_type: str
    size: int
    sha256: str
    created_at: datetime
    task_id: str | None = None
    position: int = 0
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    purged_at: datetime | None = None

    @property
    def name(self) -> str:
        return self.key.rsplit("/", 1)[-1]

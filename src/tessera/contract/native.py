"""Our own endpoints under ``/v1``: tasks and deliveries, the same for every family."""

import msgspec


class NativeError(msgspec.Struct, frozen=True):
    reason: str
    message: str


class NativeFile(msgspec.Struct, frozen=True, kw_only=True):
    """``size`` in bytes, ``sha256`` in hex. ``url`` is good as long as the file is kept."""

    url: str
    mediaType: str
    size: int
    sha256: str
    width: int | None
    height: int | None
    purgedAt: str | None


class NativeTask(msgspec.Struct, frozen=True, kw_only=True):
    """Times are ISO 8601 in UTC, ``progress`` runs from 0 to 1, ``credits`` are those held or taken."""

    id: str
    family: str
    model: str
    mode: str
    state: str
    progress: float
    credits: float
    createdAt: str
    startedAt: str | None
    completedAt: str | None
    error: NativeError | None
    outputs: list[NativeFile]


class NativeAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One POST of a callback; ``seconds`` is how long it took."""

    number: int
    at: str
    seconds: float
    status: int | None
    error: str | None
    excerpt: str | None


class NativeDelivery(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    taskId: str
    event: str
    url: str
    state: str
    createdAt: str
    nextAt: str | None
    endedAt: str | None
    attempts: list[NativeAttempt] | None = None

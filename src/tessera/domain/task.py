"""The task: one accepted request to generate, its request, its states, its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tessera.domain.asset import Asset


class Mode(StrEnum):
    """A test key runs on the sandbox, a live key on providers. Balances are apart."""

    TEST = "test"
    LIVE = "live"


class State(StrEnum):
    """waiting -> running -> succeeded | failed; canceled from either of the first two."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED})


class Reason(StrEnum):
    """Why a task failed, in our words. Each dialect spells it in its own codes."""

    CONTENT = "content_policy"
    INPUT_INVALID = "input_invalid"
    INPUT_UNREACHABLE = "input_unreachable"
    PROVIDER = "provider_failed"
    UNAVAILABLE = "provider_unavailable"
    UNKNOWN = "outcome_unknown"
    DEADLINE = "deadline_passed"
    STORAGE = "storage_failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of a failed task. ``message`` is safe to show to the caller."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """Pictures to make. URLs are the caller's; files are fetched by the worker.

    ``ratio`` is width:height in small whole numbers. ``mask`` marks, black on white, the area of ``images[0]`` to edit.
    """

    prompt: str
    ratio: str = "1:1"
    count: int = 1
    images: tuple[str, ...] = ()
    mask: str | None = None
    enhance: bool = False
    seed: int | None = None


Request = ImageRequest
"""What a provider is asked for; a union, one member for each kind of media."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A request as a dialect understood it, before it is priced and accepted.

    ``params`` is the body as it came; ``urls`` are the addresses that the caller gave, by the name of their field.
    """

    family: str
    operation: str
    model: str
    request: Request
    params: str
    callback_url: str | None = None
    fallback: str | None = None
    urls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One accepted request. ``price`` and ``progress`` are in milli-credits and in 0..1.

    ``params`` is the body as it came, ``epoch`` counts the claims: a write that carries an old one is refused.
    """

    id: str
    account_id: str
    key_id: str
    mode: Mode
    family: str
    operation: str
    model: str
    request: Request
    params: str
    callback_url: str | None
    fallback: str | None
    price: int
    state: State
    progress: float
    epoch: int
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    failure: Failure | None = None
    outputs: tuple[Asset, ...] = field(default=())


class AttemptState(StrEnum):
    """intent (written before anything leaves) -> submitted (upstream id known) -> a verdict."""

    INTENT = "intent"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    UNAVAILABLE = "unavailable"
    AMBIGUOUS = "ambiguous"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a task at one provider. ``idempotency_key`` goes upstream and never changes."""

    task_id: str
    number: int
    provider: str
    model: str
    idempotency_key: str
    state: AttemptState
    upstream_id: str | None
    created_at: datetime
    error: str | None = None

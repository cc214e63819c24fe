"""An event for one endpoint, and each try to bring it there."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A callback to make: the end of ``task_id`` told to ``url``. Its id is the ``webhook-id`` of every try.

    ``base`` is how many tries were made before it was last redelivered: the schedule begins anew behind them.
    """

    id: str
    account_id: str
    task_id: str
    event: str
    url: str
    created_at: datetime
    state: DeliveryState = DeliveryState.PENDING
    next_at: datetime | None = None
    ended_at: datetime | None = None
    base: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttempt:
    """One POST: ``status`` is the answer's, ``error`` says why there was none; ``seconds`` is how long it took."""

    delivery_id: str
    number: int
    at: datetime
    seconds: float
    status: int | None = None
    error: str | None = None
    excerpt: str | None = None

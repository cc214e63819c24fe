"""The books that are compared: what the clients were told, what the provider accepted, what the receiver got.

Moments are seconds since 1970, all of one machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tessera.db.audit import AssetRow, AttemptRow, DeliveryRow, LedgerRow, QueueRow, TaskRow, WalletRow, Write

Answer = Literal["accepted", "refused", "lost"]
"""What a caller can know of a submission: it was taken, it surely was not, or nothing."""

KEYED, PLAIN, FINDABLE = "torture-keyed", "torture-plain", "torture-findable"
"""Three services: one honours idempotency keys, one can be asked for a key, one knows no key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A submission as the provider saw it."""

    at: float
    provider: str
    key: str
    task_id: str
    worker: str
    answer: Answer


@dataclass(slots=True, kw_only=True)
class UpstreamJob:
    """A job that the provider accepted and will bill; ``hashes`` are SHA-256 of its files, in order."""

    id: str
    at: float
    provider: str
    key: str
    task_id: str
    hashes: tuple[str, ...]
    canceled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    at: float
    job: str
    worker: str


@dataclass(slots=True, kw_only=True)
class UpstreamBook:
    posts: list[Post] = field(default_factory=list)
    jobs: list[UpstreamJob] = field(default_factory=list)
    polls: list[Poll] = field(default_factory=list)
    chaos: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A callback as it came; ``status`` is our answer, None where we gave none. ``code`` is the body's."""

    at: float
    message_id: str
    task_id: str
    code: int
    genuine: bool
    status: int | None


@dataclass(slots=True, kw_only=True)
class ReceiverBook:
    received: list[Received] = field(default_factory=list)
    chaos: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Sent:
    """A request of a client: ``told`` are the task ids that it was answered with, ``posts`` how often it was sent.

    ``refused`` is the last answer that was no success.
    """

    nonce: str
    key: str | None
    callback_url: str | None
    posts: int = 0
    told: list[str] = field(default_factory=list)
    refused: str | None = None
    canceled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The end of a process: killed by us, by a fault, or asked to go."""

    at: float
    actor: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The database and the store, read when all was quiet.

    ``bytes`` maps the keys of assets to SHA-256 of what lies there. ``lying`` are the keys of everything that lies in
    the store after a sweep that waits for nobody any more. ``ill`` is what a doctor finds, in words.
    """

    tasks: tuple[TaskRow, ...]
    attempts: tuple[AttemptRow, ...]
    ledger: tuple[LedgerRow, ...]
    wallets: tuple[WalletRow, ...]
    assets: tuple[AssetRow, ...]
    deliveries: tuple[DeliveryRow, ...]
    writes: tuple[Write, ...]
    jobs: tuple[QueueRow, ...]
    bytes: Mapping[str, str]
    lying: tuple[str, ...]
    ill: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All books of one run. ``schedule`` is how many tries of a callback follow the first, ``lease`` the bound of a
    take-over in seconds.
    """

    sent: tuple[Sent, ...]
    upstream: UpstreamBook
    receiver: ReceiverBook
    house: House
    deaths: tuple[Death, ...]
    schedule: int
    lease: float

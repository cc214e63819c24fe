"""The task: one accepted request to generate, its request, its states, its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from tessera.domain.asset import Asset

Json = Any
"""What JSON can say."""


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


Kind = Literal["image", "video", "audio"]
"""What a file is good for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An input file of a request: its URL, what it has to be, and the part that it plays (``mask``, ``first`` ...)."""

    url: str
    kind: Kind
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """Pictures to make. URLs are the caller's; files are fetched by the worker.

    ``ratio`` is width:height in small whole numbers, ``auto`` that of the first image; ``resolution`` is a tier such as
    ``2K``, ``width`` and ``height`` are pixels where the caller named them. ``mask`` marks, black on white, the area of
    ``images[0]`` to edit. ``scale`` is the factor of an upscale, ``format`` the wanted kind of file. ``tolerance`` is
    how much a provider's moderation may let pass, 0 (least) to 6.
    """

    prompt: str
    ratio: str = "1:1"
    count: int = 1
    images: tuple[str, ...] = ()
    mask: str | None = None
    enhance: bool = False
    seed: int | None = None
    resolution: str | None = None
    width: int | None = None
    height: int | None = None
    scale: float | None = None
    format: Literal["png", "jpeg", "webp"] = "png"
    negative: str = ""
    watermark: str = ""
    tolerance: int | None = None

    def sources(self) -> tuple[Source, ...]:
        images = tuple(Source(url=url, kind="image", role="image") for url in self.images)
        return images if self.mask is None else (*images, Source(url=self.mask, kind="image", role="mask"))


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRequest:
    """A film to make, ``seconds`` long, or to make out of ``video``.

    ``ratio`` is width:height or ``auto`` (that of the first picture), ``resolution`` a tier: 480p, 720p, 1080p, 4k;
    ``scale`` is the factor of an upscale that names one.
    ``first`` and ``last`` are the frames that it begins and ends with, ``references`` show what is to appear,
    ``audio`` is what is spoken or heard. ``at`` is where in ``video`` a change begins, in seconds. With ``cover`` there
    is a picture of it, too: the last output, and in the first piece's ``files``.
    """

    prompt: str = ""
    count: int = 1
    seconds: float = 5.0
    ratio: str = "16:9"
    resolution: str = "720p"
    scale: float | None = None
    first: str | None = None
    last: str | None = None
    references: tuple[str, ...] = ()
    video: str | None = None
    audio: str | None = None
    at: float | None = None
    sound: bool = True
    cover: bool = False
    seed: int | None = None
    negative: str = ""
    watermark: str = ""
    title: str = ""
    author: str = ""

    def sources(self) -> tuple[Source, ...]:
        named: tuple[tuple[str | None, Kind, str], ...] = (
            (self.first, "image", "first"),
            (self.last, "image", "last"),
            *((url, "image", "reference") for url in self.references),
            (self.video, "video", "video"),
            (self.audio, "audio", "audio"),
        )
        return tuple(Source(url=url, kind=kind, role=role) for url, kind, role in named if url is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MusicRequest:
    """Songs to make, ``count`` versions of one; or work on ``audio``, the songs that are there.

    ``prompt`` says what to make and ``lyrics`` what to sing; ``style`` are words such as *slow blues*, ``avoid`` what
    to keep out. ``start`` and ``end`` are seconds in ``audio[0]``: where it is continued, or the part to replace.
    ``voice`` is a gender or the id of a voice, ``persona`` of a persona. ``stems`` names the tracks that are wanted.
    ``weights`` are numbers from 0 to 1 by name, ``facts`` what an earlier task has told of ``audio``.
    """

    prompt: str = ""
    count: int = 1
    lyrics: str = ""
    style: str = ""
    title: str = ""
    avoid: str = ""
    instrumental: bool = False
    voice: str = ""
    persona: str = ""
    audio: tuple[str, ...] = ()
    image: str | None = None
    start: float | None = None
    end: float | None = None
    seconds: float | None = None
    loop: bool = False
    tempo: float | None = None
    key: str = ""
    stems: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Json] = field(default_factory=dict)
    author: str = ""
    seed: int | None = None

    def sources(self) -> tuple[Source, ...]:
        audio = tuple(Source(url=url, kind="audio", role="audio") for url in self.audio)
        return audio if self.image is None else (*audio, Source(url=self.image, kind="image", role="image"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a dialogue, and who says it."""

    text: str
    voice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest:
    """Words to say, a sound to make (``prompt`` describes it), or ``audio`` to listen to or to clean.

    ``lines`` are said one after the other. ``speed`` is 1 as a rule; ``seconds`` is how long a sound is to be.
    """

    prompt: str = ""
    count: int = 1
    lines: tuple[Line, ...] = ()
    voice: str = ""
    language: str = ""
    speed: float = 1.0
    seconds: float | None = None
    loop: bool = False
    audio: str | None = None
    format: str = "mp3"
    seed: int | None = None

    def sources(self) -> tuple[Source, ...]:
        return () if self.audio is None else (Source(url=self.audio, kind="audio", role="audio"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A call to a language model, answered at once and not by a worker. What was said in it is not kept.

    ``wire`` is the protocol; ``most`` is how many tokens the answer may have, ``given`` at most how many the question.
    ``caches`` says that the vendor is asked to keep some of them for later.
    """

    wire: str
    stream: bool = False
    most: int = 0
    given: int = 0
    count: int = 1
    caches: bool = False

    def sources(self) -> tuple[Source, ...]:
        return ()


Request = ImageRequest | VideoRequest | MusicRequest | SpeechRequest | ChatRequest
"""What a provider is asked for, one member for each kind of media."""

REQUESTS: Mapping[str, type[Request]] = {
    "image": ImageRequest,
    "video": VideoRequest,
    "music": MusicRequest,
    "speech": SpeechRequest,
    "chat": ChatRequest,
}
"""By the first word of the operation (``image.edit``) what its request is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One thing that a task made and that its files alone do not tell: a song, a text, a voice.

    ``files`` names outputs of the task by the part that they play (``audio``, ``cover``): their positions. ``facts``
    are what is known of it, as JSON: ``title``, ``lyrics``, ``seconds``. Its id is ``ids.part(task.id, index)``.
    """

    files: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A request as a dialect understood it, before it is priced and accepted.

    ``params`` is the body as it came; ``urls`` are the addresses that the caller gave, by the name of their field.
    ``parent`` is the id of the task that this one goes on from. ``price`` is what the family's own list says, in
    milli-credits; ``units`` says how much is asked for, for a price list that counts it (``output``, ``second``).
    """

    family: str
    operation: str
    model: str
    request: Request
    params: str
    callback_url: str | None = None
    fallback: str | None = None
    urls: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None
    price: int | None = None
    units: Mapping[str, float] = field(default_factory=dict)

    def task(self, *, id: str, account_id: str, key_id: str, mode: Mode, price: int, now: datetime) -> "Task":
        """The task that this becomes when it is accepted at ``price``, in milli-credits."""
        return Task(
            id=id,
            account_id=account_id,
            key_id=key_id,
            mode=mode,
            family=self.family,
            operation=self.operation,
            model=self.model,
            request=self.request,
            params=self.params,
            callback_url=self.callback_url,
            fallback=self.fallback,
            price=price,
            state=State.WAITING,
            progress=0.0,
            epoch=0,
            created_at=now,
            parent=self.parent,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One accepted request. ``price`` and ``progress`` are in milli-credits and in 0..1.

    ``params`` is the body as it came, ``epoch`` counts the claims: a write that carries an old one is refused.
    ``stage`` names how far a running task has come where its family tells that (``text``, ``first``); ``pieces`` are
    what is there by then.
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
    parent: str | None = None
    stage: str | None = None
    pieces: tuple[Piece, ...] = field(default=())


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

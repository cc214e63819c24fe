"""What all parts of the Suno family share: names, limits, prices, and how states and failures are spelled."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

from tessera.contract.envelope import Envelope, TaskCreated
from tessera.dialects.base import Answer, Call, Desk, Link, compact, sent, urls
from tessera.domain.errors import IdempotencyConflict, Invalid
from tessera.domain.task import Draft, Failure, Reason, Request, State, Task

NAME = "suno"

UPSTREAM_NAMES = {
    "V3_5": "chirp-v3-5",
    "V4": "chirp-v4",
    "V4_5": "chirp-auk",
    "V4_5ALL": "chirp-auk-turbo",
    "V4_5PLUS": "chirp-bluejay",
    "V5": "chirp-crow",
    "V5_5": "chirp-fenix",
}
"""What answers call a model; most are recorded. One that was never seen is shown by its own name."""

SONGS = ("V3_5", "V4", "V4_5", "V4_5PLUS", "V4_5ALL", "V5", "V5_5", "V6", "V6_WILD", "V6_MINI")
WORKS = ("sounds", "wav", "stems", "midi", "mp4", "cover", "lyrics", "style", "timing", "persona", "voice", "recovery")
"""What has no model of its own is routed, and can be priced, by the name of the work."""


def model(name: str) -> str:
    """What an operator routes: ``suno/V5``, ``suno/wav``."""
    return f"{NAME}/{name}"


MODELS = frozenset(map(model, SONGS + WORKS))

WITH_LENGTH = frozenset({"V5_5", "V6", "V6_WILD", "V6_MINI"})
"""The models that a length can be asked of."""

PRICES = {
    "song": 12_000,
    "section": 5_000,
    "sounds": 2_500,
    "wav": 400,
    "separate_vocal": 10_000,
    "split_stem": 50_000,
    "split_stem_advanced": 20_000,
    "midi": 0,
    "mp4": 2_000,
    "cover": 400,
    "lyrics": 400,
    "style": 400,
    "timing": 400,
    "persona": 400,
    "phrase": 0,
    "voice": 2_000,
    "recovery": 0,
}
"""Milli-credits for a task, from the reference (``x-credits``) but for these estimates of ours, where it has none.

``cover``, ``timing`` and ``persona`` cost what other small works do, ``voice`` what a video does. ``phrase`` is free
because a phrase that failed is known to be, and ``recovery`` because its songs are paid for. One instrument pulled out
is said to cost twice what voice and backing do.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many characters a model takes at the most."""

    prompt: int
    style: int
    title: int


def limits(name: str, *, long_titles: bool = False) -> Limits:
    """The limits of a model; where something is continued or covered most of them take longer titles."""
    if name in {"V3_5", "V4"}:
        return Limits(3000, 200, 80)
    return Limits(5000, 1000, 100 if long_titles and name != "V4_5ALL" else 80)


# ---- what is sent ----

LONGEST = 24 * 60 * 60
"""Seconds; nothing that is sung or played here is longer."""

Parse = Callable[[bytes, Desk], Awaitable[Draft]]


def makes(parse: Parse) -> Answer:
    """Serves an operation that makes a task of its body and of what the desk knows."""

    async def answer(call: Call, desk: Desk) -> object:
        return TaskCreated(await desk.accept(await parse(call.body, desk)))

    return answer


def hook(url: str | None, *, required: bool = True) -> str | None:
    """Where to call back. Raises Invalid in the recorded words."""
    if required and not (url or "").strip():
        raise Invalid("Please enter callBackUrl.", field="callBackUrl")
    return url or None


def moment(field: str, seconds: float) -> float:
    """A place in a recording. Raises Invalid for one that no recording has."""
    if not seconds <= LONGEST:  # so that what is no number is refused, too
        raise Invalid(f"{field}: has to be {LONGEST} at the most", field=field)
    if seconds < 0:
        raise Invalid(f"{field}: must not be negative", field=field)
    return seconds


def draft(
    body: bytes,
    operation: str,
    name: str,
    request: Request,
    *,
    price: int,
    callback: str | None,
    given: Mapping[str, str] | None = None,
    parent: Task | None = None,
) -> Draft:
    """``name`` is that of a model or a work, ``given`` are the caller's addresses by field, beside the callback's."""
    return Draft(
        family=NAME,
        operation=operation,
        model=model(name),
        request=request,
        params=compact(body),
        callback_url=callback,
        urls={**(given or {}), **({} if _dummy(callback) else urls(callBackUrl=callback))},
        parent=parent.id if parent else None,
        price=price,
        units={"output": request.count},
    )


def _dummy(url: str | None) -> bool:
    """Whether it is what polling clients fill the field with.

    They must not be refused for it. Nothing is called there that may not be: every delivery is judged, too.
    """
    try:
        host = urlsplit(url or "").hostname or ""
    except ValueError:
        return False
    return f".{host}".endswith(".localhost")


# ---- what is answered ----

NOT_STARTED = {Reason.INPUT_INVALID, Reason.INPUT_UNREACHABLE, Reason.UNAVAILABLE}
"""Failures before any provider took the task."""

RECORD_CODES = {
    Reason.CONTENT: 400,
    Reason.INPUT_INVALID: 400,
    Reason.INPUT_UNREACHABLE: 451,
    Reason.DEADLINE: 408,
    Reason.PROVIDER: 501,
    Reason.CANCELED: 499,
}
"""All else is 500."""

TOLD_CODES = {**RECORD_CODES, Reason.INPUT_UNREACHABLE: 500, Reason.CANCELED: 531}
"""A callback knows fewer codes; 531 is a task that failed and was not charged for."""

PATIENCE = timedelta(seconds=50)
"""How long a caller is kept waiting who is answered at once. Most clients give up after a minute."""


def code(failure: Failure) -> int:
    return RECORD_CODES.get(failure.reason, 500)


def told_code(failure: Failure) -> int:
    return TOLD_CODES.get(failure.reason, 500)


def plain_code(failure: Failure) -> int:
    """For the records of work on a track, whose codes are 500 and, for a canceled task, 499."""
    return 499 if failure.reason is Reason.CANCELED else 500


def early(task: Task) -> bool:
    """Whether a failed task failed before it began."""
    return task.started_at is None or (task.failure is not None and task.failure.reason in NOT_STARTED)


Word = Literal["PENDING", "SUCCESS", "CREATE_TASK_FAILED", "FAILED"]


def word(task: Task) -> Word:
    """The state in the words of most records; ``FAILED`` has another name in each of them."""
    if task.state is State.SUCCEEDED:
        return "SUCCESS"
    if not task.state.terminal:
        return "PENDING"
    return "CREATE_TASK_FAILED" if early(task) else "FAILED"


def reason(task: Task) -> str | None:
    """Why a task failed, for the caller to read."""
    if task.failure is None:
        return None
    if task.operation == "music.extend" and task.parent is None and "audioId" in sent(task):
        return "audioId: there is no such track"
    return task.failure.message


def clock(moment: datetime) -> str:
    """As the older pages print a time."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def shows(record: Callable[[Task, Link], object], operations: frozenset[str], *, required: bool = True) -> Answer:
    """Serves a record-info. What is not known here is a success without data: clients take it for pending."""

    async def answer(call: Call, desk: Desk) -> object:
        task_id = call.one("taskId") if required else call.maybe("taskId")
        task = await desk.task(task_id) if task_id else None
        return record(task, desk.link) if task and task.family == NAME and task.operation in operations else None

    return answer


async def only_once(desk: Desk, wanted: Draft, name: str) -> str | None:
    """A new task, the same one for two that ask at the same moment; None where the other asked in other words."""
    try:
        return await desk.accept(wanted, once=name)
    except IdempotencyConflict:
        return None


def not_done(task: Task) -> Envelope:
    """What a caller who waits is told of a task that has no result, or none yet."""
    if task.failure is None:
        return Envelope(408, "Still generating; ask again in a moment")
    told = RECORD_CODES.get(task.failure.reason, 500)
    return Envelope(500 if told == 499 else told, task.failure.message)

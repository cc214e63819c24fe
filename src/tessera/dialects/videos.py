"""What the video families have in common: numbers as they are sent, the film of an earlier task, its cover."""

import math
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

from tessera.dialects.base import Desk
from tessera.dialects.files import too_old
from tessera.domain.asset import Asset
from tessera.domain.errors import Invalid
from tessera.domain.task import Reason, State, Task, VideoRequest

MAX_PROMPT = 5000
"""Where the reference names no limit."""

MAX_WATERMARK = 200

NOT_STARTED = frozenset({Reason.INPUT_INVALID, Reason.INPUT_UNREACHABLE, Reason.UNAVAILABLE})
"""Failures before any provider took the task."""

_WHOLE = re.compile(r"[0-9]{1,18}(\.0*)?")
_NONE = -1
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def whole(field: str, given: float | str | None) -> int | None:
    """A whole number from 0 up, however it is sent: 8, 8.0, "8"; None where it was left out. Raises Invalid."""
    number = _number(given)
    if number == _NONE:
        raise Invalid(f"{field}: must be a whole number from 0", field=field)
    return number


def within(field: str, given: float | str | None, least: int, most: int) -> int | None:
    """A whole number from ``least`` to ``most``, None where it was left out. Raises Invalid."""
    number = _number(given)
    if number is not None and not least <= number <= most:
        raise Invalid(f"{field}: must be a whole number from {least} to {most}", field=field)
    return number


def one_of(field: str, given: float | str | None, choices: Collection[int]) -> int | None:
    """One of some whole numbers, None where it was left out. Raises Invalid."""
    number = _number(given)
    if number is not None and number not in choices:
        raise Invalid(f"{field}: must be one of {', '.join(map(str, choices))}", field=field)
    return number


def _number(given: float | str | None) -> int | None:
    """``_NONE`` for what is no whole number from 0 up; "" is a field left out."""
    if given is None or given == "":
        return None
    text = given.strip() if isinstance(given, str) else f"{given:f}"
    return int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else _NONE


def ratio_of(given: str, choices: Collection[str]) -> str:
    """Raises Invalid for an ``aspectRatio`` that is none of the choices."""
    if given not in choices:
        raise Invalid(f"aspectRatio: must be one of {', '.join(choices)}", field="aspectRatio")
    return given


def plain_id(*prefixes: str) -> Callable[[str], str]:
    """Reads a task id as it is sent: with a prefix of the samples, or as a UUID with its dashes."""

    def read(given: str) -> str:
        given = given.strip()
        for prefix in prefixes:
            given = given.removeprefix(prefix)
        return given.replace("-", "").lower() if _UUID.fullmatch(given) else given

    return read


def request_of(task: Task) -> VideoRequest:
    assert isinstance(task.request, VideoRequest)  # the operations of these families come with no other
    return task.request


def films(task: Task) -> tuple[Asset, ...]:
    """The videos of a task in their order: its outputs without the cover."""
    return tuple(asset for asset in task.outputs if not asset.media_type.startswith("image/")) or task.outputs[:1]


def covers(task: Task) -> tuple[Asset, ...]:
    """The pictures that go with the videos."""
    shown = films(task)
    return tuple(asset for asset in task.outputs if asset not in shown)


def source(task: Task, desk: Desk, index: int = -1) -> Asset:
    """A video of an earlier task to work on: the last one, of an extension the whole. Raises Invalid.

    The words are the reference's, which clients know.
    """
    if task.state is not State.SUCCEEDED:
        raise Invalid("record status is not success", field="taskId")
    made = films(task)
    if not made:
        raise Invalid("record result data is empty", field="taskId")
    if index >= len(made):
        raise Invalid("record result data not exist", field="index")
    if gone(task, made[index], desk):
        raise Invalid(too_old(desk.kept), field="taskId")
    return made[index]


def to_extend(task: Task, desk: Desk) -> Asset:
    """The video of an earlier task to go on from. Raises Invalid, which tells what to do where it is not kept."""
    made = films(task)
    if task.state is State.SUCCEEDED and made and gone(task, made[-1], desk):
        words = f"taskId: the video of this task is not kept any more ({too_old(desk.kept)})"
        raise Invalid(f"{words}; generate it again, then extend the new one", field="taskId")
    return source(task, desk)


def gone(task: Task, asset: Asset, desk: Desk) -> bool:
    return asset.purged_at is not None or old(task, desk.now, desk.kept)


def old(task: Task, now: datetime, kept: timedelta) -> bool:
    """Whether what a task made is past its days."""
    return task.state.terminal and now - task.created_at > kept


async def check_own(field: str, url: str, desk: Desk, *, most_bytes: int | None = None) -> Asset | None:
    """A file of the caller that lies here; None for any other URL. Raises Invalid where it is gone or too large."""
    key = desk.key(url)
    asset = await desk.asset(key) if key else None
    if asset is not None and asset.purged_at is not None:
        raise Invalid(f"{field}: this file is not kept any more; upload or generate it again", field=field)
    if asset is not None and most_bytes is not None and asset.size > most_bytes:
        got = math.ceil(asset.size / 1_000_000)
        raise Invalid(f"{field}: at most {most_bytes // 1_000_000} MB, got {got} MB", field=field)
    return asset


def not_started(task: Task) -> bool:
    """Whether a task failed before a provider had it."""
    return task.started_at is None or (task.failure is not None and task.failure.reason in NOT_STARTED)


def iso(moment: datetime) -> str:
    """``2026-01-05T10:00:00Z``"""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

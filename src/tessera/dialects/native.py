"""The native dialect: our own words on the wire."""

from collections.abc import Sequence
from datetime import UTC, datetime

from tessera.contract.native import NativeAttempt, NativeDelivery, NativeError, NativeFile, NativeTask
from tessera.dialects.base import Link
from tessera.domain.asset import Asset
from tessera.domain.credit import credits
from tessera.domain.progress import shown
from tessera.domain.task import State, Task
from tessera.domain.webhook import Delivery, DeliveryAttempt


def task(task: Task, link: Link, now: datetime) -> NativeTask:
    free = task.state in (State.FAILED, State.CANCELED)
    return NativeTask(
        id=task.id,
        family=task.family,
        model=task.model,
        mode=task.mode.value,
        state=task.state.value,
        progress=round(shown(task, now), 2),
        credits=0 if free else credits(task.price),
        createdAt=_iso(task.created_at),
        startedAt=_maybe(task.started_at),
        completedAt=_maybe(task.completed_at),
        error=NativeError(task.failure.reason.value, task.failure.message) if task.failure else None,
        outputs=[_file(asset, link) for asset in task.outputs],
    )


def delivery(delivery: Delivery, attempts: Sequence[DeliveryAttempt] | None = None) -> NativeDelivery:
    return NativeDelivery(
        id=delivery.id,
        taskId=delivery.task_id,
        event=delivery.event,
        url=delivery.url,
        state=delivery.state.value,
        createdAt=_iso(delivery.created_at),
        nextAt=_maybe(delivery.next_at),
        endedAt=_maybe(delivery.ended_at),
        attempts=None if attempts is None else [_attempt(each) for each in attempts],
    )


def _file(asset: Asset, link: Link) -> NativeFile:
    return NativeFile(
        url=link(asset),
        mediaType=asset.media_type,
        size=asset.size,
        sha256=asset.sha256,
        width=asset.width,
        height=asset.height,
        purgedAt=_maybe(asset.purged_at),
    )


def _attempt(attempt: DeliveryAttempt) -> NativeAttempt:
    return NativeAttempt(
        number=attempt.number,
        at=_iso(attempt.at),
        seconds=round(attempt.seconds, 3),
        status=attempt.status,
        error=attempt.error,
        excerpt=attempt.excerpt,
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _maybe(moment: datetime | None) -> str | None:
    return _iso(moment) if moment else None

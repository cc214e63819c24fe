"""Tell: one try of a delivery. Prepare, call, record; the attempt row is written whatever happens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import random

import msgspec
import structlog

from tessera.db import accounts, tasks, webhooks
from tessera.db.connection import Database
from tessera.dialects.base import Family, Link
from tessera.domain.task import TERMINAL, State, Task
from tessera.domain.webhook import Delivery, DeliveryAttempt, DeliveryState
from tessera.kit import backoff, faults
from tessera.kit.clock import Clock
from tessera.kit.meter import SILENT, Meter
from tessera.kit.outbound import Outbound, OutboundError
from tessera.webhooks import sign

log = structlog.get_logger(__name__)

GONE = 410
ENDS = frozenset(state.value for state in TERMINAL)
IN_TURN, AT_LAST = timedelta(milliseconds=200), timedelta(seconds=2)
"""How soon, and how late at the most, to look again whether what happened to the task before was tried to be told."""


def at(task: Task, event: str) -> Task:
    """The task as it was when an event happened: one of a stage is told as such, however far the task is by now."""
    stage = event.removeprefix("task.")
    if stage in ENDS:
        return task
    return replace(task, state=State.RUNNING, stage=stage, failure=None, completed_at=None)


class Deliver:
    """``schedule`` is how long to wait after each failed try; when it is used up the delivery has failed."""

    def __init__(
        self,
        database: Database,
        families: Mapping[str, Family],
        link: Link,
        outbound: Outbound,
        *,
        schedule: Sequence[timedelta],
        timeout: timedelta,
        clock: Clock,
        chance: Callable[[], float] = random,
        meter: Meter = SILENT,
    ) -> None:
        self._database = database
        self._families = families
        self._link = link
        self._outbound = outbound
        self._schedule = schedule
        self._timeout = timeout
        self._clock = clock
        self._chance = chance
        self._meter = meter

    async def __call__(self, delivery_id: str) -> timedelta | None:
        """Make the next try. Answers how long to wait before another one; None when the delivery is over."""
        delivery = await webhooks.get(self._database, delivery_id)
        if delivery is None or delivery.state is not DeliveryState.PENDING:
            return None
        if await webhooks.behind(self._database, delivery):
            return self._in_turn(delivery)
        number = len(await webhooks.attempts(self._database, delivery_id)) + 1
        await faults.reach("callback.sending")
        attempt = await self._attempt(delivery, number)
        await faults.reach("callback.sent")
        state, wait = self._judge(delivery, attempt)
        now = self._clock()
        await webhooks.record(self._database, attempt, state, now + wait if wait is not None else None, now)
        await faults.reach("callback.recorded")
        self._meter.count("callbacks", "retrying" if state is DeliveryState.PENDING else state.value)
        log.info(
            "callback",
            task=delivery.task_id,
            delivery=delivery.id,
            attempt=number,
            status=attempt.status,
            error=attempt.error,
            state=state.value,
        )
        return wait

    def _in_turn(self, delivery: Delivery) -> timedelta:
        """The longer it has waited, the longer it may wait: the first try before it may hang until its time is over."""
        return min(max(IN_TURN, self._clock() - delivery.created_at), AT_LAST)

    async def _attempt(self, delivery: Delivery, number: int) -> DeliveryAttempt:
        began = self._clock()
        try:
            body, head = await self._prepare(delivery, began)
            reply = await self._outbound.post(delivery.url, body, head, timeout=self._timeout.total_seconds())
        except OutboundError as error:
            took = (self._clock() - began).total_seconds()
            return DeliveryAttempt(delivery_id=delivery.id, number=number, at=began, seconds=took, error=str(error))
        return DeliveryAttempt(
            delivery_id=delivery.id,
            number=number,
            at=began,
            seconds=reply.seconds,
            status=reply.status,
            excerpt=reply.excerpt.replace("\0", ""),
        )

    async def _prepare(self, delivery: Delivery, now: datetime) -> tuple[bytes, dict[str, str]]:
        task = await tasks.get(self._database, delivery.task_id)
        account = await accounts.find(self._database, delivery.account_id)
        if task is None or account is None:
            raise OutboundError("the task of this delivery is gone")
        try:
            body = msgspec.json.encode(self._families[task.family].callback(at(task, delivery.event), self._link))
            signed = sign.headers(account.secrets(now), delivery_id=delivery.id, task_id=task.id, body=body, now=now)
        except Exception as error:
            # A family that this version does not know or that stumbles, a secret that is none: whatever it is, it is on
            # record, and tried on the schedule.
            log.exception("callback not prepared", delivery=delivery.id)
            raise OutboundError(f"the callback could not be prepared ({type(error).__name__})") from error
        return body, {"Content-Type": "application/json", "User-Agent": "Tessera-Webhook/1", **signed}

    def _judge(self, delivery: Delivery, attempt: DeliveryAttempt) -> tuple[DeliveryState, timedelta | None]:
        if attempt.status is not None and 200 <= attempt.status < 300:
            return DeliveryState.DELIVERED, None
        if attempt.status == GONE:
            return DeliveryState.FAILED, None
        wait = backoff.step(self._schedule, attempt.number - delivery.base, chance=self._chance)
        return (DeliveryState.FAILED, None) if wait is None else (DeliveryState.PENDING, wait)

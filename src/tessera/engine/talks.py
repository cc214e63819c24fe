"""Calls to language models: held before, settled after, and never left open.

A call is a task of the family ``chat``: a row with a hold, which is running from the start and has no job, because the
process that took the call makes it, too. It ends once, by compare-and-set: settled with what was used, the rest of the
hold given back; or released. A process that dies in between leaves the row running: ``sweep`` ends it when no call can
be that old, and gives the whole hold back.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from tessera.db import chats, ledger, tasks
from tessera.db.connection import Connection, Database
from tessera.domain.account import NOT_ALLOWED, ApiKey
from tessera.domain.admission import RateLimit, admit_rate, admit_spend, admit_usage
from tessera.domain.chat import Rates, Usage
from tessera.domain.credit import credits
from tessera.domain.errors import InsufficientCredits, Unauthorized
from tessera.domain.price import PriceList
from tessera.domain.task import ChatRequest, Draft, Failure, Piece, Reason, State, Task
from tessera.kit.clock import Clock
from tessera.kit.ids import Ids
from tessera.kit.meter import SILENT, Meter

log = structlog.get_logger(__name__)

FAMILY = "chat"
OPERATION = "chat.complete"

STEP = 100
LOST = Failure(Reason.UNKNOWN, "The gateway stopped in the middle of this call; nothing was charged")


class Talks:
    """``rates`` are the prices of the models, ``prices`` an operator's own, which go before: a price for each call.

    ``longest`` is how long a call can take; ``limit`` is the rate window of an account, None is off.
    """

    def __init__(
        self,
        database: Database,
        rates: Mapping[str, Rates],
        prices: PriceList,
        *,
        limit: RateLimit | None,
        longest: timedelta,
        clock: Clock,
        ids: Ids,
        meter: Meter = SILENT,
    ) -> None:
        self._database = database
        self._rates = rates
        self._prices = prices
        self._limit = limit
        self._longest = longest
        self._clock = clock
        self._ids = ids
        self._meter = meter

    async def admit(self, key: ApiKey) -> None:
        """Count a call in the rate window, before its body is read: to read one is work, whatever stands in it.

        Raises a Refusal where there is no room, or nothing to pay with; that counts nothing and is cheap.
        """
        if self._limit is None:
            self._solvent(await ledger.balance(self._database, key.account_id, key.mode))
            return
        async with self._database.transaction() as connection:
            purse = await self._purse(connection, key)
            wallet = admit_rate(purse.wallet, self._limit, self._clock())
            self._solvent(wallet.balance)
            await chats.hit(connection, key, wallet.hits)

    async def open(self, key: ApiKey, model: str, request: ChatRequest) -> Task:
        """Hold the most that a call can cost, once it is admitted. Raises a Refusal; no money was touched then."""
        draft = Draft(
            family=FAMILY,
            operation=OPERATION,
            model=model,
            request=request,
            params=json.dumps({"model": model, "stream": request.stream}),
            price=self._rates[model].most(request.given, request.most * request.count, caches=request.caches),
        )
        price = self._prices.quote(draft)
        async with self._database.transaction() as connection:
            task = await self._hold(connection, key, draft, price)
            await tasks.insert(connection, [task])
            await tasks.start(connection, task)
        return replace(task, state=State.RUNNING)

    async def settle(self, task: Task, usage: Usage) -> int:
        """The call is over: take what it has used, at the most what was held. Answers the cost in milli-credits.

        One that has come to an end before is left as it is, and costs nothing any more.
        """
        now = self._clock()
        real = task.price if task.model in self._prices.models else self._rates[task.model].cost(usage)
        cost = min(real, task.price)
        if real > cost:
            log.warning("a call has used more than was held for it", task=task.id, held=task.price, used=real)
        facts = {"credits": credits(cost), "input": usage.total - usage.output, "output": usage.output}
        async with self._database.transaction() as connection:
            if not await tasks.end(connection, task, State.SUCCEEDED, None, now, (Piece(facts=facts),)):
                return 0
            await ledger.settle(connection, task.id, now)
            await chats.refund(connection, task, task.price - cost, now)
        self._told(task, State.SUCCEEDED, "")
        log.info("call ended", task=task.id, model=task.model, tokens=usage.total, seconds=_seconds(task, now))
        return cost

    async def fail(self, task: Task, failure: Failure) -> bool:
        """No answer: give the hold back. False when another end came first."""
        now = self._clock()
        async with self._database.transaction() as connection:
            if not await tasks.end(connection, task, State.FAILED, failure, now):
                return False
            await ledger.release(connection, task.id, task.key_id, now)
        self._told(task, State.FAILED, failure.reason.value)
        log.info("call failed", task=task.id, reason=failure.reason.value, seconds=_seconds(task, now))
        return True

    async def sweep(self) -> int:
        """End the calls that a dead process has left behind; answers how many. Safe to run twice at a time."""
        count, before = 0, self._clock() - self._longest
        while found := await chats.stale(self._database, before, limit=STEP):
            count += sum([await self.fail(task, LOST) for task in found])
        return count

    def _solvent(self, balance: int) -> None:
        # Where an operator has set prices, some may be nothing.
        if balance <= 0 and not self._prices.models:
            raise InsufficientCredits("Credits insufficient")

    async def _purse(self, connection: Connection, key: ApiKey) -> ledger.Purse:
        purse = (await ledger.lock(connection, [key.id])).get(key.id)
        if purse is None or purse.key.revoked_at is not None:
            raise Unauthorized(f"{NOT_ALLOWED}: this API key was revoked")
        return purse

    async def _hold(self, connection: Connection, key: ApiKey, draft: Draft, price: int) -> Task:
        purse = await self._purse(connection, key)
        # Only now: whoever held these rows before may have read a later moment.
        now = self._clock()
        wallet = admit_spend(purse.wallet, price)
        usage = admit_usage(purse.key, purse.usage, price, now)
        await ledger.spend(connection, {(key.account_id, key.mode): wallet}, {key.id: usage})
        return self._task(key, draft, price, now)

    def _task(self, key: ApiKey, draft: Draft, price: int, now: datetime) -> Task:
        return draft.task(id=self._ids(), account_id=key.account_id, key_id=key.id, mode=key.mode, price=price, now=now)

    def _told(self, task: Task, state: State, reason: str) -> None:
        self._meter.count("tasks", task.family, state.value, reason)


def _seconds(task: Task, now: datetime) -> float:
    return round((now - task.created_at).total_seconds(), 3)

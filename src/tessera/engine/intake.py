"""Accept: requests of the same moment become tasks in one transaction, or are refused and touch nothing.

For each request, under the lock of its wallet: idempotency key, rate window, price, hold, task row, job. A task id is
answered only after the commit.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from tessera.db import idempotency, ledger, tasks
from tessera.db.connection import Connection, Database
from tessera.db.idempotency import Mark
from tessera.db.ledger import Purse
from tessera.domain.account import ApiKey
from tessera.domain.admission import RateLimit, Usage, Wallet, admit_rate, admit_spend, admit_usage
from tessera.domain.errors import IdempotencyConflict, Invalid, Refusal, Unauthorized
from tessera.domain.price import PriceList
from tessera.domain.task import Draft, Line, Mode, Request, Task
from tessera.engine import faults, queue
from tessera.engine.routes import Routes
from tessera.kit import trace
from tessera.kit.batch import Batch
from tessera.kit.clock import Clock
from tessera.kit.ids import Ids

LANES: Mapping[Mode, queue.Kind] = {Mode.LIVE: "task", Mode.TEST: "task-test"}
REPLAY = timedelta(hours=24)
MAX_KEY = 255
OURS = "tessera:"
"""Keys that callers cannot use: what is made once, whoever asks for it."""
GATHER = 0.0015
"""Seconds that a commit may wait for company. It costs about as long by itself, for one request as for thirty."""

UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Ticket:
    """The answer to a submission; ``replayed`` when an idempotency key had made the task before."""

    task_id: str
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request that waits for the next commit. ``repeat`` is its idempotency key."""

    id: str
    draft: Draft
    key: ApiKey
    price: int
    repeat: str | None
    digest: bytes
    carrier: trace.Carrier | None

    @property
    def wallet(self) -> tuple[str, Mode]:
        return self.key.account_id, self.key.mode

    @property
    def mark(self) -> tuple[str, Mode, str] | None:
        return (*self.wallet, self.repeat) if self.repeat is not None else None

    def task(self, now: datetime) -> Task:
        key = self.key
        return self.draft.task(
            id=self.id, account_id=key.account_id, key_id=key.id, mode=key.mode, price=self.price, now=now
        )


class Intake:
    """``check`` raises for a URL that we would never call; ``limit`` is the rate window of an account, None is off."""

    def __init__(
        self,
        database: Database,
        routes: Routes,
        prices: PriceList,
        *,
        check: Callable[[str, str], None],
        limit: RateLimit | None,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._database = database
        self._routes = routes
        self._prices = prices
        self._check = check
        self._limit = limit
        self._clock = clock
        self._ids = ids
        self._commit: Batch[Order, Ticket] = Batch(self._accept_all, limit=128, gather=GATHER)

    async def accept(
        self, draft: Draft, key: ApiKey, idempotency_key: str | None = None, *, once: str | None = None
    ) -> Ticket:
        """A task for this request, durable when this returns. ``once`` is a key that the gateway itself has chosen.

        Raises a Refusal: Invalid, NoProvider, IdempotencyConflict, RateLimited, InsufficientCredits, KeyCapReached.
        """
        if idempotency_key is not None and not 0 < len(idempotency_key) <= MAX_KEY:
            raise Invalid(f"Idempotency-Key: 1 to {MAX_KEY} characters", field="Idempotency-Key")
        if once is not None:
            idempotency_key = f"{OURS}{once}"
        elif (idempotency_key or "").startswith(OURS):
            raise Invalid(f"Idempotency-Key: must not begin with {OURS!r}", field="Idempotency-Key")
        _check_text("Idempotency-Key", idempotency_key or "")
        _check_text("body", draft.params)
        for field, url in draft.urls.items():
            self._check(field, url)
        for name, value in _texts(draft.request):
            _check_text(name, value)
        self._routes.of(key.mode, draft.model, draft.operation, draft.fallback)
        with trace.span("task accept", "producer", model=draft.model, operation=draft.operation) as span:
            ticket = await self._commit(self._order(draft, key, idempotency_key))
            span.note(task=ticket.task_id)
        return ticket

    def _order(self, draft: Draft, key: ApiKey, idempotency_key: str | None) -> Order:
        return Order(
            id=self._ids(),
            draft=draft,
            key=key,
            price=self._prices.quote(draft),
            repeat=idempotency_key,
            digest=_digest(draft) if idempotency_key is not None else b"",
            carrier=trace.carrier(),
        )

    async def _accept_all(self, orders: Sequence[Order]) -> list[Ticket | Exception]:
        try:
            results = await self._transact(orders)
        except Invalid as error:
            # One order held what the database cannot store: it must not spoil the others.
            if len(orders) == 1:
                return [error]
            return [(await self._accept_all([order]))[0] for order in orders]
        await faults.reach("intake.committed")
        return results

    async def _transact(self, orders: Sequence[Order]) -> list[Ticket | Exception]:
        async with self._database.transaction() as connection:
            purses = await ledger.lock(connection, list({order.key.id for order in orders}))
            # Only now: whoever held these rows before may have read a later moment than we would have outside.
            now = self._clock()
            wanted = [order.mark for order in orders if order.mark]
            marks = await idempotency.find(connection, wanted, now - REPLAY) if wanted else {}
            group = Group(purses, marks, self._limit, now)
            results = [group.decide(order) for order in orders]
            await group.write(connection)
        return results


class Group:
    """Decides orders one after the other on the locked rows, then writes what they changed at once."""

    def __init__(
        self,
        purses: dict[str, Purse],
        marks: dict[tuple[str, Mode, str], Mark],
        limit: RateLimit | None,
        now: datetime,
    ) -> None:
        self._purses = purses
        self._marks = marks
        self._limit = limit
        self._now = now
        self._wallets: dict[tuple[str, Mode], Wallet] = {}
        self._usages: dict[str, Usage] = {}
        self._new_marks: list[Mark] = []
        self._accepted: list[Task] = []
        self._carriers: list[trace.Carrier | None] = []

    def decide(self, order: Order) -> Ticket | Exception:
        try:
            return self._replay(order) or self._admit(order)
        except Refusal as refusal:
            return refusal

    def _replay(self, order: Order) -> Ticket | None:
        mark = self._marks.get(order.mark) if order.mark else None
        if mark is None:
            return None
        if mark.digest != order.digest:
            raise IdempotencyConflict(
                "Idempotency-Key: was used with another request; send a new key for a new request"
            )
        return Ticket(mark.task_id, replayed=True)

    def _admit(self, order: Order) -> Ticket:
        key_id = order.key.id
        purse = self._purses.get(key_id)
        if purse is None:
            raise Unauthorized("You do not have access permissions")
        if purse.key.revoked_at is not None:
            raise Unauthorized("You do not have access permissions: this API key was revoked")
        wallet = admit_rate(self._wallets.get(order.wallet, purse.wallet), self._limit, self._now)
        wallet = admit_spend(wallet, order.price)
        usage = admit_usage(purse.key, self._usages.get(key_id, purse.usage), order.price, self._now)
        self._wallets[order.wallet], self._usages[key_id] = wallet, usage
        # The moment of the hold, so that a release finds the windows of the caps that it was counted in.
        self._accepted.append(order.task(self._now))
        self._carriers.append(order.carrier)
        if order.mark:
            mark = Mark(*order.mark, order.digest, order.id)
            self._marks[order.mark] = mark
            self._new_marks.append(mark)
        return Ticket(order.id)

    async def write(self, connection: Connection) -> None:
        if not self._accepted:
            return
        await ledger.spend(connection, self._wallets, self._usages)
        await tasks.insert(connection, self._accepted)
        if self._new_marks:
            await idempotency.put(connection, self._new_marks, self._now)
        for mode, kind in LANES.items():
            jobs = [
                (task.id, carrier)
                for task, carrier in zip(self._accepted, self._carriers, strict=True)
                if task.mode is mode
            ]
            await queue.put(connection, kind, [id_ for id_, _ in jobs], carriers=[carrier for _, carrier in jobs])


def _digest(draft: Draft) -> bytes:
    return hashlib.sha256(f"{draft.family}\n{draft.operation}\n{draft.params}".encode()).digest()


def _texts(request: Request) -> Iterator[tuple[str, str]]:
    """The texts of a request, each with the name of its field."""
    for each in fields(request):
        value = getattr(request, each.name)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, Line):
                yield "text", text.text
            elif isinstance(text, str):
                yield each.name, text


def _check_text(field: str, text: str) -> None:
    """Refuse what no database column and hardly any provider takes."""
    if UNSTORABLE.search(text):
        raise Invalid(f"{field}: holds a NUL character or half a surrogate pair", field=field)

"""The ledger: whatever happens, the balance is the sum of the entries and never below zero."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.workshop import OpenShop, Workshop, make_draft

from tessera.db import ledger, tasks
from tessera.db.errors import Conflict
from tessera.domain.account import Account, ApiKey
from tessera.domain.admission import admit_spend, admit_usage
from tessera.domain.errors import InsufficientCredits, Invalid
from tessera.domain.task import Mode, State, Task
from tessera.providers.fake import Fake
from tessera.testing.ticker import NOON

ENDS = {"settle", "release"}

amounts = st.integers(-4000, 4000)
prices = st.integers(0, 3000)
holds = st.integers(0, 12)
steps = st.one_of(
    st.tuples(st.just("grant"), amounts),
    st.tuples(st.just("hold"), prices),
    st.tuples(st.just("settle"), holds),
    st.tuples(st.just("release"), holds),
)


@dataclass
class Book:
    """A wallet, and beside it the simplest model of one: a number, and who has ended."""

    shop: Workshop
    account: Account
    key: ApiKey
    balance: int = 0
    held: list[tuple[Task, int]] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)

    async def grant(self, amount: int) -> None:
        async def act() -> None:
            after = await self.shop.house.accounts.grant(self.account, Mode.TEST, amount, "a note")
            assert after == self.balance + amount

        if await self._happened(act, Invalid, self.balance + amount >= 0):
            self.balance += amount

    async def hold(self, price: int) -> None:
        task = _task(self.shop, self.key, price)

        async def act() -> None:
            async with self.shop.house.database.transaction() as connection:
                purse = (await ledger.lock(connection, [self.key.id]))[self.key.id]
                wallet = admit_spend(purse.wallet, price)
                usage = admit_usage(purse.key, purse.usage, price, NOON)
                await ledger.spend(connection, {(self.account.id, Mode.TEST): wallet}, {self.key.id: usage})
                await tasks.insert(connection, [task])

        if await self._happened(act, InsufficientCredits, price <= self.balance):
            self.balance -= price
            self.held.append((task, price))

    async def settle(self, which: int) -> None:
        await self._end("settle", which)

    async def release(self, which: int) -> None:
        await self._end("release", which)

    async def _end(self, kind: str, which: int) -> None:
        if not self.held:
            return
        task, price = self.held[which % len(self.held)]

        async def act() -> None:
            async with self.shop.house.database.transaction() as connection:
                if kind == "settle":
                    await ledger.settle(connection, task.id, NOON)
                else:
                    await ledger.release(connection, task.id, self.key.id, NOON)

        if await self._happened(act, Conflict, task.id not in self.ended):
            self.ended[task.id] = kind
            self.balance += price if kind == "release" else 0

    @staticmethod
    async def _happened(act: Callable[[], Awaitable[None]], error: type[Exception], expected: bool) -> bool:
        if expected:
            await act()
        else:
            with pytest.raises(error):
                await act()
        return expected

    async def check(self) -> None:
        house = self.shop.house
        entries = await house.accounts.entries(self.account, Mode.TEST, limit=1000)
        assert await house.accounts.balance(self.account, Mode.TEST) == self.balance >= 0
        assert sum(entry.amount for entry in entries) == self.balance
        assert {entry.task_id: entry.kind for entry in entries if entry.kind in ENDS} == self.ended
        assert sum(entry.kind == "hold" for entry in entries) == len(self.held)
        charged = sum(price for task, price in self.held if self.ended.get(task.id) == "settle")
        assert sum(entry.charge for entry in entries) == charged
        assert await ledger.anomalies(house.database) == []


def _task(shop: Workshop, key: ApiKey, price: int) -> Task:
    draft = make_draft()
    return Task(
        id=shop.house.ids(),
        account_id=key.account_id,
        key_id=key.id,
        mode=key.mode,
        family=draft.family,
        operation=draft.operation,
        model=draft.model,
        request=draft.request,
        params=draft.params,
        callback_url=None,
        fallback=None,
        price=price,
        state=State.WAITING,
        progress=0.0,
        epoch=0,
        created_at=NOON,
    )


async def _book(shop: Workshop) -> Book:
    account = await shop.house.accounts.create(shop.house.ids(), test_credits=0)
    return Book(shop, account, (await shop.house.accounts.create_key(account, Mode.TEST)).key)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(steps, min_size=3, max_size=18))
async def test_any_sequence_of_entries_adds_up(open_shop: OpenShop, sequence: list[tuple[str, int]]) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        book = await _book(shop)
        await book.grant(5000)
        for name, argument in sequence:
            await getattr(book, name)(argument)
            await book.check()


async def test_a_hold_has_one_end_whoever_comes_second(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        book = await _book(shop)
        await book.grant(3000)
        for number, (first, second) in enumerate([("settle", "settle"), ("settle", "release"), ("release", "release")]):
            await book.hold(1000)
            await getattr(book, first)(number)
            await getattr(book, second)(number)
            await book.check()
        assert list(book.ended.values()) == ["settle", "settle", "release"]
        assert book.balance == 1000


async def test_a_task_without_a_hold_ends_without_an_entry(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        before = await shop.entries()
        async with shop.house.database.transaction() as connection:
            await ledger.settle(connection, "no-such-task", NOON)
            await ledger.release(connection, "no-such-task", shop.key.id, NOON)
        assert await shop.entries() == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET amount = amount + 1",
        "UPDATE ledger SET note = 'better'",
        "DELETE FROM ledger",
        "TRUNCATE ledger",
        "INSERT INTO ledger (account_id, mode, kind, amount, created_at) VALUES ('a', 'test', 'gift', 1, now())",
    ],
)
async def test_rows_are_never_edited(open_shop: OpenShop, statement: str) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        before = await shop.entries()
        assert before
        with pytest.raises((asyncpg.RaiseError, asyncpg.CheckViolationError)):
            await shop.house.database.pool.execute(statement)
        assert await shop.entries() == before


async def test_a_balance_that_was_tampered_with_is_reported(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        await shop.house.database.pool.execute("UPDATE wallets SET balance = balance + 1 WHERE mode = 'test'")
        assert await ledger.anomalies(shop.house.database) == [
            f"{shop.account.id} (test): balance 10000001, sum of entries 10000000"
        ]


async def test_a_balance_below_zero_is_impossible_in_the_database_itself(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        with pytest.raises(asyncpg.CheckViolationError):
            await shop.house.database.pool.execute("UPDATE wallets SET balance = -1")


async def test_entries_are_told_newest_first_with_their_notes(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        for number in range(3):
            await shop.house.accounts.grant(shop.account, Mode.LIVE, 100 + number, f"note {number}")
        entries = await shop.house.accounts.entries(shop.account, Mode.LIVE, limit=2)
        assert [(entry.amount, entry.note) for entry in entries] == [(102, "note 2"), (101, "note 1")]
        assert {entry.kind for entry in entries} == {"grant"}

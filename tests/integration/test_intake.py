"""Accept: requests become tasks in groups, or are refused and touch nothing."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.workshop import PRICE, OpenShop, Workshop, make_draft

from tessera.db import ledger
from tessera.domain.account import ApiKey, Caps
from tessera.domain.errors import (
    Failed,
    IdempotencyConflict,
    InsufficientCredits,
    Invalid,
    KeyCapReached,
    NoProvider,
    RateLimited,
    Unauthorized,
)
from tessera.domain.price import PriceList
from tessera.domain.task import Mode, State
from tessera.engine.intake import Intake, Ticket
from tessera.providers.fake import Fake, accept
from tessera.testing.ticker import Ticker

COUNTED = {
    "tasks": "SELECT count(*) FROM tasks",
    "ledger": "SELECT count(*) FROM ledger",
    "idempotency": "SELECT count(*) FROM idempotency_keys",
    "jobs": "SELECT count(*) FROM pgqueuer",
    "hits": "SELECT coalesce(sum(cardinality(hits)), 0) FROM wallets",
    "balance": "SELECT sum(balance) FROM wallets",
    "used": "SELECT sum(hour_used + day_used + total_used) FROM api_keys",
}


async def rows(shop: Workshop) -> dict[str, int]:
    """How much there is of everything that an acceptance writes."""
    return {name: int(await shop.house.database.pool.fetchval(query)) for name, query in COUNTED.items()}


async def outcomes(calls: Iterable[Awaitable[Ticket]]) -> tuple[list[Ticket], Counter[type]]:
    """The tickets of simultaneous calls, and how often each error came."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    tickets = [answer for answer in answers if isinstance(answer, Ticket)]
    return tickets, Counter(type(answer) for answer in answers if not isinstance(answer, Ticket))


async def new_key(shop: Workshop, **terms: Any) -> ApiKey:
    return (await shop.house.accounts.create_key(shop.account, Mode.TEST, **terms)).key


# ---- acceptance ----


async def test_an_accepted_task_is_there_with_its_hold_and_its_job(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        before = await rows(shop)
        ticket = await shop.accept(prompt="a red boat", count=2, callback="http://127.0.0.1:9/hook")
        task = await shop.task(ticket.task_id)
        assert not ticket.replayed
        assert (task.state, task.price, task.progress, task.epoch) == (State.WAITING, 2 * PRICE, 0.0, 0)
        assert (task.account_id, task.key_id, task.mode) == (shop.account.id, shop.key.id, Mode.TEST)
        assert task.request == make_draft(prompt="a red boat", count=2).request
        assert task.callback_url == "http://127.0.0.1:9/hook"
        assert await shop.kinds(task.id) == ["hold"]
        after = await rows(shop)
        assert {name: after[name] - before[name] for name in after} == {
            "tasks": 1,
            "ledger": 1,
            "idempotency": 0,
            "jobs": 1,
            "hits": 0,
            "balance": -2 * PRICE,
            "used": 3 * 2 * PRICE,
        }
        await shop.check()


async def test_credits_for_one_are_spent_once_by_two_hundred_at_a_time(open_shop: OpenShop) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_shop(Fake("sandbox"), bootstrap_test_credits=10))
        second = await stack.enter_async_context(open_shop(Fake("sandbox")))
        calls = [shop.accept(prompt=f"boat {n}") for n in range(100) for shop in (first, second)]
        tickets, errors = await outcomes(calls)
        assert len(tickets) == 1
        assert errors == {InsufficientCredits: 199}
        assert await first.balance() == 0
        assert (await rows(first))["tasks"] == 1
        await first.check()


async def test_the_rate_window_is_exact_over_several_machines(open_shop: OpenShop) -> None:
    ticker = Ticker()
    async with AsyncExitStack() as stack:
        both = [
            await stack.enter_async_context(open_shop(Fake("sandbox"), rate_limit="20/10s", now=ticker)) for _ in "ab"
        ]
        tickets, errors = await outcomes(both[n % 2].accept() for n in range(21))
        assert len(tickets) == 20
        assert errors == {RateLimited: 1}
        ticker.advance(9.999)
        with pytest.raises(RateLimited) as caught:
            await both[0].accept()
        assert caught.value.retry_after == timedelta(milliseconds=1)
        ticker.advance(0.001)
        tickets, errors = await outcomes(both[n % 2].accept() for n in range(25))
        assert (len(tickets), errors) == (20, {RateLimited: 5})
        assert len({ticket.task_id for ticket in tickets}) == 20


async def test_test_and_live_have_windows_and_balances_of_their_own(open_shop: OpenShop) -> None:
    fakes = (Fake("sandbox"), Fake("real"))
    async with open_shop(*fakes, rate_limit="2/10s", live_credits=PRICE, bootstrap_test_credits=10) as shop:
        await shop.accept()
        await shop.accept(key=shop.live)
        for key in (shop.key, shop.live):
            with pytest.raises(InsufficientCredits):
                await shop.accept(key=key)
        assert (await shop.balance(Mode.TEST), await shop.balance(Mode.LIVE)) == (0, 0)


# ---- idempotency ----


async def test_one_key_is_one_task_however_many_send_it_at_once(open_shop: OpenShop) -> None:
    async with AsyncExitStack() as stack:
        both = [await stack.enter_async_context(open_shop(Fake("sandbox"), rate_limit="5/10s")) for _ in "ab"]
        tickets, errors = await outcomes(both[n % 2].accept(idempotency_key="mine") for n in range(50))
        assert not errors
        assert len({ticket.task_id for ticket in tickets}) == 1
        assert Counter(ticket.replayed for ticket in tickets) == {True: 49, False: 1}
        after = await rows(both[0])
        assert (after["tasks"], after["idempotency"], after["hits"], after["jobs"]) == (1, 1, 1, 1)
        await both[0].check()


async def test_a_replay_is_answered_whatever_the_balance_says(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox"), bootstrap_test_credits=10) as shop:
        first = await shop.accept(idempotency_key="k")
        with pytest.raises(InsufficientCredits):
            await shop.accept()
        assert await shop.accept(idempotency_key="k") == Ticket(first.task_id, replayed=True)


async def test_the_same_key_with_another_body_is_a_conflict(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        await shop.accept(idempotency_key="k", prompt="a boat")
        before = await rows(shop)
        with pytest.raises(IdempotencyConflict, match="Idempotency-Key"):
            await shop.accept(idempotency_key="k", prompt="a ship")
        answers = await asyncio.gather(
            shop.accept(idempotency_key="n", prompt="a boat"),
            shop.accept(idempotency_key="n", prompt="a ship"),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [Ticket, IdempotencyConflict]
        assert (await rows(shop))["tasks"] == before["tasks"] + 1


async def test_a_key_belongs_to_its_account_and_mode(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox"), Fake("real"), live_credits=PRICE) as shop:
        other = await shop.house.accounts.create("other")
        keys = [shop.key, shop.live, (await shop.house.accounts.create_key(other, Mode.TEST)).key]
        tickets = [await shop.accept(key=key, idempotency_key="k") for key in keys]
        assert len({ticket.task_id for ticket in tickets}) == 3
        assert not any(ticket.replayed for ticket in tickets)


async def test_a_key_is_kept_for_a_day(open_shop: OpenShop) -> None:
    ticker = Ticker()
    async with open_shop(Fake("sandbox"), now=ticker) as shop:
        first = await shop.accept(idempotency_key="k")
        ticker.advance(timedelta(days=1, microseconds=-1))
        assert (await shop.accept(idempotency_key="k")).task_id == first.task_id
        ticker.advance(timedelta(microseconds=1))
        second = await shop.accept(idempotency_key="k", prompt="another body is fine now")
        assert not second.replayed
        assert second.task_id != first.task_id


@pytest.mark.parametrize("key", ["", "x" * 256, "a\0b", "\udc80"])
async def test_a_key_that_cannot_be_kept_is_refused(open_shop: OpenShop, key: str) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        with pytest.raises(Invalid, match="Idempotency-Key") as caught:
            await shop.accept(idempotency_key=key)
        assert caught.value.field == "Idempotency-Key"


async def test_a_key_of_full_length_is_good(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        first = await shop.accept(idempotency_key="ü" * 255)
        assert (await shop.accept(idempotency_key="ü" * 255)).task_id == first.task_id


# ---- caps and keys ----


@pytest.mark.parametrize("cap", ["hour", "day", "total"])
async def test_a_cap_holds_for_all_at_once(open_shop: OpenShop, cap: str) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        key = await new_key(shop, caps=Caps(**{cap: 3 * PRICE}))
        tickets, errors = await outcomes(shop.accept(key=key) for _ in range(10))
        assert (len(tickets), errors) == (3, {KeyCapReached: 7})
        await shop.accept()  # another key of the account is not concerned
        await shop.check()


async def test_a_task_that_failed_gives_its_credits_back_to_every_cap(open_shop: OpenShop) -> None:
    ticker, fake = Ticker(), Fake("sandbox")
    fake.script(*(accept(failure=Failed("no")) for _ in range(3)))
    # A clock that never shows the same moment twice, as real ones do.
    async with open_shop(fake, now=lambda: ticker.advance(0.001)) as shop:
        key = await new_key(shop, caps=Caps(hour=PRICE, day=PRICE, total=PRICE))
        for _ in range(3):
            task_id = await shop.order(key=key)
            with pytest.raises(KeyCapReached):
                await shop.accept(key=key)
            await shop.walk(task_id)
        await shop.accept(key=key)
        await shop.check()


async def test_a_release_takes_nothing_from_a_window_that_began_later(open_shop: OpenShop) -> None:
    ticker, fake = Ticker(), Fake("sandbox")
    fake.script(accept(failure=Failed("no")))
    async with open_shop(fake, now=ticker) as shop:
        key = await new_key(shop, caps=Caps(hour=PRICE))
        early = await shop.order(key=key)
        ticker.advance(timedelta(hours=1))
        await shop.order(key=key)
        await shop.walk(early)
        with pytest.raises(KeyCapReached):
            await shop.accept(key=key)


async def test_a_revoked_key_accepts_nothing_even_where_it_is_still_remembered(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        await shop.house.accounts.revoke(shop.key.id)
        assert shop.key.revoked_at is None
        with pytest.raises(Unauthorized, match="revoked"):
            await shop.accept()
        with pytest.raises(Unauthorized):
            await shop.accept(key=replace(shop.key, id="key_that_never_was"))


# ---- refusals ----


@pytest.mark.parametrize(
    ("order", "error"),
    [
        ({"model": "unknown"}, NoProvider),
        ({"images": ("http://10.0.0.1/x.png",)}, Invalid),
        ({"images": ("file:///etc/passwd",)}, Invalid),
        ({"images": ("http://user:pass@127.0.0.1/x.png",)}, Invalid),
        ({"prompt": "a\0b"}, Invalid),
        ({"prompt": "\ud800"}, Invalid),
        ({"params": "a\0b"}, Invalid),
        ({"count": 1_000_000}, InsufficientCredits),
        ({"idempotency_key": "taken"}, IdempotencyConflict),
    ],
    ids=str,
)
async def test_a_refusal_leaves_no_trace(open_shop: OpenShop, order: dict[str, Any], error: type[Exception]) -> None:
    async with open_shop(Fake("sandbox"), rate_limit="5/10s") as shop:
        await shop.accept(idempotency_key="taken", prompt="the first")
        before = await rows(shop)
        with pytest.raises(error):
            await shop.accept(**order)
        assert await rows(shop) == before


async def test_a_refused_rate_leaves_no_trace(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox"), rate_limit="1/10s") as shop:
        await shop.accept()
        before = await rows(shop)
        with pytest.raises(RateLimited):
            await shop.accept(idempotency_key="not used up")
        assert await rows(shop) == before


async def test_an_operators_price_list_is_what_is_charged(open_shop: OpenShop, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[gpt4o-image]\nper = "output"\ncredits = "1.5"\nsource = "ours"\n')
    async with open_shop(Fake("sandbox"), prices=str(prices)) as shop:
        before = await shop.balance()
        await shop.order(count=2)
        assert before - await shop.balance() == 3000


async def test_what_the_database_refuses_harms_nobody_else_of_its_group(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        bad = "http://127.0.0.1:9/\0"  # behind the door of a check that lets everything pass
        intake = Intake(
            shop.house.database,
            shop.house.routes,
            PriceList({"gpt4o-image": {"per": "task", "credits": 1, "source": "a test"}}),
            check=lambda field, url: None,
            limit=None,
            clock=shop.house.clock,
            ids=shop.house.ids,
        )
        calls = [intake.accept(make_draft(callback=bad if n == 3 else None), shop.key) for n in range(6)]
        tickets, errors = await outcomes(calls)
        assert (len(tickets), errors) == (5, {Invalid: 1})
        assert (await rows(shop))["tasks"] == 5
        assert await ledger.anomalies(shop.house.database) == []


async def test_a_group_that_fails_is_told_to_everyone_and_nothing_is_kept(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        before = await rows(shop)
        await shop.house.database.pool.execute("ALTER TABLE tasks RENAME TO elsewhere")
        tickets, errors = await outcomes(shop.accept() for _ in range(5))
        await shop.house.database.pool.execute("ALTER TABLE elsewhere RENAME TO tasks")
        assert not tickets
        assert sum(errors.values()) == 5
        assert await rows(shop) == before
        await shop.accept()  # and the next group is served

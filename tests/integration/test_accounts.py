"""Accounts, keys and credits: the first start and every later one, and what an operator may do."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.workshop import OpenShop, make_draft

from tessera.db import accounts as rows
from tessera.db import ledger
from tessera.domain.account import Caps, digest
from tessera.domain.errors import Invalid, NotFound, Unauthorized
from tessera.domain.task import Mode
from tessera.engine.accounts import Accounts, Welcome
from tessera.providers.fake import Fake
from tessera.testing.gateway import OpenHouse
from tessera.testing.ticker import Ticker
from tessera.wiring import DEFAULT_ACCOUNT, House

TEST, LIVE = "tsk_test_" + "a" * 48, "tsk_live_" + "b" * 48
SECRET, OTHER = "whsec_" + "A" * 32, "whsec_" + "B" * 32


async def key_mode(house: House, secret: str) -> tuple[str, Mode] | None:
    """Whose key this is, and its mode."""
    found = (await rows.keys_by_digest(house.database, [digest(secret)])).get(digest(secret))
    return (found.account_id, found.mode) if found else None


async def count(house: House, table: str) -> int:
    return int(await house.database.pool.fetchval(f"SELECT count(*) FROM {table}"))


# ---- the first start, and later ones ----


async def test_the_first_start_makes_an_account_with_credits_and_two_keys_and_shows_them_once(
    open_house: OpenHouse,
) -> None:
    async with open_house(work=False, bootstrap_test_credits=7) as house:
        welcome = house.welcome
        assert welcome is not None
        (account,) = await house.accounts.all()
        assert (account.id, account.name) == (welcome.account_id, DEFAULT_ACCOUNT)
        assert account.webhook_secret == welcome.webhook_secret
        assert welcome.test_key.startswith("tsk_test_")
        assert welcome.live_key.startswith("tsk_live_")
        assert await key_mode(house, welcome.test_key) == (account.id, Mode.TEST)
        assert await key_mode(house, welcome.live_key) == (account.id, Mode.LIVE)
        assert [await house.accounts.balance(account, mode) for mode in (Mode.TEST, Mode.LIVE)] == [7000, 0]
    async with open_house(work=False, bootstrap_test_credits=7) as again:
        assert again.welcome is None
        assert await again.accounts.all() == [account]
        assert [await count(again, table) for table in ("api_keys", "ledger")] == [2, 1], "later starts give nothing"


async def test_the_keys_and_the_secret_of_the_first_start_can_be_known_beforehand(open_house: OpenHouse) -> None:
    given = {"bootstrap_test_key": TEST, "bootstrap_live_key": LIVE, "bootstrap_webhook_secret": SECRET}
    async with open_house(work=False, **given) as house:
        (account,) = await house.accounts.all()
        assert house.welcome == Welcome(account.id, TEST, LIVE, SECRET)
        assert [await key_mode(house, key) for key in (TEST, LIVE)] == [
            (account.id, Mode.TEST),
            (account.id, Mode.LIVE),
        ]
    async with open_house(work=False, **given) as again:
        assert again.welcome is None
        assert await count(again, "api_keys") == 2


async def test_a_key_that_is_set_later_works_on_an_old_data_folder(open_house: OpenHouse) -> None:
    async with open_house(work=False):
        pass
    for _ in range(2):
        async with open_house(work=False, bootstrap_test_key=TEST) as house:
            assert house.welcome is None
            (account,) = await house.accounts.all()
            assert await key_mode(house, TEST) == (account.id, Mode.TEST)
            assert await count(house, "api_keys") == 3


async def test_a_key_that_was_revoked_is_not_brought_back_by_a_start(open_house: OpenHouse) -> None:
    async with open_house(work=False, bootstrap_test_key=TEST) as house:
        (account,) = await house.accounts.all()
        (key,) = [key for key in await house.accounts.keys(account) if key.mode is Mode.TEST]
        await house.accounts.revoke(key.id)
    async with open_house(work=False, bootstrap_test_key=TEST) as house:
        (key,) = [key for key in await house.accounts.keys(account) if key.mode is Mode.TEST]
        assert key.revoked_at is not None


async def test_a_later_start_does_not_undo_a_rotation_of_the_secret(open_house: OpenHouse) -> None:
    async with open_house(work=False, bootstrap_webhook_secret=SECRET) as house:
        (account,) = await house.accounts.all()
        rotated = await house.accounts.rotate(account, timedelta(days=1))
    for secret in (SECRET, OTHER):
        async with open_house(work=False, bootstrap_webhook_secret=secret) as house:
            assert await house.accounts.all() == [rotated]


@pytest.mark.parametrize("given", [{}, {"bootstrap_test_key": TEST, "bootstrap_live_key": LIVE}], ids=["none", "both"])
async def test_processes_that_start_at_once_make_one_account_and_one_of_them_shows_it(
    open_house: OpenHouse, given: dict[str, str]
) -> None:
    async with AsyncExitStack() as stack:
        opening = [stack.enter_async_context(open_house(work=False, **given)) for _ in range(4)]
        houses = await asyncio.gather(*opening)
        (account,) = await houses[0].accounts.all()
        (welcome,) = [house.welcome for house in houses if house.welcome]
        assert welcome.account_id == account.id
        assert await key_mode(houses[0], welcome.test_key) == (account.id, Mode.TEST)
        assert [await count(houses[0], table) for table in ("accounts", "api_keys", "ledger")] == [1, 2, 1]


async def test_an_account_that_an_operator_made_first_gets_its_keys_at_the_start(open_house: OpenHouse) -> None:
    async with open_house(work=False) as house:
        accounts = Accounts(house.database, clock=house.clock, new_secret=lambda: SECRET)
        made = await accounts.create("shop", test_credits=0)
        terms: dict[str, Any] = {"test_key": None, "live_key": LIVE, "webhook_secret": OTHER, "test_credits": 9}
        welcome = await accounts.bootstrap("shop", **terms)
        assert welcome is not None
        assert (welcome.account_id, welcome.live_key, welcome.webhook_secret) == (made.id, LIVE, SECRET)
        assert await accounts.balance(made, Mode.TEST) == 0
        assert await accounts.bootstrap("shop", **terms) is None


# ---- accounts ----


@pytest.mark.parametrize("name", ["", " ", "a" * 101, "two\nlines", "bell\a"])
async def test_a_name_that_nobody_could_type_is_refused(open_house: OpenHouse, name: str) -> None:
    async with open_house(work=False) as house:
        with pytest.raises(Invalid, match="1 to 100 printable characters"):
            await house.accounts.create(name)
        assert await count(house, "accounts") == 1


async def test_a_name_is_taken_once_and_a_refusal_leaves_nothing(open_house: OpenHouse) -> None:
    async with open_house(work=False) as house:
        made = await house.accounts.create("shop")
        before = [await count(house, table) for table in ("accounts", "wallets", "ledger")]
        with pytest.raises(Invalid, match="there is an account named 'shop' already"):
            await house.accounts.create("shop")
        assert [await count(house, table) for table in ("accounts", "wallets", "ledger")] == before
        assert await house.accounts.find("shop") == await house.accounts.find(made.id) == made


async def test_an_account_that_is_not_there_is_told_with_the_way_to_find_one(open_house: OpenHouse) -> None:
    async with open_house(work=False) as house:
        with pytest.raises(NotFound, match="tessera accounts list"):
            await house.accounts.find("nobody")


async def test_a_rotated_secret_signs_beside_the_new_one_until_its_time_is_over(
    open_house: OpenHouse, ticker: Ticker
) -> None:
    async with open_house(work=False, now=ticker) as house:
        (account,) = await house.accounts.all()
        rotated = await house.accounts.rotate(account, timedelta(hours=1))
        new, old = rotated.webhook_secret, account.webhook_secret
        assert new != old
        assert rotated.secrets(ticker.now) == (new, old)
        assert rotated.secrets(ticker.advance(3600)) == (new,)
        both = await house.accounts.rotate(rotated, timedelta(0))
        assert both.secrets(ticker.now) == (both.webhook_secret,)


# ---- keys ----


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        (lambda now: {"networks": ("10.0.0.0/33",)}, "allow-ip"),
        (lambda now: {"networks": ("everywhere",)}, "allow-ip"),
        (lambda now: {"expires_at": now}, "expires"),
        (lambda now: {"expires_at": now - timedelta(seconds=1)}, "expires"),
        (lambda now: {"caps": Caps(hour=-1)}, "cap"),
        (lambda now: {"caps": Caps(day=-1)}, "cap"),
        (lambda now: {"caps": Caps(total=-1)}, "cap"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused_with_the_name_of_the_field(
    open_house: OpenHouse, ticker: Ticker, terms: Callable[[Any], dict[str, Any]], field: str
) -> None:
    async with open_house(work=False, now=ticker) as house:
        (account,) = await house.accounts.all()
        with pytest.raises(Invalid) as caught:
            await house.accounts.create_key(account, Mode.TEST, **terms(ticker.now))
        assert caught.value.field == field
        assert str(caught.value).startswith(field)
        assert await count(house, "api_keys") == 2


async def test_a_key_belongs_to_one_account_and_is_kept_as_a_hash(open_house: OpenHouse) -> None:
    async with open_house(work=False) as house:
        (account,) = await house.accounts.all()
        other = await house.accounts.create("other")
        made = await house.accounts.create_key(account, Mode.TEST, name="mine", secret=TEST, caps=Caps(day=5))
        assert (made.secret, made.key.hint, made.key.caps) == (TEST, "aaaa", Caps(day=5))
        for owner in (account, other):
            with pytest.raises(Invalid, match="this key exists already"):
                await house.accounts.create_key(owner, Mode.TEST, secret=TEST)
        assert await house.accounts.keys(other) == []
        assert made.key in await house.accounts.keys(account)
        kept = await house.database.pool.fetch("SELECT k::text AS row FROM api_keys k")
        assert not any(TEST in row["row"] for row in kept)


async def test_a_revoked_key_makes_no_more_tasks_and_keeps_its_first_moment(
    open_shop: OpenShop, ticker: Ticker
) -> None:
    async with open_shop(Fake("sandbox"), now=ticker) as shop:
        first = await shop.house.accounts.revoke(shop.key.id)
        assert first.revoked_at == ticker.now
        ticker.advance(60)
        assert await shop.house.accounts.revoke(shop.key.id) == first
        # The gateway may have read the key a moment before.
        with pytest.raises(Unauthorized, match="was revoked"):
            await shop.house.intake.accept(make_draft(), replace(first, revoked_at=None))
        with pytest.raises(NotFound, match="tessera keys list"):
            await shop.house.accounts.revoke("key_nowhere")


# ---- credits ----


async def test_credits_are_given_and_taken_and_never_fall_below_nothing(open_house: OpenHouse) -> None:
    async with open_house(work=False) as house:
        (account,) = await house.accounts.all()
        accounts = house.accounts
        assert await accounts.grant(account, Mode.LIVE, 500, "a gift") == 500
        assert await accounts.grant(account, Mode.LIVE, -200) == 300
        with pytest.raises(Invalid, match="would fall below zero"):
            await accounts.grant(account, Mode.LIVE, -301)
        assert await accounts.balance(account, Mode.LIVE) == 300
        assert [(entry.kind, entry.amount, entry.note) for entry in await accounts.entries(account, Mode.LIVE)] == [
            ("grant", -200, None),
            ("grant", 500, "a gift"),
        ]
        assert await accounts.audit(account, Mode.LIVE) == (300, 300, 2)
        assert await ledger.anomalies(house.database) == []


async def test_credits_given_at_the_same_time_all_arrive(open_house: OpenHouse) -> None:
    async with open_house(work=False) as house:
        (account,) = await house.accounts.all()
        await asyncio.gather(*(house.accounts.grant(account, Mode.LIVE, 7) for _ in range(30)))
        answers = await asyncio.gather(
            *(house.accounts.grant(account, Mode.LIVE, -100) for _ in range(5)), return_exceptions=True
        )
        assert sorted(each for each in answers if isinstance(each, int)) == [10, 110]
        assert sum(isinstance(each, Invalid) for each in answers) == 3
        assert await house.accounts.audit(account, Mode.LIVE) == (10, 10, 32)

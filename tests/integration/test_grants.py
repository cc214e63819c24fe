"""Grants of any size, in any order: a balance has a floor and a ceiling, and a refusal says which was reached."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.integration.workshop import OpenShop

from tessera.db import ledger
from tessera.domain.account import Caps
from tessera.domain.credit import MOST
from tessera.domain.errors import Invalid
from tessera.domain.task import Mode
from tessera.providers.fake import Fake

BIGINT = 2**63
EDGES = [1, MOST - 1, MOST, MOST + 1, BIGINT - 1, BIGINT, 10**30]

amounts = st.one_of(
    st.sampled_from([sign * edge for edge in EDGES for sign in (1, -1)]), st.integers(-2 * MOST, 2 * MOST)
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(amounts, min_size=1, max_size=12))
@example(sequence=[MOST] * 3)
async def test_no_sequence_of_grants_leaves_the_bounds_of_a_balance(open_shop: OpenShop, sequence: list[int]) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        accounts, expected = shop.house.accounts, 0
        account = await accounts.create(shop.house.ids(), test_credits=0)
        for amount in sequence:
            good = abs(amount) <= MOST and 0 <= expected + amount <= MOST
            try:
                assert await accounts.grant(account, Mode.LIVE, amount) == expected + amount
                assert good, f"{amount} was granted on top of {expected}"
                expected += amount
            except Invalid as refusal:
                assert not good, f"{amount} was refused on top of {expected}: {refusal}"
                assert refusal.field == "amount"
                assert "NUL" not in str(refusal)
        balance, total, _ = await accounts.audit(account, Mode.LIVE)
        assert balance == total == expected
        assert await ledger.anomalies(shop.house.database) == []


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (MOST + 1, "at most 1,000,000,000,000 credits at once"),
        (BIGINT, "at most 1,000,000,000,000 credits at once"),
        (-BIGINT, "at most 1,000,000,000,000 credits at once"),
        (MOST, "would rise above 1,000,000,000,000 credits"),
        (-MOST, "would fall below zero"),
    ],
)
async def test_a_grant_out_of_bounds_is_refused_in_words_of_credits(
    open_shop: OpenShop, amount: int, words: str
) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        before = await shop.entries()
        with pytest.raises(Invalid, match=words):
            await shop.house.accounts.grant(shop.account, Mode.TEST, amount)
        assert await shop.entries() == before


@pytest.mark.parametrize("cap", ["hour", "day", "total"])
async def test_a_cap_that_no_column_holds_is_refused(open_shop: OpenShop, cap: str) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        for value in (MOST + 1, BIGINT):
            with pytest.raises(Invalid, match="cap: must not be above 1,000,000,000,000 credits"):
                await shop.house.accounts.create_key(shop.account, Mode.TEST, caps=Caps(**{cap: value}))
        await shop.house.accounts.create_key(shop.account, Mode.TEST, caps=Caps(**{cap: MOST}))


@pytest.mark.parametrize("credits", [MOST, 10**40])
async def test_a_new_account_is_not_given_more_than_a_balance_holds(open_shop: OpenShop, credits: int) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        with pytest.raises(Invalid, match=r"test credits: .* is more than 1,000,000,000,000 credits"):
            await shop.house.accounts.create("rich", test_credits=credits)

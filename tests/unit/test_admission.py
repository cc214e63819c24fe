"""The rules of admission: rate window, balance, caps."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.account import ApiKey, Caps
from tessera.domain.admission import RateLimit, Usage, Wallet, admit_rate, admit_spend, admit_usage
from tessera.domain.errors import InsufficientCredits, KeyCapReached, RateLimited
from tessera.domain.task import Mode
from tessera.kit.clock import millis
from tessera.testing.ticker import NOON

WINDOW = timedelta(seconds=10)
TWENTY = RateLimit(20, WINDOW)


def key(**caps: int) -> ApiKey:
    return ApiKey(id="k", account_id="a", mode=Mode.TEST, name="", hint="", created_at=NOON, caps=Caps(**caps))


def after(**span: float) -> datetime:
    return NOON + timedelta(**span)


# ---- the rate window ----


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=80),
    st.integers(1, 6),
    st.integers(500, 5000),
)
def test_no_window_of_any_position_holds_more_than_the_limit(gaps: list[int], count: int, span: int) -> None:
    limit, wallet, moment = RateLimit(count, timedelta(milliseconds=span)), Wallet(balance=0), NOON
    accepted: list[int] = []
    for gap in gaps:
        moment += timedelta(milliseconds=gap)
        now = millis(moment)
        recent = [hit for hit in accepted if now - span < hit <= now]
        try:
            wallet = admit_rate(wallet, limit, moment)
        except RateLimited as error:
            assert len(recent) == count, "refused although there was room"
            assert error.retry_after == timedelta(milliseconds=recent[0] + span - now)
        else:
            assert len(recent) < count, "accepted although the window was full"
            accepted.append(now)


def test_the_retry_hint_is_neither_early_nor_late() -> None:
    wallet = Wallet(balance=0)
    for second in range(20):
        wallet = admit_rate(wallet, TWENTY, after(milliseconds=second * 100))
    with pytest.raises(RateLimited, match=r"at most 20 new tasks in 10 s; try again in 7\.9 s") as caught:
        admit_rate(wallet, TWENTY, after(seconds=2.1))
    again = after(seconds=2.1) + caught.value.retry_after
    with pytest.raises(RateLimited):
        admit_rate(wallet, TWENTY, again - timedelta(milliseconds=1))
    admit_rate(wallet, TWENTY, again)


def test_a_refusal_changes_nothing() -> None:
    full = Wallet(balance=5, hits=tuple(millis(NOON) for _ in range(20)))
    with pytest.raises(RateLimited):
        admit_rate(full, TWENTY, NOON)
    assert admit_rate(full, TWENTY, after(seconds=10)).hits == (millis(after(seconds=10)),)


def test_a_clock_that_runs_behind_opens_no_second_window() -> None:
    wallet = Wallet(balance=0, hits=tuple(millis(NOON) for _ in range(20)))
    with pytest.raises(RateLimited):
        admit_rate(wallet, TWENTY, after(seconds=-30))


def test_without_a_limit_nothing_is_counted() -> None:
    assert admit_rate(Wallet(balance=1), None, NOON) == Wallet(balance=1)


# ---- the balance ----


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_price_is_held_only_where_the_balance_covers_it(balance: int, price: int) -> None:
    wallet = Wallet(balance=balance, hits=(1,))
    if price > balance:
        with pytest.raises(InsufficientCredits, match="Credits insufficient"):
            admit_spend(wallet, price)
    else:
        assert admit_spend(wallet, price) == Wallet(balance=balance - price, hits=(1,))


# ---- the key's own caps ----


@pytest.mark.parametrize(("cap", "name"), [("hour", "hourly"), ("day", "daily"), ("total", "total")])
def test_a_cap_may_be_reached_and_not_passed(cap: str, name: str) -> None:
    usage = admit_usage(key(**{cap: 100}), Usage(), 100, NOON)
    assert (usage.hour, usage.day, usage.total) == (100, 100, 100)
    with pytest.raises(KeyCapReached, match=f"The {name} usage cap of this API key is reached"):
        admit_usage(key(**{cap: 100}), usage, 1, NOON)


@pytest.mark.parametrize(("cap", "window"), [("hour", timedelta(hours=1)), ("day", timedelta(days=1))])
def test_a_window_begins_with_its_first_use_and_ends_a_whole_window_later(cap: str, window: timedelta) -> None:
    mine = key(**{cap: 100})
    usage = admit_usage(mine, Usage(), 60, NOON)
    with pytest.raises(KeyCapReached):
        admit_usage(mine, usage, 60, NOON + window - timedelta(microseconds=1))
    fresh = admit_usage(mine, usage, 60, NOON + window)
    assert getattr(fresh, cap) == 60
    assert getattr(fresh, f"{cap}_from") == NOON + window


def test_the_total_never_starts_anew() -> None:
    usage = admit_usage(key(total=100), Usage(), 100, NOON)
    with pytest.raises(KeyCapReached):
        admit_usage(key(total=100), usage, 1, after(days=4000))


@given(st.lists(st.tuples(st.integers(0, 7200), st.integers(0, 50)), max_size=40))
def test_usage_adds_up_within_its_windows(spends: list[tuple[int, int]]) -> None:
    usage, moment, total = Usage(), NOON, 0
    for gap, price in spends:
        moment += timedelta(seconds=gap)
        usage = admit_usage(key(), usage, price, moment)
        total += price
        assert usage.total == total
        assert usage.hour <= usage.day <= usage.total
        assert usage.hour_from is not None
        assert moment - usage.hour_from < timedelta(hours=1)

"""May this request become a task? Pure rules over rows that the caller has locked.

The order of the questions is part of the promise: a replay is answered whatever the window and the balance say, a
refusal touches nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tessera.domain.account import ApiKey
from tessera.domain.errors import InsufficientCredits, KeyCapReached, RateLimited
from tessera.kit.clock import millis

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``count`` new tasks in any ``window``."""

    count: int
    window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """``balance`` in milli-credits; ``hits`` are the moments (ms) of the accepted requests, oldest first."""

    balance: int
    hits: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a key has spent, in milli-credits, in the hour and day that began at ``*_from`` and in all."""

    hour: int = 0
    hour_from: datetime | None = None
    day: int = 0
    day_from: datetime | None = None
    total: int = 0


def admit_rate(wallet: Wallet, limit: RateLimit | None, now: datetime) -> Wallet:
    """The wallet with one more hit. Raises RateLimited when the window is full."""
    if limit is None:
        return wallet
    # Clocks of several machines may differ by a little: the window never runs backwards.
    moment = max(millis(now), wallet.hits[-1] if wallet.hits else 0)
    span = limit.window // timedelta(milliseconds=1)
    recent = tuple(hit for hit in wallet.hits if hit > moment - span)
    if len(recent) >= limit.count:
        wait = timedelta(milliseconds=recent[len(recent) - limit.count] + span - moment)
        raise RateLimited(
            f"Too many requests: at most {limit.count} new tasks in {limit.window.total_seconds():g} s; "
            f"try again in {wait.total_seconds():.1f} s",
            retry_after=wait,
        )
    return replace(wallet, hits=(*recent, moment))


def admit_spend(wallet: Wallet, price: int) -> Wallet:
    """The wallet after the hold. Raises InsufficientCredits."""
    if price > wallet.balance:
        raise InsufficientCredits("Credits insufficient")
    return replace(wallet, balance=wallet.balance - price)


def admit_usage(key: ApiKey, usage: Usage, price: int, now: datetime) -> Usage:
    """The key's usage with this price added. Raises KeyCapReached."""
    current = roll(usage, now)
    spent = replace(current, hour=current.hour + price, day=current.day + price, total=current.total + price)
    for cap, amount, name in (
        (key.caps.hour, spent.hour, "hourly"),
        (key.caps.day, spent.day, "daily"),
        (key.caps.total, spent.total, "total"),
    ):
        if cap is not None and amount > cap:
            raise KeyCapReached(f"The {name} usage cap of this API key is reached")
    return spent


def roll(usage: Usage, now: datetime) -> Usage:
    """The usage with hours and days that are over set back; a window begins with its first use."""
    if usage.hour_from is None or now - usage.hour_from >= HOUR:
        usage = replace(usage, hour=0, hour_from=now)
    if usage.day_from is None or now - usage.day_from >= DAY:
        usage = replace(usage, day=0, day_from=now)
    return usage

"""Credits are counted in whole milli-credits, so that no sum ever loses a part."""

from decimal import Decimal

UNIT = 1000
"""Milli-credits in one credit."""

MOST = 10**15
"""Milli-credits that one amount or one balance may come to: a trillion credits.

A column of the database holds nine thousand times as much, which leaves room for every hold that may come back.
"""


def milli(credits: str | int | Decimal) -> int:
    """Milli-credits from a number of credits. Raises ValueError where it is finer than one, or beyond ``MOST``."""
    value = Decimal(credits)
    if value.is_nan():
        raise ValueError(f"{credits} is finer than 0.001 credits")
    # Before any arithmetic: a few letters such as 1e999999 would make a number of a million digits.
    if value.copy_abs() > MOST // UNIT:
        raise ValueError(f"{str(credits)[:40]} is more than {MOST // UNIT:,} credits")
    value *= UNIT
    if value != value.to_integral_value():
        raise ValueError(f"{credits} is finer than 0.001 credits")
    return int(value)


def credits(amount: int) -> int | float:
    """The number as a client reads it: whole where it is whole."""
    return amount // UNIT if amount % UNIT == 0 else amount / UNIT


def show(amount: int) -> str:
    return f"{Decimal(amount) / UNIT:,f}".rstrip("0").rstrip(".") if amount % UNIT else f"{amount // UNIT:,}"

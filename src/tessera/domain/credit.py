"""Credits are counted in whole milli-credits, so that no sum ever loses a part."""

from decimal import Decimal

UNIT = 1000
"""Milli-credits in one credit."""


def milli(credits: str | int | Decimal) -> int:
    """Milli-credits from a number of credits. Raises ValueError where it is finer than a milli-credit."""
    value = Decimal(credits) * UNIT
    if value != value.to_integral_value():
        raise ValueError(f"{credits} is finer than 0.001 credits")
    return int(value)


def credits(amount: int) -> int | float:
    """The number as a client reads it: whole where it is whole."""
    return amount // UNIT if amount % UNIT == 0 else amount / UNIT


def show(amount: int) -> str:
    return f"{Decimal(amount) / UNIT:,f}".rstrip("0").rstrip(".") if amount % UNIT else f"{amount // UNIT:,}"

"""Credits as whole milli-credits."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.credit import credits, milli, show


@pytest.mark.parametrize(
    ("given", "amount"),
    [(10, 10_000), ("10", 10_000), ("0.5", 500), ("0.001", 1), (Decimal("2.50"), 2500), (0, 0), ("-3.25", -3250)],
)
def test_credits_become_milli_credits(given: str | int | Decimal, amount: int) -> None:
    assert milli(given) == amount


@pytest.mark.parametrize("given", ["0.0001", "1.0005", Decimal("0.00001"), "nan"])
def test_what_is_finer_than_a_milli_credit_is_refused(given: str | Decimal) -> None:
    with pytest.raises(ValueError, match=r"finer than 0\.001 credits"):
        milli(given)


@given(st.integers(-(10**15), 10**15))
def test_no_amount_loses_a_part_on_its_way_out_and_in(amount: int) -> None:
    assert milli(show(amount).replace(",", "")) == amount
    if abs(amount) < 10**12:  # beyond it a float, which is what JSON readers have, cannot hold every milli-credit
        assert milli(str(credits(amount))) == amount


@pytest.mark.parametrize(
    ("amount", "read", "shown"),
    [
        (10_000, 10, "10"),
        (0, 0, "0"),
        (500, 0.5, "0.5"),
        (1_234_567_500, 1_234_567.5, "1,234,567.5"),
        (-1500, -1.5, "-1.5"),
        (7_000_000, 7000, "7,000"),
    ],
)
def test_an_amount_is_whole_where_it_is_whole(amount: int, read: int | float, shown: str) -> None:
    assert credits(amount) == read
    assert type(credits(amount)) is type(read)
    assert show(amount) == shown

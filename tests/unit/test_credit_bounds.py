"""Amounts of credits have an end, and whoever asks for more hears of it at once."""

from decimal import Decimal

import pytest

from tessera.domain.credit import MOST, UNIT, milli


def test_the_largest_amount_is_an_amount() -> None:
    assert milli(MOST // UNIT) == MOST
    assert milli(str(-(MOST // UNIT))) == -MOST


@pytest.mark.parametrize(
    "given", [MOST // UNIT + 1, "1000000000000.001", "-1e13", "1e999999", "inf", "-inf", Decimal("1e400")]
)
def test_what_is_more_than_any_balance_holds_is_refused(given: str | int | Decimal) -> None:
    with pytest.raises(ValueError, match="is more than 1,000,000,000,000 credits"):
        milli(given)

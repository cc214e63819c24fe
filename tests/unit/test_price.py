"""The price list and the quote."""

from dataclasses import replace

import pytest

from tessera.domain.errors import ConfigError, NoProvider
from tessera.domain.price import PriceList
from tessera.domain.task import Draft, ImageRequest


def draft(model: str = "m", count: int = 1) -> Draft:
    request = ImageRequest(prompt="x", count=count)
    return Draft(family="f", operation="image.generate", model=model, request=request, params="{}")


@pytest.mark.parametrize(
    ("per", "credits", "count", "price"),
    [("output", "10", 1, 10_000), ("output", "10", 4, 40_000), ("task", "2.5", 4, 2500), ("task", 0, 2, 0)],
)
def test_a_quote_is_in_milli_credits(per: str, credits: object, count: int, price: int) -> None:
    prices = PriceList({"m": {"per": per, "credits": credits, "source": "a test"}})
    assert prices.quote(draft(count=count)) == price


def test_a_model_without_a_price_is_not_free() -> None:
    with pytest.raises(NoProvider, match="other has no price yet; add it to the price list"):
        PriceList({}).quote(draft("other"))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("10", "expected a table"),
        ({"per": "output", "credits": "10"}, "source"),
        ({"per": "output", "source": "x"}, "credits"),
        ({"credits": "1", "source": "x"}, "per"),
        ({"per": "minute", "credits": "1", "source": "x"}, "per is task, output or second"),
        ({"per": "task", "credits": "-1", "source": "x"}, "must not be negative"),
        ({"per": "task", "credits": "0.0001", "source": "x"}, "finer than"),
        ({"per": "task", "credits": "ten", "source": "x"}, "ConversionSyntax"),
        ({"per": "task", "credits": "inf", "source": "x"}, "no price"),
        ({"per": "task", "credits": "nan", "source": "x"}, "no price"),
    ],
)
def test_a_bad_entry_is_named_with_its_fault(entry: object, why: str) -> None:
    with pytest.raises(ConfigError, match=r"prices: \[m\] is no price .*needs per, credits and source") as caught:
        PriceList({"m": entry})
    assert why in str(caught.value)


def test_an_operators_price_takes_the_place_of_the_familys_own() -> None:
    asked = replace(draft(count=2), price=7, units={"second": 8})
    assert PriceList({}).quote(asked) == 7
    assert PriceList({"m": {"per": "second", "credits": "1.5", "source": "x"}}).quote(asked) == 12_000
    assert PriceList({"m": {"per": "output", "credits": "1.5", "source": "x"}}).quote(asked) == 3000

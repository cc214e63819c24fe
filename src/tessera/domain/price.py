"""The price list and the quote: what a request will cost, in milli-credits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from tessera.domain.credit import milli
from tessera.domain.errors import ConfigError, NoProvider
from tessera.domain.task import Draft

Per = Literal["task", "output", "second"]
"""What is counted: the units of a draft, or nothing."""


@dataclass(frozen=True, slots=True)
class Price:
    """``amount`` milli-credits for each unit or for the whole task; ``source`` says where the number comes from."""

    per: Per
    amount: int
    source: str


class PriceList:
    """Prices by model: ``data`` are an operator's own. A model without one costs what its family says.

    Raises ConfigError for an entry that is no price.
    """

    def __init__(self, data: Mapping[str, object]) -> None:
        self._prices = {model: _price(model, entry) for model, entry in data.items()}

    @property
    def models(self) -> frozenset[str]:
        """The models that have a price here."""
        return frozenset(self._prices)

    def quote(self, draft: Draft) -> int:
        """Milli-credits for this request. Raises NoProvider for a model without a price: none is free by mistake."""
        price = self._prices.get(draft.model)
        if price is not None:
            return math.ceil(price.amount * _units(price.per, draft))
        if draft.price is None:
            raise NoProvider(f"{draft.model} has no price yet; add it to the price list")
        return draft.price


def _units(per: Per, draft: Draft) -> float:
    if per == "task":
        return 1
    return draft.units.get(per, draft.request.count if per == "output" else 1)


def _price(model: str, entry: object) -> Price:
    try:
        if not isinstance(entry, Mapping):
            raise ValueError("expected a table")
        per, source = entry["per"], str(entry["source"])
        if per not in get_args(Per):
            raise ValueError(f"per is {', '.join(get_args(Per)[:-1])} or {get_args(Per)[-1]}")
        amount = milli(str(entry["credits"]))
        if amount < 0:
            raise ValueError("credits must not be negative")
        return Price(per, amount, source)
    except (KeyError, ValueError, ArithmeticError) as error:
        raise ConfigError(f"prices: [{model}] is no price ({error}); it needs per, credits and source") from error

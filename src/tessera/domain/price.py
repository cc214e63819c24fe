"""The price list and the quote: what a request will cost, in milli-credits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tessera.domain.credit import milli
from tessera.domain.errors import ConfigError, NoProvider
from tessera.domain.task import Draft

Per = Literal["output", "task"]


@dataclass(frozen=True, slots=True)
class Price:
    """``amount`` milli-credits for each output or for the whole task; ``source`` says where the number comes from."""

    per: Per
    amount: int
    source: str


class PriceList:
    """Prices by model. Raises ConfigError for an entry that is no price."""

    def __init__(self, data: Mapping[str, object]) -> None:
        self._prices = {model: _price(model, entry) for model, entry in data.items()}

    @property
    def models(self) -> frozenset[str]:
        """The models that have a price."""
        return frozenset(self._prices)

    def quote(self, draft: Draft) -> int:
        """Milli-credits for this request. Raises NoProvider for a model without a price: none is free by mistake."""
        price = self._prices.get(draft.model)
        if price is None:
            raise NoProvider(f"{draft.model} has no price yet; add it to the price list")
        return price.amount * (draft.request.count if price.per == "output" else 1)


def _price(model: str, entry: object) -> Price:
    try:
        if not isinstance(entry, Mapping):
            raise ValueError("expected a table")
        per, source = entry["per"], str(entry["source"])
        if per not in ("output", "task"):
            raise ValueError("per is output or task")
        amount = milli(str(entry["credits"]))
        if amount < 0:
            raise ValueError("credits must not be negative")
        return Price(per, amount, source)
    except (KeyError, ValueError, ArithmeticError) as error:
        raise ConfigError(f"prices: [{model}] is no price ({error}); it needs per, credits and source") from error

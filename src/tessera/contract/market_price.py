"""What a request to a Market model costs, by the catalog's own rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tessera.contract.catalog import CHAT, Conditions, Credits, Extra, Model, Rate, fits, same

OURS = "our estimate: no price was ever published"

ESTIMATES: Mapping[str, tuple[str, float]] = {
    "text-to-image": ("per_image", 5),
    "image-to-image": ("per_image", 5),
    "image-to-json": ("per_request", 1),
    "text-to-video": ("per_second", 20),
    "image-to-video": ("per_second", 20),
    "video-to-video": ("per_second", 20),
    "speech-to-video": ("per_second", 12),
    "video-to-json": ("per_request", 5),
    "speech": ("per_1000_characters", 12),
}
"""What a model without a published price costs: about the middle of its neighbours. Unit, and credits for each."""


OPEN = ("auto", "adaptive")
"""Values that leave open which rate holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How much is asked for. ``input`` is the checked input with its defaults; lengths are in seconds.

    ``derived`` are the values that no field says: ``$videoInput``, ``$sourceResolution``.
    """

    input: Mapping[str, Any]
    outputs: int = 1
    seconds: float = 0
    input_seconds: float = 0
    images: int = 0
    characters: int = 0
    megapixels: float = 1
    derived: Conditions = field(default_factory=dict)


def tariff(model: Model) -> Credits:
    """The price rules of a model; those of its modality, marked as an estimate, where none were published."""
    if model.credits.rates or model.modality == CHAT:
        return model.credits
    unit, credits = ESTIMATES[model.modality]
    return Credits(
        unit=unit, rates=(Rate(credits=credits),), as_of=model.credits.as_of, basis=OURS, note=None, estimate=True
    )


def outputs(model: Model, given: Mapping[str, Any]) -> int:
    """How many results a checked input asks for."""
    rule = next(rule for rule in model.output.count if fits(rule.when, given))
    wanted = given.get(rule.field) if rule.field else None
    return rule.count if wanted is None else int(float(wanted))


def price(model: Model, asked: Asked) -> Decimal:
    """Credits for a request. Raises ValueError for a model that is not paid by the task."""
    rules = tariff(model)
    count = UNITS.get(rules.unit)
    if count is None or not rules.rates:
        raise ValueError(f"{model.id} has no price for a task")
    values = {**asked.input, **rules.assume, **asked.derived}
    values = {name: value for name, value in values.items() if value not in OPEN}
    amount = Decimal(str(_rate(rules, values).credits)) * _exact(count(asked))
    if rules.input_seconds and rules.unit == "per_second":
        amount += Decimal(str(_rate(rules, values).credits)) * _exact(asked.input_seconds)
    return amount + sum((_extra(extra, asked) for extra in rules.extra), Decimal(0))


def _rate(rules: Credits, values: Mapping[str, Any]) -> Rate:
    """The first rate that fits; what a request leaves open fits any. What has no row costs like the dearest near it."""
    for rate in rules.rates:
        if fits(rate.when, values, absent=True):
            return rate
    nearest = max(_near(rate, values) for rate in rules.rates)
    return max((rate for rate in rules.rates if _near(rate, values) == nearest), key=lambda rate: rate.credits)


def _near(rate: Rate, values: Mapping[str, Any]) -> int:
    return sum(name not in values or same(values[name], wanted) for name, wanted in rate.when.items())


def _extra(extra: Extra, asked: Asked) -> Decimal:
    counted = asked.images if extra.per == "input_image" else 0
    return Decimal(str(extra.credits)) * max(0, counted - extra.first_free)


def _exact(number: float) -> Decimal:
    return Decimal(str(round(number, 3)))


UNITS: Mapping[str, Callable[[Asked], float]] = {
    "per_image": lambda asked: asked.outputs,
    "per_video": lambda asked: asked.outputs,
    "per_request": lambda asked: 1,
    "per_second": lambda asked: asked.seconds * asked.outputs,
    "per_minute": lambda asked: asked.seconds / 60,
    "per_1000_characters": lambda asked: asked.characters / 1000,
    "per_megapixel": lambda asked: asked.megapixels * asked.outputs,
}
"""By the unit of a rate: how often it is to be paid."""

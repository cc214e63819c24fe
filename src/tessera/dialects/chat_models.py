"""The chat models of the catalog: under which names and protocols they answer, and what they cost."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from tessera.contract import catalog
from tessera.domain.chat import Rates, Wire
from tessera.domain.credit import milli

WIRES: Mapping[str, Wire] = {
    "openai-chat": Wire.CHAT,
    "openai-responses": Wire.RESPONSES,
    "anthropic-messages": Wire.MESSAGES,
    "gemini-generate-content": Wire.GEMINI,
}

NAMED = (
    (re.compile(r"/([^/]+)/v1/chat/completions"), Wire.CHAT),
    (re.compile(r"/gemini/v1/models/([^/:]+):streamGenerateContent"), Wire.GEMINI),
)
"""Paths that name the model, and the protocol that is spoken there."""

DEFAULTS: Mapping[str, tuple[str, str]] = {
    "Anthropic": ("285", "1430"),
    "Google": ("100", "700"),
    "OpenAI": ("280", "1680"),
    "xAI": ("600", "3000"),
}
"""Credits for a million tokens in and out, for models that have no published price. They are estimates: what the
current flagship of the same vendor costs here, and for xAI, of which no model has a price, the 3 and 15 dollars that it
asks itself for its own."""

CACHES: Mapping[str, tuple[float, float, float]] = {"Anthropic": (0.1, 1.25, 2.0)}
"""What tokens cost that went through a cache, as a part of the input price: read, kept for minutes, for an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatModel:
    """``names`` are the protocols that it answers in, and what it is called there."""

    id: str
    vendor: str
    names: Mapping[Wire, str]
    rates: Rates


@cache
def models() -> Mapping[str, ChatModel]:
    """All chat models by id."""
    found = (model for model in catalog.models().values() if model.modality == catalog.CHAT)
    return {model.id: _model(model) for model in found if model.endpoint is not None}


@cache
def _named() -> Mapping[tuple[Wire, str], ChatModel]:
    return {(wire, name): model for model in models().values() for wire, name in model.names.items()}


def find(wire: Wire, name: str) -> ChatModel | None:
    """The model of this name in a protocol, in exact spelling."""
    return _named().get((wire, name))


def _model(model: catalog.Model) -> ChatModel:
    assert model.endpoint is not None
    names = {WIRES[model.endpoint.protocol]: model.id, **dict(_places(model.endpoint))}
    return ChatModel(id=model.id, vendor=model.vendor, names=names, rates=_rates(model))


def _places(endpoint: catalog.Endpoint) -> Iterator[tuple[Wire, str]]:
    for path in (endpoint.path, *endpoint.also):
        for pattern, wire in NAMED:
            if found := pattern.fullmatch(path):
                yield wire, found[1]


def _rates(model: catalog.Model) -> Rates:
    """The published price; what of it is missing is an estimate, and its source says so."""
    told = {str(rate.when.get("$direction")): milli(str(rate.credits)) for rate in model.credits.rates}
    usual = dict(zip(("input", "output"), map(milli, DEFAULTS[model.vendor]), strict=True))
    missing = [name for name in usual if name not in told]
    if missing == ["output"]:  # as much dearer than the input as with the flagship
        usual["output"] = told["input"] * usual["output"] // usual["input"]
    price = {**usual, **told}
    caches = CACHES.get(model.vendor)
    read, written, kept = (round(price["input"] * part) for part in caches) if caches else (None, None, None)
    for extra in model.credits.extra:
        if extra.per == "cached_input":
            read = milli(str(extra.credits))
    source = model.credits.basis or "catalog"
    if missing or model.credits.estimate:
        source = f"estimate: no published price for {' and '.join(missing) or 'this model'}"
    return Rates(input=price["input"], output=price["output"], cached=read, written=written, kept=kept, source=source)

"""Which endpoints are on, and which of them answers for a model."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tessera.domain.chat import Wire
from tessera.domain.errors import ConfigError, NoProvider
from tessera.domain.task import Mode
from tessera.providers.chat import anthropic, gemini, openai
from tessera.providers.chat.base import Chat
from tessera.providers.chat.endpoint import Place, place


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An endpoint that can be switched on: ``key`` is the variable that does it, ``url`` the one with its address."""

    key: str
    url: str
    default: str
    wires: frozenset[Wire]
    make: Callable[[Place], Chat]


KNOWN: Mapping[str, Known] = {
    "anthropic": Known(
        key="ANTHROPIC_API_KEY",
        url="ANTHROPIC_BASE_URL",
        default=anthropic.BASE,
        wires=frozenset({Wire.MESSAGES}),
        make=anthropic.endpoint,
    ),
    "gemini": Known(
        key="GEMINI_API_KEY",
        url="GEMINI_BASE_URL",
        default=gemini.BASE,
        wires=frozenset({Wire.GEMINI, Wire.CHAT}),
        make=gemini.endpoint,
    ),
    "openai": Known(
        key="OPENAI_API_KEY",
        url="OPENAI_BASE_URL",
        default=openai.BASE,
        wires=frozenset({Wire.CHAT, Wire.RESPONSES}),
        make=lambda place: openai.endpoint("openai", place),
    ),
    "xai": Known(
        key="XAI_API_KEY",
        url="XAI_BASE_URL",
        default=openai.XAI,
        wires=frozenset({Wire.CHAT, Wire.RESPONSES}),
        make=lambda place: openai.endpoint("xai", place),
    ),
}

MAKERS = (("claude", "anthropic"), ("gemini", "gemini"), ("grok", "xai"), ("gpt", "openai"))
"""The endpoint of a model that has no other one set, by how its name begins."""

SUFFIX = re.compile(r"-(openai|v1betamodels)$")
NUMBER = re.compile(r"(?<=\d)-(?=\d)")


def build(environ: Mapping[str, str]) -> dict[str, Chat]:
    """The endpoints whose key is set, by name. Raises ConfigError."""
    return {
        name: known.make(place(environ, known.key, known.url, known.default))
        for name, known in KNOWN.items()
        if environ.get(known.key, "").strip()
    }


def spelled(model: str) -> str:
    """The vendor's own spelling of a model: ``gpt-5.2`` for ``gpt-5-2``; Anthropic's are spelled as they are."""
    if model.startswith("claude"):
        return model
    return NUMBER.sub(".", SUFFIX.sub("", model))


class Chats:
    """The endpoints of this process. ``routes`` maps a model to ``endpoint:upstream-model`` where it has one set.

    A test key is answered by ``sandbox``, a live key never.
    """

    def __init__(self, endpoints: Mapping[str, Chat], sandbox: Chat, routes: Mapping[str, str]) -> None:
        self._endpoints = dict(endpoints)
        self._sandbox = sandbox
        self._routes = dict(routes)

    def check(self, wires: Mapping[str, frozenset[Wire]]) -> None:
        """Raises ConfigError for a route of a model that there is not, or to an endpoint that cannot serve it."""
        for model, route in self._routes.items():
            name = route.partition(":")[0]
            if model not in wires:
                raise ConfigError(f"chat_routes: there is no chat model {model!r}")
            if name not in KNOWN:
                raise ConfigError(f"chat_routes: {model} names {name!r}; a route can name {', '.join(KNOWN)}")
            if not wires[model] & KNOWN[name].wires:
                raise ConfigError(f"chat_routes: {name} does not speak the protocol of {model}")

    def of(self, mode: Mode, model: str, wire: Wire) -> tuple[Chat, str]:
        """Who answers for a model, and its name there. Raises NoProvider."""
        if mode is Mode.TEST:
            return self._sandbox, spelled(model)
        route = self._routes.get(model) or f"{_maker(model)}:{spelled(model)}"
        name, _, upstream = route.partition(":")
        found = self._endpoints.get(name)
        if found is None:
            raise NoProvider(
                f"No endpoint is configured for {model}: set {KNOWN[name].key}, or name another endpoint for it in "
                "TESSERA_CHAT_ROUTES, or use a test key (tsk_test_...) to run on the sandbox"
            )
        if wire not in found.wires:
            raise NoProvider(f"The endpoint {name} that is set for {model} does not speak the protocol of this path")
        return found, upstream

    async def close(self) -> None:
        for each in (*self._endpoints.values(), self._sandbox):
            await each.close()


def _maker(model: str) -> str:
    return next((name for prefix, name in MAKERS if model.startswith(prefix)), "openai")

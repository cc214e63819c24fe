"""Which providers serve a model, in which order."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tessera.domain.errors import ConfigError, NoProvider
from tessera.domain.task import Mode
from tessera.providers.base import Provider

SANDBOX = "sandbox"
ANY = "*"


@dataclass(frozen=True, slots=True)
class Hop:
    """One choice of a route: a provider and the upstream model to ask it for."""

    provider: Provider
    model: str

    @property
    def name(self) -> str:
        return self.provider.manifest.name


class Routes:
    """Routes of this process. ``configured`` maps a model to ``provider:upstream-model`` in order of preference.

    Without a configured route a model runs on every provider whose manifest serves it, in order of their names.
    A test key always runs on the sandbox, a live key never does.
    """

    def __init__(
        self, providers: Mapping[str, Provider], configured: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._providers = dict(providers)
        self._configured = dict(configured or {})

    def check(self, installed: Collection[str]) -> None:
        """Raises ConfigError for a route to a provider that is not installed, or to the sandbox."""
        known = sorted(set(installed) - {SANDBOX})
        for model, entries in self._configured.items():
            for entry in entries:
                name = entry.partition(":")[0]
                if name not in known:
                    choice = ", ".join(known) or "none yet"
                    raise ConfigError(f"routes: {model} names the provider {name!r}; a route can name {choice}")

    @property
    def providers(self) -> Mapping[str, Provider]:
        return self._providers

    def of(self, mode: Mode, model: str, operation: str, fallback: str | None = None) -> list[Hop]:
        """The hops for a task, then those of the fallback model. Raises NoProvider when there is none."""
        hops = self._hops(mode, model, operation)
        if fallback is not None:
            hops += [hop for hop in self._hops(mode, fallback, operation) if hop not in hops]
        if not hops:
            raise NoProvider(self._advice(model))
        return hops

    def hop(self, provider: str, model: str) -> Hop | None:
        """The hop that an attempt row names; None when its provider is no longer configured."""
        found = self._providers.get(provider)
        return Hop(found, model) if found else None

    def primary(self, mode: Mode, model: str, operation: str) -> int:
        """How many of the hops belong to the model itself, before its fallback."""
        return len(self._hops(mode, model, operation))

    def _hops(self, mode: Mode, model: str, operation: str) -> list[Hop]:
        if mode is Mode.TEST:
            hops = self._default(model, {name: p for name, p in self._providers.items() if name == SANDBOX})
        elif model in self._configured:
            hops = [hop for entry in self._configured[model] if (hop := self._parse(entry)) is not None]
        else:
            hops = self._default(model, {name: p for name, p in self._providers.items() if name != SANDBOX})
        return [hop for hop in hops if operation in hop.provider.manifest.operations]

    def _default(self, model: str, providers: Mapping[str, Provider]) -> list[Hop]:
        hops = []
        for _, provider in sorted(providers.items()):
            upstream = provider.manifest.models.get(model) or provider.manifest.models.get(ANY)
            if upstream:
                hops.append(Hop(provider, upstream))
        return hops

    def _parse(self, entry: str) -> Hop | None:
        """The hop of an entry; None where its provider is off: the others of the route go on."""
        name, _, model = entry.partition(":")
        provider = self._providers.get(name) if name != SANDBOX else None
        return Hop(provider, model) if provider else None

    def _advice(self, model: str) -> str:
        return (
            f"No provider is configured for {model}: set the key of one that serves it (`tessera doctor` lists them), "
            "or use a test key (tsk_test_...) to run on the sandbox"
        )

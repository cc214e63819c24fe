"""Providers are found by their entry points, ours by the same door as strangers'.

A package that brings a provider declares it in the group ``tessera.providers`` as ``name = "module:factory"``; the
factory takes a ``Context`` and answers a ``Provider``. It is called only where the provider is on: when every variable
that its manifest needs is set. To know that without building it, the factory carries its manifest as an attribute.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from tessera.domain.errors import ConfigError
from tessera.kit.clock import Clock
from tessera.kit.cpu import Crew
from tessera.kit.outbound import Outbound
from tessera.providers.base import Manifest, Provider

GROUP = "tessera.providers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a provider is built from. ``environ`` holds secrets and is never shown."""

    clock: Clock
    cpu: Crew
    outbound: Outbound
    environ: Mapping[str, str] = field(repr=False)


class Factory(Protocol):
    """Builds a provider; ``manifest`` tells beforehand what it serves and needs."""

    manifest: Manifest

    def __call__(self, context: Context) -> Provider: ...


def discover() -> Iterator[tuple[str, Factory]]:
    """Every installed factory by its name. Raises ConfigError for two of one name or one that cannot be loaded."""
    seen: set[str] = set()
    for entry in entry_points(group=GROUP):
        if entry.name in seen:
            raise ConfigError(f"two packages bring a provider named {entry.name!r}; uninstall one of them")
        seen.add(entry.name)
        yield entry.name, _load(entry)


def build(context: Context) -> dict[str, Provider]:
    """The providers that are on, by name. Raises ConfigError."""
    return {
        name: factory(context)
        for name, factory in discover()
        if all(context.environ.get(variable) for variable in factory.manifest.environment)
    }


def _load(entry: EntryPoint) -> Factory:
    try:
        factory: Factory = entry.load()
        _ = factory.manifest
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the provider {entry.name!r} ({entry.value}) cannot be loaded: {error}") from error
    return factory

"""Which families there are: the modules of this package that have one, and those of other packages' entry points."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

from tessera import dialects
from tessera.dialects.base import Family
from tessera.domain.errors import ConfigError

GROUP = "tessera.families"


def discover() -> Mapping[str, Family]:
    """The families by name. Raises ConfigError where two have the same name, path or operation id."""
    modules = (import_module(f"{dialects.__name__}.{each.name}") for each in iter_modules(dialects.__path__))
    found: list[Family] = [module.family for module in modules if hasattr(module, "family")]
    found += [entry.load() for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)]
    families: dict[str, Family] = {}
    seen: dict[str, str] = {}
    for family in found:
        if family.name in families:
            raise ConfigError(f"two families have the name {family.name!r}; remove one of the packages that bring them")
        families[family.name] = family
        for route in family.routes:
            for mark in (f"{route.operation.method} {route.operation.path}", route.operation.id):
                if mark in seen:
                    raise ConfigError(f"{mark} is served by {seen[mark]!r} and by {family.name!r}; remove one of them")
                seen[mark] = family.name
    return families

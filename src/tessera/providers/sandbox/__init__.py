"""The built-in provider that test keys run on: pictures that are worth looking at, and failures on request."""

from tessera.providers.sandbox.provider import Sandbox, provider

__all__ = ["Sandbox", "provider"]

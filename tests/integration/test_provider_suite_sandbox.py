"""The sandbox keeps the promises of a provider."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from tessera.domain.errors import Ambiguous, Failed, Rejected, Unavailable
from tessera.kit.clock import Clock
from tessera.kit.cpu import Crew
from tessera.providers.base import Running
from tessera.providers.sandbox import Sandbox, provider
from tessera.testing.provider_suite import ProviderSuite, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    clock: Clock
    cpu: Crew
    environ: Mapping[str, str] = field(default_factory=dict)


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def crew() -> AsyncIterator[Crew]:
    made = Crew(2)
    yield made
    await made.close()


def asking(directive: str) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"prompt": f"a lighthouse [sandbox: {directive}]"}


@pytest.mark.asyncio(loop_scope="class")
class TestTheSandbox(ProviderSuite):
    now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    @pytest.fixture
    def provider(self, crew: Crew) -> Sandbox:
        return provider(Surroundings(clock=lambda: self.now, cpu=crew))

    @pytest.fixture
    def world(self) -> World:
        return World(
            provoke={
                Rejected: asking("fail=reject"),
                Unavailable: asking("fail=429"),
                Ambiguous: asking("fail=ambiguous"),
                Failed: asking("fail=500"),
            }
        )

    async def rest(self, running: Running) -> None:
        """Time passes here when a job is waited for, and no faster or slower."""
        self.now += running.again
        await asyncio.sleep(0)

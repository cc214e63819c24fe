"""Fixtures for tests of Tessera and of what others build on it. In a ``conftest.py``:

    pytest_plugins = ["tessera.testing.plugin"]

``open_house`` opens a gateway's parts on a fresh database, ``gateway`` is one that is really served, ``receiver`` takes
its callbacks, ``host`` has files for it to fetch. Tests that use them are coroutines (pytest-asyncio).

    async def test_mine(open_house):
        async with open_house(provided={"mine": Mine()}, webhook_schedule="10ms") as house:
            ...
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from tessera import config
from tessera.config import Config
from tessera.engine import faults
from tessera.engine.faults import Place
from tessera.kit import clock
from tessera.kit.outbound import Resolve
from tessera.kit.trace import Tracer
from tessera.providers.base import Provider
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway, OpenHouse, serving
from tessera.testing.mailbox import Mailbox
from tessera.testing.servers import Host, Receiver, hosting, receiving
from tessera.testing.ticker import Ticker
from tessera.wiring import House

MakeConfig = Callable[..., Config]
OpenGateway = Callable[..., AbstractAsyncContextManager[Gateway]]
Passed = Callable[[Place], Mailbox[Place]]

SETTINGS: Mapping[str, object] = {
    "rate_limit": "0",
    "sandbox_seconds": 0,
    "dequeue_seconds": 0.1,
    "drain_seconds": 5,
    "database_pool": 8,
    "webhook_schedule": "10ms,10ms",
}
"""What a test wants of a gateway: no limits and no waiting, unless it asks for them."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    """One embedded PostgreSQL for the whole run, in a short path of its own, with a migrated template."""
    folder = Path(tempfile.mkdtemp(prefix="tessera-", dir=_fast_place()))
    databases = Databases(folder / "pg")
    try:
        databases.start()
        # In a thread, because this one may have a loop of pytest's.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, databases.prepare()).result()
        yield databases
    finally:
        databases.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _fast_place() -> Path | None:
    """A folder in memory, where there is one with room: a copy of the template is eight megabytes for each test."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30:
        return memory
    return None


@pytest_asyncio.fixture
async def database_url(postgres: Databases) -> AsyncIterator[str]:
    """A fresh database, migrated and empty; dropped after the test."""
    async with postgres.fresh() as url:
        yield url


def configs(folder: Path) -> MakeConfig:
    """Makes settings for gateways whose data lies below ``folder``; see the fixture ``make_config``."""
    numbers = count(1)
    nothing = folder / "tessera.toml"
    nothing.touch()

    def make(**settings: object) -> Config:
        # Each its own folder: two gateways of one process would clear each other's scratch space.
        own = {"data_dir": folder / f"data-{next(numbers)}"}
        return config.load({}, nothing, {**SETTINGS, **own, **settings})

    return make


def houses(database_url: str, make_config: MakeConfig) -> OpenHouse:
    """Opens Houses on one database; see the fixture ``open_house``."""

    @asynccontextmanager
    async def open_one(
        *,
        provided: Mapping[str, Provider] | None = None,
        work: bool = True,
        now: clock.Clock = clock.system,
        tracer: Tracer | None = None,
        resolver: Resolve | None = None,
        **settings: object,
    ) -> AsyncIterator[House]:
        made = make_config(**{"database_url": database_url, **settings})
        opened = House(made, work=work, environ={}, provided=provided, now=now, tracer=tracer, resolver=resolver)
        try:
            async with opened as house:
                yield house
        finally:
            for provider in (provided or {}).values():
                await provider.close()

    return open_one


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """``make_config(**settings)``: settings by name as a command line would give them; the environment is not read."""
    return configs(tmp_path)


@pytest.fixture
def open_house(database_url: str, make_config: MakeConfig) -> OpenHouse:
    """``async with open_house(provided={...}, work=True, now=..., **settings) as house``: a House on this database.

    ``provided`` are the providers by name, closed with it; without them it is the sandbox. ``work`` runs tasks.
    """
    return houses(database_url, make_config)


@pytest.fixture
def open_gateway(open_house: OpenHouse) -> OpenGateway:
    """``async with open_gateway(**as for open_house) as gateway``: a House that is served over HTTP."""
    return lambda **settings: serving(open_house, **settings)


@pytest_asyncio.fixture
async def gateway(open_gateway: OpenGateway) -> AsyncIterator[Gateway]:
    """A served gateway with the sandbox, which takes no time here."""
    async with open_gateway() as served:
        yield served


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A webhook endpoint on the loopback."""
    async with receiving() as server:
        yield server


@pytest_asyncio.fixture
async def host() -> AsyncIterator[Host]:
    """A host of files on the loopback."""
    async with hosting() as server:
        yield server


@pytest.fixture
def ticker() -> Ticker:
    """A clock that stands still."""
    return Ticker()


@pytest.fixture
def passed() -> Iterator[Passed]:
    """``passed("run.finished")``: a mailbox that gets the place's name whenever the engine passes it."""

    def watch(place: Place) -> Mailbox[Place]:
        box: Mailbox[Place] = Mailbox()

        async def note() -> None:
            box.put(place)

        faults.arm(place, note)
        return box

    yield watch
    faults.disarm()

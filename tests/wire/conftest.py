"""One served gateway for a whole file of tests, and an account of its own for each test.

The files that use it run in one loop: ``pytestmark = pytest.mark.asyncio(loop_scope="module")``.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.wire.desk import Desk, seated

from tessera.providers.fake import Fake
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway, serving
from tessera.testing.mailbox import Mailbox
from tessera.testing.plugin import configs, houses

Passed = Callable[[Any], Mailbox[Any]]


@asynccontextmanager
async def served(postgres: Databases, folder: Path, **settings: Any) -> AsyncIterator[tuple[Gateway, Fake]]:
    """A gateway of its own with these settings, on whose test keys a fake runs."""
    fake = Fake("sandbox", models={"*": "fake-image"}, idempotent=True)
    async with postgres.fresh() as url:
        opener = houses(url, configs(folder))
        async with serving(opener, **{"provided": {"sandbox": fake}, **settings}) as gateway:
            yield gateway, fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def common(postgres: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, Fake]]:
    """The gateway of this file, and the fake behind it."""
    async with served(postgres, tmp_path_factory.mktemp("wire")) as both:
        yield both


@pytest_asyncio.fixture(loop_scope="module")
async def desk(common: tuple[Gateway, Fake], passed: Passed) -> Desk:
    return await seated(*common, passed("run.finished"))


OpenDesk = Callable[..., Any]


@pytest.fixture
def open_desk(postgres: Databases, tmp_path: Path, passed: Passed) -> OpenDesk:
    """``async with open_desk(now=..., **settings) as desk``: a desk at a gateway with settings of its own."""

    @asynccontextmanager
    async def open_one(**settings: Any) -> AsyncIterator[Desk]:
        async with served(postgres, tmp_path, **settings) as both:
            yield await seated(*both, passed("run.finished"))

    return open_one

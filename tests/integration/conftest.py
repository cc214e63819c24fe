"""What the tests of the engine share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.integration.workshop import OpenShop, Workshop, shops

from tessera.providers.fake import Fake
from tessera.testing.databases import Databases
from tessera.testing.gateway import OpenHouse
from tessera.testing.plugin import MakeConfig, houses


@pytest.fixture
def open_shop(open_house: OpenHouse) -> OpenShop:
    """``async with open_shop(Fake("sandbox"), live_credits=0, **settings) as shop``: see Workshop."""
    return shops(open_house)


@pytest.fixture
def fresh_shop(postgres: Databases, make_config: MakeConfig) -> OpenShop:
    """Like ``open_shop``, but each time on a database of its own: for the examples of a generated test."""

    @asynccontextmanager
    async def open_one(*fakes: Fake) -> AsyncIterator[Workshop]:
        async with postgres.fresh() as url, shops(houses(url, make_config))(*fakes) as shop:
            yield shop

    return open_one

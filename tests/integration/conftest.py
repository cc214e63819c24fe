"""What the tests of the engine share."""

import pytest
from tests.integration.workshop import OpenShop, shops

from tessera.testing.gateway import OpenHouse


@pytest.fixture
def open_shop(open_house: OpenHouse) -> OpenShop:
    """``async with open_shop(Fake("sandbox"), live_credits=0, **settings) as shop``: see Workshop."""
    return shops(open_house)

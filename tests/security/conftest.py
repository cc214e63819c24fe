"""One gateway on a small internet for a whole file of tests, and an account of its own for each test.

The files that use it run in one loop: ``pytestmark = pytest.mark.asyncio(loop_scope="module")``.
"""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.security.hostile import NAMES, PAGES
from tests.security.internet import WEB, Internet, hasten, internet
from tests.wire.conftest import open_desk, served
from tests.wire.desk import Desk, seated

from tessera.providers.fake import Fake
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway
from tessera.testing.plugin import Passed

__all__ = ["closed", "net", "open_desk", "patch", "street"]

PATIENCE = 0.4
"""Seconds that a host gets in these tests."""

CAP = 20_000
"""Bytes that an upload or an input may have in these tests."""


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(patch: pytest.MonkeyPatch) -> AsyncIterator[Internet]:
    async with internet(patch) as made:
        made.names.put("web.test", [WEB])
        for name, answers in NAMES:
            made.names.put(name, answers)
        made.pages.update({f"/{page.name}": page.behave for page in PAGES})
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def closed(
    net: Internet, postgres: Databases, patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Gateway, Fake]]:
    """A gateway as on a server: loopback and private networks are forbidden to its callers' URLs."""
    settings = {
        "allow_private_networks": "false",
        "input_max_bytes": CAP,
        "upload_max_bytes": CAP,
        "webhook_timeout": f"{round(PATIENCE * 1000)}ms",
        "webhook_schedule": "10ms",
    }
    async with served(postgres, tmp_path_factory.mktemp("closed"), resolver=net.names, **settings) as both:
        hasten(both[0].house.outbound, patch, PATIENCE)
        net.spare(urlsplit(both[0].base_url).port or 0)
        yield both


@pytest_asyncio.fixture(loop_scope="module")
async def street(closed: tuple[Gateway, Fake], net: Internet, passed: Passed) -> AsyncIterator[Desk]:
    """A desk at the closed gateway. Whatever a test does there, the canary sleeps and nothing inner was dialled."""
    net.dialled.clear()
    net.served.clear()
    net.names.asked.clear()
    yield await seated(*closed, passed("run.finished"))
    assert net.canary.visits == []
    assert {address for address, _ in net.dialled} <= net.public

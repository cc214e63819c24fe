"""Credits and keys on the wire."""

import pytest
from tests.wire.desk import CREDIT, Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_credits_are_a_bare_number(desk: Desk) -> None:
    assert (await desk.get(CREDIT)).body == b'{"code":200,"msg":"success","data":1000}'

"""The gateway describes what it serves: nothing more, nothing less."""

import re

from litestar.enums import HttpMethod
from litestar.routes import HTTPRoute

from tessera.api import app
from tessera.contract.operations import OPERATIONS, Operation, openapi
from tessera.dialects import registry
from tessera.testing.gateway import Gateway
from tessera.wiring import House

UNLISTED = ("/healthz", "/readyz", "/openapi.json", "/metrics", "/files/", "/tessera/")
"""Paths for machines and operators; files are reached by the links that an operation answers."""


def _all(house: House) -> list[Operation]:
    return [*OPERATIONS, *(route.operation for family in house.families.values() for route in family.routes)]


async def test_every_served_operation_is_described_and_the_other_way_round(gateway: Gateway) -> None:
    served = {
        (str(method).lower(), re.sub(r":\w+}", "}", route.path))
        for route in app.build(gateway.house).routes
        if isinstance(route, HTTPRoute) and not route.path.startswith(UNLISTED)
        for method in route.methods
        if method not in (HttpMethod.OPTIONS, HttpMethod.HEAD)
    }
    assert served == {(operation.method, operation.path) for operation in _all(gateway.house)}


async def test_the_document_is_public_and_names_every_operation(gateway: Gateway) -> None:
    async with gateway.http.get(f"{gateway.base_url}/openapi.json") as response:
        assert response.status == 200
        document = await response.json()
    ids = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert ids == {operation.id for operation in _all(gateway.house)}


def test_every_reference_in_the_document_leads_somewhere() -> None:
    families = registry.discover().values()
    document = openapi("1", "http://gateway.test", [route.operation for each in families for route in each.routes])
    found = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert found <= set(document["components"]["schemas"])

"""The gateway describes what it serves: nothing more, nothing less."""

import re

from litestar.enums import HttpMethod
from litestar.routes import HTTPRoute

from tessera.api import app
from tessera.contract.operations import OPERATIONS, openapi
from tessera.testing.gateway import Gateway

UNLISTED = ("/healthz", "/readyz", "/openapi.json", "/metrics", "/files/", "/tessera/")
"""Paths for machines and operators; files are reached by the links that an operation answers."""


async def test_every_served_operation_is_described_and_the_other_way_round(gateway: Gateway) -> None:
    served = {
        (str(method).lower(), re.sub(r":\w+}", "}", route.path))
        for route in app.build(gateway.house).routes
        if isinstance(route, HTTPRoute) and not route.path.startswith(UNLISTED)
        for method in route.methods
        if method not in (HttpMethod.OPTIONS, HttpMethod.HEAD)
    }
    assert served == {(operation.method, operation.path) for operation in OPERATIONS}


async def test_the_document_is_public_and_names_every_operation(gateway: Gateway) -> None:
    async with gateway.http.get(f"{gateway.base_url}/openapi.json") as response:
        assert response.status == 200
        document = await response.json()
    ids = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert ids == {operation.id for operation in OPERATIONS}


def test_every_reference_in_the_document_leads_somewhere() -> None:
    document = openapi("1", "http://gateway.test")
    found = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert found <= set(document["components"]["schemas"])

"""The gateway's own description of itself."""

from litestar import get
from litestar.handlers import HTTPRouteHandler

from tessera import __version__
from tessera.api.http import HttpResponse, answer
from tessera.contract.envelope import encode
from tessera.contract.operations import openapi
from tessera.wiring import House


def routes(house: House) -> list[HTTPRouteHandler]:
    operations = (route.operation for family in house.families.values() for route in family.routes)
    document = encode(openapi(__version__, house.public_url, operations))

    @get("/openapi.json")
    async def reference() -> HttpResponse:
        return answer(document, media_type="application/json", headers={"Access-Control-Allow-Origin": "*"})

    return [reference]

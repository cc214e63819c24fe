"""The HTTP application over an open House."""

from litestar import Litestar

from tessera.api import account, errors, families, files, native, reference, uploads
from tessera.api.auth import Keys
from tessera.wiring import House


def build(house: House) -> Litestar:
    keys = Keys(house.database, clock=house.clock, proxies=house.config.trusted_proxies)
    return Litestar(
        route_handlers=[
            *families.routes(families.Families(house, keys)),
            *account.routes(house, keys),
            *native.routes(house, keys),
            *uploads.routes(house, keys),
            *files.routes(house),
            *reference.routes(house),
        ],
        exception_handlers=errors.HANDLERS,
        openapi_config=None,
        # Bodies are capped by the operation that reads them, while it reads.
        request_max_body_size=None,
    )

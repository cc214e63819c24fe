"""The HTTP application over an open House."""

import sys
from collections.abc import Sequence
from typing import Any

import structlog
import uvicorn
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from tessera.api import account, chat, errors, families, files, metrics, models, native, reference, uploads
from tessera.api.auth import Keys
from tessera.api.protocol import Bounds, bounded
from tessera.api.watch import watched
from tessera.wiring import House

log = structlog.get_logger(__name__)


def build(house: House) -> Litestar:
    keys = Keys(house.database, clock=house.clock, proxies=house.config.trusted_proxies)
    return _application(
        house,
        [
            *families.routes(families.Families(house, keys)),
            *account.routes(house, keys),
            *chat.routes(house, keys),
            *account.health(house),
            *native.routes(house, keys),
            *models.routes(house, keys),
            *uploads.routes(house, keys),
            *files.routes(house),
            *reference.routes(house),
            *metrics.routes(house),
        ],
    )


def lookout(house: House) -> Litestar:
    """What a process without an API tells of itself: whether it is well, and its numbers."""
    return _application(house, [*account.health(house), *metrics.routes(house)])


def _application(house: House, routes: Sequence[HTTPRouteHandler]) -> Litestar:
    application = Litestar(
        route_handlers=routes,
        exception_handlers=errors.HANDLERS,
        openapi_config=None,
        logging_config=None,  # the process has its own
        # Bodies are capped by the operation that reads them, while it reads.
        request_max_body_size=None,
    )
    application.asgi_handler = watched(application.asgi_handler, house.meter, house.tracer)
    return application


def _room(wanted: int) -> int:
    """So many connections as are wanted, as far as the process may open files at all: others need some, too."""
    if sys.platform == "win32":
        return wanted
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = wanted if files == resource.RLIM_INFINITY else min(wanted, files * 3 // 4)
    if room < wanted:
        log.warning("fewer connections than set: raise the limit of open files", wanted=wanted, room=room, files=files)
    return room


def server(house: House, *, whole: bool = True, **more: Any) -> uvicorn.Config:
    """How uvicorn is to serve it, ``whole`` or the lookout alone; ``more`` are settings that the caller decides on."""
    config = house.config
    bounds = Bounds(connections=_room(config.max_connections), stalled=config.stalled_seconds)
    return uvicorn.Config(
        build(house) if whole else lookout(house),
        http=bounded(bounds),
        timeout_keep_alive=config.keep_alive_seconds,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whose X-Forwarded-For to believe is a setting of ours
        **more,
    )

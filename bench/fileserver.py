"""The bare file server that ours is measured against: ``python -m bench.fileserver PORT FILE``.

Starlette's FileResponse and nothing else, ranges included, under the same uvicorn settings as the gateway.
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from bench.load import HOST


async def file(request: Request) -> Response:
    return FileResponse(sys.argv[2])


async def healthz(request: Request) -> Response:
    return PlainTextResponse("ok")


def main() -> None:
    app = Starlette(routes=[Route("/file", file), Route("/healthz", healthz)])
    uvicorn.run(
        app, host=HOST, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main()

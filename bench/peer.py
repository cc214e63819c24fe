"""The bare handler that the gateway is measured against: ``python -m bench.peer PORT``.

Starlette and nothing else: it decodes the JSON body, where there is one, and answers a small JSON. No key, no database,
no rule. It runs under the same uvicorn settings as the gateway.
"""

import sys

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

decode = msgspec.json.Decoder().decode
ANSWER = msgspec.json.encode({"code": 200, "msg": "success", "data": {"taskId": "0" * 32}})


async def post(request: Request) -> Response:
    decode(await request.body())
    return Response(ANSWER, media_type="application/json")


async def get(request: Request) -> Response:
    return Response(ANSWER, media_type="application/json")


def main() -> None:
    app = Starlette(
        routes=[
            Route("/api/v1/gpt4o-image/generate", post, methods=["POST"]),
            Route("/api/v1/gpt4o-image/record-info", get, methods=["GET"]),
            Route("/api/v1/gpt4o-image/download-url", post, methods=["POST"]),
            Route("/healthz", get, methods=["GET"]),
        ]
    )
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()

"""Every request is counted, timed and, where somebody traces, a span: by its route, never by what stands in its path.

The time is the one until the answer begins, so that a slow reader of a large file does not make us look slow.
"""

import time
from collections.abc import Callable

from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

from tessera.kit.meter import Meter
from tessera.kit.trace import HEADERS, Carrier, Tracer

UNKNOWN = "unknown"
"""The route of a path that there is not: paths are the caller's to invent, and labels must not be."""

UNTRACED = frozenset({"/metrics", "/healthz", "/readyz"})

NAMES = {name.encode(): name for name in HEADERS}


def watched(inner: ASGIApp, meter: Meter, tracer: Tracer, *, clock: Callable[[], float] = time.perf_counter) -> ASGIApp:
    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        began = clock()

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                meter.time("requests", clock() - began, route(scope), code(scope, message))
            await send(message)

        await inner(scope, receive, tell)

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in UNTRACED:
            return await counted(scope, receive, send)
        with tracer.root("request", _carrier(scope), kind="server") as span:
            span.note(**{"http.request.method": str(scope.get("method"))})

            async def tell(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.note(**{"http.route": route(scope)})
                    span.note(**{"http.response.status_code": status}, code=code(scope, message))
                    if status >= 500:
                        span.fail(f"HTTP {status}")
                await send(message)

            return await counted(scope, receive, tell)

    return traced if tracer.on else counted


def note(scope: Scope, refusal: int) -> None:
    """Remember the code of a refusal, which on the api paths is told in the body and not as the HTTP status."""
    scope.setdefault("state", {})["refusal"] = refusal


def route(scope: Scope) -> str:
    return scope.get("path_template") or UNKNOWN


def code(scope: Scope, start: HTTPResponseStartEvent) -> str:
    return str(scope.get("state", {}).get("refusal") or start["status"])


def _carrier(scope: Scope) -> Carrier:
    return {NAMES[name]: value.decode("latin-1") for name, value in scope["headers"] if name in NAMES}

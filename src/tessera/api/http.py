"""Bodies in under a cap, answers out in the family's form."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from litestar import Request, Response
from litestar.exceptions import InternalServerException
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from tessera.contract.envelope import JSON, ok
from tessera.domain.errors import Invalid, Unreadable

HttpRequest = Request[Any, Any, Any]
HttpResponse = Response[bytes]

LINGER = 2.0
"""Seconds for which the rest of a refused body is thrown away before the connection is closed on it."""

BODY_SECONDS = 30.0
BODY_RATE = 4096
"""How long a body may take: so many seconds, and one more for every so many bytes of it that have come."""

NOSNIFF = {"X-Content-Type-Options": "nosniff"}

PRIVATE = {**NOSNIFF, "Cache-Control": "no-store"}
"""Of every answer that no cache on the way may keep: most carry what a key opens, or links that open by themselves."""

UPLOADS = frozenset({"/api/file-base64-upload", "/api/file-stream-upload", "/api/file-url-upload"})


class TooLarge(Invalid):
    """The body is larger than this operation takes; the rest of it is not read."""

    def __init__(self, limit: int, field: str = "body") -> None:
        super().__init__(f"{field}: larger than the {limit} bytes that are allowed", field=field)


class TooSlow(Unreadable):
    """The body comes too slowly; the rest of it is not read."""


def answer(
    body: bytes,
    *,
    status: int = 200,
    media_type: str = JSON,
    headers: Mapping[str, str] | None = None,
    parting: bool = False,
) -> HttpResponse:
    kind = Parting if parting else Answer
    return kind(body, status_code=status, media_type=media_type, headers={**PRIVATE, **(headers or {})})


class Answer(Response[bytes]):
    """A whole answer, its bytes ready, sent as it stands: what the framework would do on the way costs more than it."""

    def to_asgi_response(self, app: Any, request: Any, **more: Any) -> Any:
        return self._send

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", str(self.media_type).encode()), (b"content-length", b"%d" % len(self.content))]
        headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status_code or 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.content, "more_body": False})


class Parting(Answer):
    """An answer in the middle of the request's body, after which the connection is closed.

    A connection closed on bytes that nobody read is reset, and a caller that still sends then never sees the answer.
    So the whole answer goes out at once, what comes in is thrown away for a moment, and only then it ends.
    """

    def to_asgi_response(self, app: Any, request: Any, **more: Any) -> Any:
        self.headers["Connection"] = "close"
        return _lingering(super().to_asgi_response(app, request, **more))


def _lingering(answer: ASGIApp) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def hold(message: Message) -> None:
            await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

        await answer(scope, receive, hold)
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await _discard(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return call


async def _discard(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message["more_body"]:
            return


def success(data: object, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return answer(ok(data), headers=headers)


class Direct:
    """A layer around handlers that take the request alone and answer with an Answer: they are called just so.

    The framework still finds the handler and catches what it raises. What it would do in between, to look up what a
    handler may need and to make a response of what it returned, takes longer than most handlers do.
    """

    def __init__(self, app: ASGIApp) -> None:
        """``app`` is what the framework would do."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request: HttpRequest = Request(scope, receive, send)
        found = await scope["route_handler"].fn(request)
        await found.to_asgi_response(None, request)(scope, receive, send)


def header(request: HttpRequest, name: bytes) -> str | None:
    """The header of this name (in lower case); given twice it is a list, as HTTP has it, and never the first alone."""
    given = [value for known, value in request.scope["headers"] if known == name]
    return b", ".join(given).decode("latin-1") if given else None


async def stream(request: HttpRequest, limit: int, field: str = "body") -> AsyncIterator[bytes]:
    """The body in chunks; TooLarge as soon as it is known to be over ``limit`` bytes, TooSlow for one that trickles."""
    declared = header(request, b"content-length") or ""
    if declared.isdecimal() and int(declared) > limit:
        raise TooLarge(limit, field)
    total, more, began = 0, True, asyncio.get_running_loop().time()
    while more:
        try:
            async with asyncio.timeout_at(began + BODY_SECONDS + total / BODY_RATE):
                message = await request.receive()
        except TimeoutError as error:
            raise TooSlow("The request body did not come in time") from error
        if message["type"] != "http.request":
            raise InternalServerException("the caller went away")
        chunk, more = message.get("body", b""), message.get("more_body", False)
        total += len(chunk)
        if total > limit:
            raise TooLarge(limit, field)
        yield chunk


async def body(request: HttpRequest, limit: int) -> bytes:
    """The whole body, at most ``limit`` bytes. Raises TooLarge."""
    return b"".join([chunk async for chunk in stream(request, limit)])

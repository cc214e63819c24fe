"""Bodies in under a cap, answers out in the family's form."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from litestar import Request, Response

from tessera.contract.envelope import JSON, ok
from tessera.domain.errors import Invalid

HttpRequest = Request[Any, Any, Any]
HttpResponse = Response[bytes]

UPLOADS = frozenset({"/api/file-base64-upload", "/api/file-stream-upload", "/api/file-url-upload"})


class TooLarge(Invalid):
    """The body is larger than this operation takes; the rest of it is not read."""

    def __init__(self, limit: int, field: str = "body") -> None:
        super().__init__(f"{field}: larger than the {limit} bytes that are allowed", field=field)


def answer(
    body: bytes, *, status: int = 200, media_type: str = JSON, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    return Response(body, status_code=status, media_type=media_type, headers=dict(headers or {}))


def success(data: object, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return answer(ok(data), headers=headers)


async def stream(request: HttpRequest, limit: int, field: str = "body") -> AsyncIterator[bytes]:
    """The body in chunks; TooLarge as soon as it is known to be over ``limit`` bytes."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise TooLarge(limit, field)
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limit:
            raise TooLarge(limit, field)
        yield chunk


async def body(request: HttpRequest, limit: int) -> bytes:
    """The whole body, at most ``limit`` bytes. Raises TooLarge."""
    return b"".join([chunk async for chunk in stream(request, limit)])


def one(request: HttpRequest, name: str) -> str:
    """A query parameter that has to be there once. Raises Invalid."""
    values = request.query_params.getall(name, [])
    if len(values) != 1 or not values[0].strip():
        raise Invalid(f"{name}: is required" if not values else f"{name}: has to be given once", field=name)
    return str(values[0].strip())

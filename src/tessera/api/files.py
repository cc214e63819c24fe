"""Serving files: ordinary URLs that live as long as the file, and presigned ones where we are the object server.

Both answer GET and HEAD with ranges and conditional requests, for every origin. A file is shown in place only where its
type is on the short list; a presigned link always downloads.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from litestar import Request, Response, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Stream

from tessera.api.http import NOSNIFF, HttpRequest
from tessera.api.ranges import Unsatisfiable, pick
from tessera.db import assets
from tessera.domain.asset import Asset
from tessera.storage.local import LocalStore
from tessera.storage.names import content_disposition
from tessera.storage.sigv4 import BadSignature, Expired, LinkError
from tessera.storage.sniff import INLINE
from tessera.wiring import BUCKET, House

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range, If-None-Match, If-Modified-Since, If-Range",
    "Access-Control-Max-Age": "86400",
    **NOSNIFF,
}
SAFE = {**NOSNIFF, "Content-Security-Policy": "sandbox; default-src 'none'"}

GONE = "There is no such file, or it is no longer kept"

FileResponse = Response[Any]


class Files:
    def __init__(self, house: House) -> None:
        self.house = house
        # The path of the public URL, which a proxy takes away before the request comes here.
        self._below = urlsplit(house.public_url).path

    async def ordinary(self, request: HttpRequest, token: str, key: str) -> FileResponse:
        asset = await self._asset(key) if self.house.links.check(token, key) else None
        if asset is None:
            return problem(404, "NoSuchKey", "There is no such file")
        return await self._serve(request, asset, attachment=asset.media_type not in INLINE)

    async def presigned(self, request: HttpRequest) -> FileResponse:
        store = self.house.store
        if not isinstance(store, LocalStore):  # the bucket's own host answers its links
            return problem(404, "NoSuchKey", "There is no such file")
        path, query = request.scope["raw_path"].decode("latin-1"), request.scope["query_string"].decode("latin-1")
        # A proxy names us as it likes; who reaches us directly has to use the host that the link was signed for.
        host = store.host if self.house.config.public_url else request.headers.get("host", "").lower()
        try:
            key = self._verified(store, request.method, host, self._below + path, query)
        except Expired:
            return problem(403, "AccessDenied", "Request has expired")
        except LinkError as error:
            return problem(403, "SignatureDoesNotMatch", str(error))
        asset = await self._asset(key)
        if asset is None:
            return problem(404, "NoSuchKey", "There is no such file")
        return await self._serve(request, asset, attachment=True)

    def _verified(self, store: LocalStore, method: str, host: str, path: str, query: str) -> str:
        """The key of a presigned link. Whoever may GET a file may ask for its headers with the same link."""
        now = self.house.clock()
        try:
            return store.verify(method, host, path, query, now)
        except BadSignature:
            if method != HttpMethod.HEAD:
                raise
            return store.verify("GET", host, path, query, now)

    async def _asset(self, key: str) -> Asset | None:
        return (await assets.get_many(self.house.database, [key])).get(key)

    async def _serve(self, request: HttpRequest, asset: Asset, *, attachment: bool) -> FileResponse:
        if asset.purged_at is not None:
            return problem(410, "Gone", "This file was kept as long as promised, and is gone now")
        headers = _headers(asset, attachment=attachment)
        if _unchanged(request.headers, asset):
            return Response(b"", status_code=304, headers=headers)
        try:
            part = pick(request.headers.get("range"), asset.size) if _same(request.headers, asset) else None
        except Unsatisfiable:
            where = {"Content-Range": f"bytes */{asset.size}"}
            return problem(416, "InvalidRange", "The requested range is not satisfiable", where)
        start, end = part or (0, asset.size)
        headers["Content-Length"] = str(end - start)
        if part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{asset.size}"
        status = 206 if part else 200
        if request.method == HttpMethod.HEAD or asset.size == 0:
            return Response(b"", status_code=status, headers=headers, media_type=asset.media_type)
        chunks = await _opened(self.house.store.read(asset.key, start=start, end=end))
        return Stream(chunks, status_code=status, headers=headers, media_type=asset.media_type)


async def _opened(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks, the first of them read: a store that fails does so before the status is sent."""
    first = await anext(chunks, b"")

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return rest()


def _headers(asset: Asset, *, attachment: bool) -> dict[str, str]:
    headers = {
        "Content-Type": asset.media_type,
        "ETag": _etag(asset),
        "Last-Modified": format_datetime(asset.created_at.astimezone(UTC), usegmt=True),
        "Accept-Ranges": "bytes",
        # An upload of the same name replaces the file, so a cache has to ask again.
        "Cache-Control": "private, no-cache",
        **CORS,
        **SAFE,
    }
    if attachment:
        headers["Content-Disposition"] = content_disposition(asset.name)
    return headers


def _etag(asset: Asset) -> str:
    return f'"{asset.sha256}"'


def _unchanged(headers: Mapping[str, str], asset: Asset) -> bool:
    """Whether the caller has this very file already (RFC 9110 §13: If-None-Match goes before If-Modified-Since)."""
    match = headers.get("if-none-match")
    if match is not None:
        tags = [tag.strip().removeprefix("W/") for tag in match.split(",")]
        return "*" in tags or _etag(asset) in tags
    since = _date(headers.get("if-modified-since"))
    return since is not None and asset.created_at.replace(microsecond=0) <= since


def _same(headers: Mapping[str, str], asset: Asset) -> bool:
    """Whether a range may be answered: with If-Range only of the file that the caller has the rest of."""
    condition = headers.get("if-range")
    if condition is None or condition == _etag(asset):
        return True
    date = _date(condition)
    return date is not None and asset.created_at.replace(microsecond=0) == date


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return date.replace(tzinfo=UTC) if date is not None and date.tzinfo is None else date


def problem(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """A refusal as object stores put it."""
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return Response(
        f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'.encode(),
        status_code=status,
        media_type="application/xml",
        headers={**CORS, **SAFE, **(headers or {})},
    )


def routes(house: House) -> list[HTTPRouteHandler]:
    files = Files(house)

    @route("/files/{token:str}/{key:path}", http_method=[HttpMethod.GET, HttpMethod.HEAD])
    async def ordinary(request: Request, token: FromPath[str], key: FromPath[str]) -> FileResponse:  # type: ignore[type-arg]
        return await files.ordinary(request, token, str(key).removeprefix("/"))

    @route(f"/{BUCKET}/{{key:path}}", http_method=[HttpMethod.GET, HttpMethod.HEAD])
    async def presigned(request: Request) -> FileResponse:  # type: ignore[type-arg]
        return await files.presigned(request)

    @route(
        ["/files/{token:str}/{key:path}", f"/{BUCKET}/{{key:path}}"], http_method=HttpMethod.OPTIONS, status_code=204
    )
    async def preflight() -> Response[None]:
        return Response(None, status_code=204, headers=PREFLIGHT)

    return [preflight, ordinary, presigned]

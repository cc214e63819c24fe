"""The three uploads: Base64, multipart stream, by URL. Each is capped while it streams, and ends in our storage."""

import asyncio
import base64
import binascii
import re
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog
from litestar import Request, Response, post, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler

from tessera.api.auth import Keys
from tessera.api.http import NOSNIFF, UPLOADS, HttpRequest, HttpResponse, TooLarge, answer, body, stream
from tessera.api.multipart import Form, receive
from tessera.contract.envelope import UPLOAD_JSON, encode
from tessera.db import assets, pending
from tessera.dialects import files as dialect
from tessera.domain.account import ApiKey
from tessera.domain.asset import Asset, Origin
from tessera.domain.errors import Invalid, NotFound, Refusal
from tessera.kit import clock, outbound
from tessera.storage import blocking, names, sniff
from tessera.storage.base import Blocked
from tessera.storage.ingest import TooLarge as FileTooLarge
from tessera.storage.ingest import WrongType, keep, spool
from tessera.wiring import House

log = structlog.get_logger(__name__)

CORS = {"Access-Control-Allow-Origin": "*"}
PREFLIGHT = {
    **CORS,
    **NOSNIFF,
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
    "Access-Control-Max-Age": "86400",
}
DATA_URL = re.compile(r"^data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*;base64,", re.IGNORECASE)
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
FETCH_SECONDS = 30.0
FORM_OVERHEAD = 64 * 1024
JSON_OVERHEAD = 64 * 1024


class Unfetched(Refusal):
    """The file could not be fetched now; its URL may be good"""


class Uploads:
    def __init__(self, house: House, keys: Keys) -> None:
        self.house = house
        self.keys = keys
        # Each holds a connection while the store renames: however slow that is, most of the pool stays free.
        self._writing = asyncio.Semaphore(max(1, house.config.database_pool // 4))

    async def base64(self, request: HttpRequest) -> HttpResponse:
        key = await self.keys(request)
        cap = self.house.config.base64_max_bytes
        try:
            wire = dialect.base64_body(await body(request, cap * 4 // 3 + JSON_OVERHEAD))
        except TooLarge as error:
            raise TooLarge(cap, "base64Data") from error
        head = DATA_URL.match(wire.base64Data)
        async with self._folder() as folder:
            path = folder / "upload"
            size = await blocking.run(_decode, wire.base64Data[head.end() if head else 0 :], path)
            if size > cap:
                raise Invalid(f"base64Data: the file is larger than {cap:,} bytes", field="base64Data")
            kind = (head["type"] or "") if head else ""
            return await self._keep(key, path, wire.uploadPath, wire.fileName, "", kind)

    async def multipart(self, request: HttpRequest) -> HttpResponse:
        key = await self.keys(request)
        cap = self.house.config.upload_max_bytes
        async with self._folder() as folder:
            chunks, kind = stream(request, cap + FORM_OVERHEAD), request.headers.get("content-type", "")
            try:
                form = await receive(chunks, kind, folder / "upload", file_cap=cap)
            except TooLarge as error:
                raise TooLarge(cap, "file") from error
            path, folder_name, name = _parts(form)
            return await self._keep(key, path, folder_name, name, form.file_name or "", form.media_type or "")

    async def by_url(self, request: HttpRequest) -> HttpResponse:
        key = await self.keys(request)
        wire = dialect.url_body(await body(request, self.house.config.body_max_bytes))
        self.house.check_url("fileUrl", wire.fileUrl)
        async with self._folder() as folder:
            original, declared = await self._fetch(wire.fileUrl, folder / "upload")
            return await self._keep(key, folder / "upload", wire.uploadPath, wire.fileName, original, declared)

    async def _fetch(self, url: str, path: Path) -> tuple[str, str]:
        """The file behind a URL, laid at ``path``; answers its name and its declared type. Ours need no journey."""
        cap = self.house.config.upload_max_bytes
        own = self.house.links.key(url)
        try:
            if own is not None:
                await spool(self.house.store.read(own), path, max_bytes=cap)
                return own.rpartition("/")[2], ""
            got = await self.house.outbound.download(url, path, max_bytes=cap, timeout=FETCH_SECONDS)
        except (outbound.TooLarge, FileTooLarge) as error:
            raise Invalid(f"fileUrl: the file is larger than {cap:,} bytes", field="fileUrl") from error
        except (outbound.Refused, outbound.BadStatus, NotFound) as error:
            raise Invalid(f"fileUrl: the file could not be fetched: {error}", field="fileUrl") from error
        except outbound.OutboundError as error:
            raise Unfetched(f"fileUrl: the file could not be fetched: {error}") from error
        return unquote(urlsplit(got.final_url).path.rsplit("/", 1)[-1]), got.media_type or ""

    async def _keep(
        self, key: ApiKey, path: Path, folder: str, name: str | None, original: str, declared: str
    ) -> HttpResponse:
        """Store the file under its account, folder and name; ``original`` lends a random name its extension."""
        place = names.folder(folder)
        kind = sniff.sniff(await blocking.run(_head, path))
        chosen = names.file_name(name) if name else self._random(original, kind)
        asset = await self._store(key.account_id, f"kieai/{key.account_id}/{place}/{chosen}", path)
        log.info("uploaded", key=asset.key, size=asset.size, declared=declared, media_type=asset.media_type)
        result = dialect.uploaded(
            asset, self.house.link(asset), original or chosen, self.house.config.retention_uploads
        )
        return answer(encode(result), media_type=UPLOAD_JSON, headers=CORS)

    async def _store(self, account_id: str, key: str, path: Path) -> Asset:
        """Store a file and its row under a key, where there may be another.

        The bytes go to a key of their own first, which takes as long as it takes and needs no database connection.
        Then, in one short transaction, they get the key that links name.
        """
        staged = f"incoming/{self.house.ids()}/{key.rpartition('/')[2]}"

        async def note(_: str) -> None:
            # Bytes that a crash leaves without a row are found by it.
            await pending.upload(self.house.database, [staged], self.house.clock())

        try:
            kept = await keep(self.house.store, staged, path, max_bytes=self.house.config.upload_max_bytes, before=note)
        except (FileTooLarge, WrongType) as error:
            raise Invalid(f"file: {error}", field="file") from error
        asset = Asset(
            key=key,
            account_id=account_id,
            origin=Origin.UPLOAD,
            media_type=kept.media_type,
            size=kept.size,
            sha256=kept.sha256,
            created_at=self.house.clock(),
            seconds=kept.seconds,
        )
        try:
            await self._publish(staged, asset)
        except Blocked as error:
            raise _in_the_way(error.at, key) from error
        finally:
            await self._tidy(staged)
        return asset

    async def _publish(self, staged: str, asset: Asset) -> None:
        async with self._writing, self.house.database.transaction() as connection:
            # The same name again replaces bytes and row together, whoever else writes or purges it meanwhile.
            await assets.reserve(connection, asset.key)
            # On a connection of its own, so that it stays where the commit fails. Not any sooner: the upload of this
            # name that was here before us takes with it what is noted of the name.
            await pending.upload(self.house.database, [asset.key], self.house.clock())
            await assets.put(connection, [asset])
            # Last, so that nothing but the commit can fail behind it.
            await self.house.store.rename(staged, asset.key)

    async def _tidy(self, staged: str) -> None:
        """Remove what is left under the first key."""
        try:
            await self.house.store.delete([staged])
            async with self.house.database.transaction() as connection:
                await pending.forget(connection, [staged])
        except Exception as error:  # noqa: BLE001 - the upload is decided already, and a sweep does it in our place
            log.warning("staged upload not removed, a sweep will", key=staged, error=str(error))

    def _random(self, original: str, kind: str) -> str:
        """Milliseconds, hyphen, 11 base-36 characters, extension: the form of the recorded names."""
        tail = "".join(secrets.choice(DIGITS) for _ in range(11))
        suffix = Path(original).suffix.lower()
        known = re.fullmatch(r"\.[a-z0-9]{1,8}", suffix)
        return f"{clock.millis(self.house.clock())}-{tail}{suffix if known else '.' + sniff.extension(kind)}"

    @asynccontextmanager
    async def _folder(self) -> AsyncIterator[Path]:
        folder = await blocking.run(tempfile.TemporaryDirectory, None, "upload-", self.house.scratch)
        try:
            yield Path(folder.name)
        finally:
            await blocking.run(folder.cleanup)


def _in_the_way(at: str, key: str) -> Invalid:
    """A folder store has one thing under a name, a file or a folder. ``at`` is the key of what is there already."""
    name = at.split("/", 2)[2]  # kieai/ACCOUNT/...
    if at == key:
        return Invalid(f"fileName: there is a folder {name} already", field="fileName")
    return Invalid(f"uploadPath: {name} is a file already, and no folder", field="uploadPath")


def _parts(form: Form) -> tuple[Path, str, str | None]:
    if form.path is None:
        raise Invalid("file: is required", field="file")
    if not form.fields.get("uploadPath", "").strip():
        raise Invalid("uploadPath: is required", field="uploadPath")
    return form.path, form.fields["uploadPath"], form.fields.get("fileName") or None


def _decode(text: str, path: Path) -> int:
    """Base64 to a file; white space is allowed between its letters. Raises Invalid in the documented words."""
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("Base64 decoding failed: Invalid Base64 format", field="base64Data") from error
    if not data:
        raise Invalid("Base64 decoding failed: Invalid Base64 format", field="base64Data")
    path.write_bytes(data)
    return len(data)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64 * 1024)


def routes(house: House, keys: Keys) -> list[HTTPRouteHandler]:
    uploads = Uploads(house, keys)

    @post("/api/file-base64-upload", status_code=200)
    async def base64_upload(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await uploads.base64(request)

    @post("/api/file-stream-upload", status_code=200)
    async def stream_upload(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await uploads.multipart(request)

    @post("/api/file-url-upload", status_code=200)
    async def url_upload(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await uploads.by_url(request)

    @route(sorted(UPLOADS), http_method=HttpMethod.OPTIONS, status_code=204)
    async def preflight() -> Response[None]:
        return Response(None, status_code=204, headers=PREFLIGHT)

    return [preflight, base64_upload, stream_upload, url_upload]

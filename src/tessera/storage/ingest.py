"""Files come in: copied under a cap, hashed and recognised on the way, and only then stored.

StorageError
├── TooLarge     more bytes or more pixels than allowed
└── WrongType    not one of the allowed types, or not what its first bytes claim
"""

import io
import secrets
import struct
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Set
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from tinytag import TinyTag

from tessera.domain.errors import InputError, StorageError
from tessera.storage import blocking, sniff
from tessera.storage.base import Store

MAX_PIXELS = 100_000_000
INVALID_IMAGE = "We couldn't process the provided image file (code=invalid_image_format)"

_BLOCK = 1024 * 1024
_KINDS: Mapping[str, Set[str]] = {
    "image": sniff.IMAGES,
    "video": frozenset(kind for kind in sniff.EXTENSIONS if kind.startswith("video/")) | {"image/gif"},
    "audio": frozenset(kind for kind in sniff.EXTENSIONS if kind.startswith(("audio/", "video/"))),
}
_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF"}
# How Pillow refuses a header that makes no sense; where warnings are errors, also by those.
_UNREADABLE = (OSError, ValueError, SyntaxError, struct.error, zlib.error, EOFError, OverflowError, UserWarning)
_TIMED = frozenset(kind for kind in sniff.EXTENSIONS if kind.startswith(("audio/", "video/")))
_LONGEST = 7 * 24 * 3600.0
_MOST_READS = 100_000
_MOST_READ = 256 * _BLOCK
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)


class TooLarge(StorageError):
    """The file is larger than allowed. ``limit`` is in bytes, or in pixels where the picture is what is too large."""

    def __init__(self, message: str, *, limit: int) -> None:
        super().__init__(message)
        self.limit = limit


class WrongType(StorageError):
    """The file is not of an allowed type. ``media_type`` is what it is, as far as its bytes tell."""

    def __init__(self, message: str, *, media_type: str) -> None:
        super().__init__(message)
        self.media_type = media_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """A file that is stored now: ``size`` in bytes, ``sha256`` in hex, ``width`` and ``height`` in pixels.

    ``seconds`` is the length of sound or film, None where its header does not tell.
    """

    key: str
    size: int
    sha256: str
    media_type: str
    width: int | None = None
    height: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """What a file's header says: a picture's size, in pixels, what it is, and how long, in seconds, it plays."""

    width: int | None
    height: int | None
    media_type: str
    seconds: float | None = None


async def ingest(
    store: Store,
    key_base: str,
    source: Path | AsyncIterator[bytes],
    *,
    spool_dir: Path,
    max_bytes: int,
    allowed: Set[str] | None = None,
    max_pixels: int = MAX_PIXELS,
    before: Callable[[str], Awaitable[None]] | None = None,
) -> Ingested:
    """Store a file as ``{key_base}.{extension of what it is}``.

    A stream is spooled to ``spool_dir`` first and its spool file always removed. ``allowed`` are media types, None is
    any. ``before`` hears the key just before anything is stored under it. Raises TooLarge, WrongType (an empty file is
    of no type) and what the store raises; nothing is stored then.
    """
    async with _on_disk(source, spool_dir, max_bytes) as (path, size, digest):
        kind, picture = await blocking.run(_examine, path, allowed, max_pixels)
        key = f"{key_base}.{sniff.extension(kind)}"
        if before is not None:
            await before(key)
        await store.put(key, path, media_type=kind)
    return _ingested(key, size, digest, kind, picture)


async def keep(
    store: Store,
    key: str,
    path: Path,
    *,
    max_bytes: int,
    max_pixels: int = MAX_PIXELS,
    before: Callable[[str], Awaitable[None]] | None = None,
) -> Ingested:
    """Store a file of any type under the very key that is given. ``before`` and errors are as with ``ingest``."""
    size, digest = await blocking.run(_hash, path, max_bytes)
    kind, picture = await blocking.run(_examine, path, None, max_pixels)
    if before is not None:
        await before(key)
    await store.put(key, path, media_type=kind)
    return _ingested(key, size, digest, kind, picture)


async def spool(source: AsyncIterator[bytes], path: Path, *, max_bytes: int) -> int:
    """Write a stream to a new file; answers its size in bytes. Raises TooLarge; the file is the caller's to remove."""
    with await blocking.run(_create, path) as file:
        size, _ = await _spool(source, file, max_bytes)
    return size


def _ingested(key: str, size: int, digest: str, kind: str, picture: Picture | None) -> Ingested:
    return Ingested(
        key=key,
        size=size,
        sha256=digest,
        media_type=kind,
        width=picture.width if picture else None,
        height=picture.height if picture else None,
        seconds=picture.seconds if picture else None,
    )


async def measure(path: Path, kind: str = "image", *, max_pixels: int = MAX_PIXELS) -> Picture:
    """What a file of a kind (``image``, ``video``, ``audio``) is; the size of a picture, from its header.

    InputError where it is none, or a picture of too many pixels. Sound may come in a film's container, and a film may
    be no more than a moving picture.
    """
    try:
        found, picture = await blocking.run(_examine, path, _KINDS[kind], max_pixels)
    except (TooLarge, WrongType) as error:
        if kind == "image":
            raise InputError(INVALID_IMAGE) from error
        raise InputError(f"We couldn't process the provided {kind} file (code=invalid_{kind}_format)") from error
    return picture or Picture(None, None, found)


@asynccontextmanager
async def _on_disk(
    source: Path | AsyncIterator[bytes], spool_dir: Path, max_bytes: int
) -> AsyncIterator[tuple[Path, int, str]]:
    """The source as a file, with its size and hash."""
    if isinstance(source, Path):
        yield source, *await blocking.run(_hash, source, max_bytes)
        return
    path = spool_dir / f"spool-{secrets.token_hex(16)}"
    try:
        with await blocking.run(_create, path) as file:
            size, digest = await _spool(source, file, max_bytes)
        yield path, size, digest
    finally:
        await blocking.run(_remove, path)
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _spool(source: AsyncIterator[bytes], file: BinaryIO, max_bytes: int) -> tuple[int, str]:
    """Copy a stream block by block. No more than the cap and one chunk is ever held or written."""
    digest, size, block = sha256(), 0, bytearray()

    def flush() -> None:
        with _disk():
            file.write(block)
            file.flush()
        digest.update(block)
        block.clear()

    async for chunk in source:
        size += len(chunk)
        _cap(size, max_bytes)
        block += chunk
        if len(block) >= _BLOCK:
            await blocking.run(flush)
    await blocking.run(flush)
    return size, digest.hexdigest()


def _create(path: Path) -> BinaryIO:
    with _disk():
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def _remove(path: Path) -> None:
    # A spool file that stays is waste; it must not cost the outcome.
    with suppress(OSError):
        path.unlink()


def _hash(path: Path, max_bytes: int) -> tuple[int, str]:
    digest, size = sha256(), 0
    with _disk(), path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            size += len(block)
            _cap(size, max_bytes)
            digest.update(block)
    return size, digest.hexdigest()


@contextmanager
def _disk() -> Iterator[None]:
    """Our own disk's errors become ours; a source's errors pass, for they are its owner's to read."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"A file could not be read or spooled ({error.strerror})") from error


def _cap(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise TooLarge(f"The file is larger than {max_bytes:,} bytes", limit=max_bytes)


def _examine(path: Path, allowed: Set[str] | None, max_pixels: int) -> tuple[str, Picture | None]:
    with path.open("rb") as file:
        head = file.read(sniff.HEAD)
    if not head:
        raise WrongType("The file is empty", media_type=sniff.BINARY)
    kind = sniff.sniff(head)
    if allowed is not None and kind not in allowed:
        raise WrongType(f"The file is {kind}; allowed are {', '.join(sorted(allowed))}", media_type=kind)
    if kind in sniff.IMAGES:
        return kind, _picture(path, kind, max_pixels)
    return kind, Picture(None, None, kind, _seconds(path)) if kind in _TIMED else None


class _Brief(io.BufferedReader):
    """A file of which only so much is read as an honest header takes: one of empty boxes can keep its reader busy for
    minutes."""

    left = _MOST_READS
    bytes_left = _MOST_READ

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(_BLOCK if size is None or size < 0 else min(size, 4 * _BLOCK))
        self.left -= 1
        self.bytes_left -= len(data)
        if self.left < 0 or self.bytes_left < 0:
            raise OSError("the header does not end")
        return data


def _seconds(path: Path) -> float | None:
    """How long a recording or a film is by its own header; None where that cannot be told, or makes no sense."""
    try:
        with _Brief(path.open("rb", buffering=0)) as file:
            found = TinyTag.get(file_obj=file, tags=False).duration
    except Exception:  # noqa: BLE001 - a header that makes no sense can break its reader in any way, and is no error
        return None
    return float(found) if found is not None and 0 < found <= _LONGEST else None


def _picture(path: Path, kind: str, max_pixels: int) -> Picture:
    """Read a picture's header. Pillow decodes nothing until it is asked to, and has a cap of its own."""
    try:
        with Image.open(path, formats=[_FORMATS[kind]]) as image:
            width, height = image.size
    except _BOMB as error:
        raise TooLarge(f"The picture has more than {max_pixels:,} pixels", limit=max_pixels) from error
    except _UNREADABLE as error:
        raise WrongType(f"The file begins as {kind} but is not one", media_type=sniff.BINARY) from error
    if width * height > max_pixels:
        raise TooLarge(f"The picture has more than {max_pixels:,} pixels", limit=max_pixels)
    return Picture(width, height, kind)

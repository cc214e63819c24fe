import asyncio
import io
import struct
import threading
import warnings
import zlib
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tessera.domain.errors import InputError, StorageError
from tessera.storage import blocking, ingest, sniff
from tessera.storage.ingest import TooLarge, WrongType
from tessera.storage.local import LocalStore
from tessera.storage.sigv4 import Credentials

PAGE = b"<!DOCTYPE html><html><script>alert(1)</script></html>"


def picture(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "teal").save(out, kind)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *, before: bytes = b"") -> bytes:
    """A PNG with a true header and nearly no data behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + body


def box(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0isommp42" + bytes(64)


def ebml(kind: bytes) -> bytes:
    return b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82" + bytes([0x80 | len(kind)]) + kind + bytes(64)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (picture("PNG"), "image/png"),
        (picture("JPEG"), "image/jpeg"),
        (picture("WEBP"), "image/webp"),
        (picture("GIF"), "image/gif"),
        (b"\xff\xd8\xff\xe1" + bytes(60), "image/jpeg"),
        (box(b"isom"), "video/mp4"),
        (box(b"mp42"), "video/mp4"),
        (box(b"iso6"), "video/mp4"),
        (box(b"M4V "), "video/mp4"),
        (box(b"qt  "), "video/quicktime"),
        (box(b"M4A "), "audio/mp4"),
        (box(b"avif"), "application/octet-stream"),
        (ebml(b"webm"), "video/webm"),
        (ebml(b"matroska"), "application/octet-stream"),
        (b"ID3\x04\0\0" + bytes(60), "audio/mpeg"),
        (b"\xff\xfb\x90\x64" + bytes(60), "audio/mpeg"),
        (b"\xff\xf3\x44\xc4" + bytes(60), "audio/mpeg"),
        (b"\xff\xfb\xf0\x64" + bytes(60), "application/octet-stream"),
        (b"\xff\xfe" + "text".encode("utf-16-le"), "application/octet-stream"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(60), "audio/wav"),
        (b"RIFF\x24\0\0\0AVI LIST" + bytes(60), "application/octet-stream"),
        (b"OggS\0\x02" + bytes(60), "audio/ogg"),
        (b"fLaC\0\0\0\x22" + bytes(60), "audio/flac"),
        (b"%PDF-1.7\n" + bytes(60), "application/pdf"),
        (b"PK\x03\x04" + bytes(60), "application/zip"),
        (b"PK\x05\x06" + bytes(18), "application/zip"),
        (b"hello there", "text/plain"),
        ("Grüße, 日本\r\n\t1 < 2".encode(), "text/plain"),
        (("é" * sniff.HEAD).encode()[: sniff.HEAD], "text/plain"),
        (b"a" + ("é" * sniff.HEAD).encode()[: sniff.HEAD - 1], "text/plain"),
        ("é".encode()[:1], "application/octet-stream"),
        (b"hello\0", "application/octet-stream"),
        (b"\x1b[31mred", "application/octet-stream"),
        (b"", "application/octet-stream"),
        (b"\x7fELF" + bytes(60), "application/octet-stream"),
        (b"MZ" + bytes(60), "application/octet-stream"),
    ],
)
def test_a_file_is_what_its_first_bytes_say(head: bytes, media_type: str) -> None:
    assert sniff.sniff(head[: sniff.HEAD]) == media_type


@pytest.mark.parametrize(
    "head",
    [
        PAGE,
        b"  \n" + PAGE,
        b"\xef\xbb\xbf" + PAGE,
        b"<!-- x --><b>",
        b"<?xml version='1.0'?><a/>",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<SVG/onload=alert(1)>",
        b"GIF89a" + PAGE,
        b"GIF89a/*" + bytes(20) + PAGE,
        b"\xff\xd8\xff\xfe\0\x50" + PAGE,
        b"\xff\xd8\xff" + PAGE,
        b"\x89PNG\r\n\x1a\n" + PAGE,
        png(1, 1)[:33] + PAGE,
        b"RIFF\x24\0\0\0WEBPVP8 " + PAGE,
        b"RIFF\x24\0\0\0WAVE" + PAGE,
        b"ID3" + PAGE,
        b"OggS\0" + PAGE,
        box(b"isom") + PAGE,
        ebml(b"webm") + PAGE,
        b"%PDF-1.7\n" + PAGE,
    ],
)
def test_a_page_is_never_shown_in_place(head: bytes) -> None:
    assert sniff.sniff(head) not in sniff.INLINE


def test_a_prompt_inside_a_picture_does_no_harm() -> None:
    assert sniff.sniff(png(1, 1, before=chunk(b"tEXt", b"prompt\0a page with <html> and <svg>"))) == "image/png"


@given(st.binary(max_size=200))
def test_any_bytes_have_a_known_type(head: bytes) -> None:
    assert sniff.sniff(head) in sniff.EXTENSIONS


def test_only_pictures_sound_and_video_are_shown_in_place() -> None:
    assert {kind.split("/")[0] for kind in sniff.INLINE} == {"image", "video", "audio"}
    assert "image/svg+xml" not in sniff.INLINE


@pytest.mark.parametrize("kind", sniff.EXTENSIONS)
def test_an_extension_leads_back_to_its_type(kind: str) -> None:
    assert sniff.media_type(f"a.b.{sniff.extension(kind).upper()}") == kind


@pytest.mark.parametrize("name", ["", "png", "a.html", "a.svg", "a.", "a.exe"])
def test_an_unknown_extension_is_binary(name: str) -> None:
    assert sniff.media_type(name) in {sniff.BINARY} | ({"image/png"} if name == "png" else set())


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "objects", public_url="http://h", credentials=Credentials("KEY", "secret"))


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


async def take(
    store: LocalStore,
    tmp_path: Path,
    source: Path | AsyncIterator[bytes],
    *,
    max_bytes: int = 10_000_000,
    allowed: frozenset[str] | None = None,
) -> ingest.Ingested:
    return await ingest.ingest(
        store, "out/0", source, spool_dir=tmp_path / "spool", max_bytes=max_bytes, allowed=allowed
    )


def left(tmp_path: Path) -> Iterator[Path]:
    """Files in the spool and in the store."""
    return (path for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(("kind", "end"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif")])
async def test_a_streamed_picture_is_stored_measured_and_hashed(
    store: LocalStore, tmp_path: Path, kind: str, end: str
) -> None:
    data = picture(kind)
    taken = await take(store, tmp_path, stream(data[:10], b"", data[10:]))
    assert taken.key == f"out/0.{end}"
    assert (taken.width, taken.height, taken.media_type) == (40, 30, f"image/{kind.lower()}")
    assert (taken.size, taken.sha256) == (len(data), sha256(data).hexdigest())
    assert b"".join([part async for part in store.read(taken.key)]) == data
    assert [path.name for path in left(tmp_path)] == [f"0.{end}"]


async def test_a_file_on_disk_is_stored_and_left_where_it_is(store: LocalStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"ID3\x04" + bytes(5_000_000))
    taken = await take(store, tmp_path, source)
    assert (taken.key, taken.media_type, taken.width) == ("out/0.mp3", "audio/mpeg", None)
    assert taken.sha256 == sha256(source.read_bytes()).hexdigest()
    assert (await store.stat(taken.key)).size == taken.size == 5_000_004


async def test_a_stream_of_many_megabytes_is_hashed_right(store: LocalStore, tmp_path: Path) -> None:
    parts = [bytes([number]) * 700_001 for number in range(9)]
    taken = await take(store, tmp_path, stream(*parts))
    assert taken.sha256 == sha256(b"".join(parts)).hexdigest()
    assert (await store.stat(taken.key)).size == taken.size == 9 * 700_001


async def test_a_stream_over_the_cap_is_cut_off_at_once(store: LocalStore, tmp_path: Path) -> None:
    sent = 0
    closed = False

    async def long() -> AsyncIterator[bytes]:
        nonlocal sent, closed
        try:
            for _ in range(1000):
                sent += 1000
                yield bytes(1000)
        finally:
            closed = True

    with pytest.raises(TooLarge) as caught:
        await take(store, tmp_path, long(), max_bytes=50_500)
    assert caught.value.limit == 50_500
    assert sent == 51_000
    assert closed
    assert not list(left(tmp_path))


async def test_a_stream_of_exactly_the_cap_is_taken(store: LocalStore, tmp_path: Path) -> None:
    assert (await take(store, tmp_path, stream(b"x" * 100), max_bytes=100)).size == 100


async def test_a_file_over_the_cap_is_refused(store: LocalStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(101))
    with pytest.raises(TooLarge):
        await take(store, tmp_path, source, max_bytes=100)


@pytest.mark.parametrize(
    "data",
    [
        PAGE,
        b"",
        b"hello",
        b"GIF89a" + PAGE,
        picture("PNG")[:20],
        b"\xff\xd8\xff\xe0" + bytes(50),
        b"RIFF\0\0\0\0WEBPVP8 ",
    ],
)
async def test_what_is_no_picture_is_not_stored_as_one(store: LocalStore, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(WrongType):
        await take(store, tmp_path, stream(data), allowed=sniff.IMAGES)
    assert not list(left(tmp_path))


async def test_a_source_that_breaks_leaves_nothing_behind(store: LocalStore, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield picture("PNG")
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await take(store, tmp_path, broken())
    assert not list(left(tmp_path))


async def test_a_cancelled_ingest_leaves_nothing_behind(store: LocalStore, tmp_path: Path) -> None:
    waiting = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield bytes(3_000_000)
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(take(store, tmp_path, stuck()))
    await waiting.wait()
    assert len(list((tmp_path / "spool").iterdir())) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(left(tmp_path))


async def test_a_spool_that_cannot_be_written_is_our_storage_failing(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"a file where the folder should be")
    with pytest.raises(StorageError):
        await take(store, tmp_path, stream(b"x"))


async def test_a_cancelled_call_is_waited_for() -> None:
    begun, ended = asyncio.Event(), False
    loop = asyncio.get_running_loop()
    release = threading.Event()

    def slow() -> None:
        nonlocal ended
        loop.call_soon_threadsafe(begun.set)
        release.wait(5)
        ended = True

    task = asyncio.create_task(blocking.run(slow))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended


@pytest.mark.parametrize("size", [(50_000, 50_000), (15_000, 10_000), (2**31 - 1, 2**31 - 1)])
async def test_a_picture_of_too_many_pixels_is_refused_by_its_header(
    store: LocalStore, tmp_path: Path, size: tuple[int, int]
) -> None:
    source = tmp_path / "bomb.png"
    source.write_bytes(png(*size))
    with warnings.catch_warnings():
        # As in production, where Pillow's warning is no error and our own cap has to hold.
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match="invalid_image_format"):
            await ingest.measure(source)
        with pytest.raises(TooLarge) as caught:
            await take(store, tmp_path, source)
    assert caught.value.limit == ingest.MAX_PIXELS


async def test_a_picture_within_the_pixel_cap_is_measured(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(png(9000, 9000))
    assert await ingest.measure(source) == ingest.Picture(9000, 9000, "image/png")
    with pytest.raises(InputError):
        await ingest.measure(source, max_pixels=9000 * 9000 - 1)


@pytest.mark.parametrize("data", [b"", b"hello", PAGE, b"%PDF-1.7", b"GIF89a" + PAGE, b"\x89PNG\r\n\x1a\n"])
async def test_what_is_no_picture_is_named_as_an_invalid_image(tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(data)
    with pytest.raises(InputError) as caught:
        await ingest.measure(source)
    assert str(caught.value) == "We couldn't process the provided image file (code=invalid_image_format)"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    data=st.sampled_from([picture(kind) for kind in ("PNG", "JPEG", "WEBP", "GIF")]),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    end=st.integers(0, 2000),
)
def test_a_damaged_picture_is_measured_or_refused_and_never_an_accident(
    tmp_path: Path, data: bytes, edits: list[tuple[int, int]], end: int
) -> None:
    damaged = bytearray(data[:end])
    for place, value in edits:
        if place < len(damaged):
            damaged[place] = value
    source = tmp_path / "damaged"
    source.write_bytes(damaged)
    try:
        found = asyncio.run(ingest.measure(source))
    except InputError:
        return
    assert 0 < (found.width or 0) * (found.height or 0) <= ingest.MAX_PIXELS

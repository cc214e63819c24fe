"""How long a file plays is read from its header when it comes in: what is paid by the second is counted by it."""

from pathlib import Path

import pytest
from tests.unit import lengths

from tessera.providers.fake import png
from tessera.storage import ingest
from tessera.storage.local import LocalStore
from tessera.storage.sigv4 import Credentials


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store", public_url="http://h", credentials=Credentials("KEY", "secret"))


async def seconds(store: LocalStore, path: Path, data: bytes) -> float | None:
    """The length as it is told by both ways in, and when a file is only looked at."""
    path.write_bytes(data)
    one = await ingest.ingest(store, "s/a", path, spool_dir=path.parent, max_bytes=10**9)
    other = await ingest.keep(store, "u/a", path, max_bytes=10**9)
    assert one.seconds == other.seconds
    return one.seconds


@pytest.mark.parametrize(
    "data",
    [
        lengths.film(12.5),
        lengths.film(12.5, b"qt  "),
        lengths.film(12.5, b"M4A "),
        lengths.wav(12.5),
        lengths.flac(12.5),
        lengths.mp3(12.5),
        lengths.ogg(12.5),
    ],
    ids=["mp4", "mov", "m4a", "wav", "flac", "mp3", "ogg"],
)
async def test_the_length_of_a_film_or_a_recording_is_known_once_it_is_stored(
    store: LocalStore, tmp_path: Path, data: bytes
) -> None:
    assert await seconds(store, tmp_path / "a", data) == pytest.approx(12.5, abs=0.05)


EMPTY_BOX = lengths.box(b"free", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"Hello there",
        lengths.film(0),
        lengths.film(8 * 24 * 3600, scale=1),
        lengths.film(12.5)[:40],
        lengths.box(b"ftyp", b"isom\0\0\0\0") + bytes(64),
        b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm" + bytes(64),
        b"OggS" + bytes(64),
        b"RIFF\0\0\0\0WAVEfmt ",
        b"fLaC" + bytes(2),
        lengths.box(b"ftyp", b"isom\0\0\0\0") + EMPTY_BOX * 300_000 + lengths.film(5)[16:],
    ],
    ids=["text", "none", "endless", "cut", "zeros", "webm", "ogg", "wav", "flac", "boxes"],
)
async def test_a_header_that_does_not_tell_or_has_no_end_is_no_length_and_no_error(
    store: LocalStore, tmp_path: Path, data: bytes
) -> None:
    assert await seconds(store, tmp_path / "a", data) is None


async def test_a_picture_has_no_length(store: LocalStore, tmp_path: Path) -> None:
    assert await seconds(store, tmp_path / "a", png(16, 16)) is None

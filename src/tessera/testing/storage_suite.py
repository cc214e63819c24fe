"""What every object store promises. Inherit, and give the fixture ``store``."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from tessera.domain.errors import NotFound, StorageError
from tessera.storage.base import Store, Undeleted

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
LARGE = 30 * 1024 * 1024

UNSAFE_KEYS = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    "..",
    "../a",
    "a/../b",
    "a/..",
    ".",
    "a/./b",
    ".hidden/a",
    "a\\b",
    "..\\a",
    "a\0b",
    "a\nb",
    "a/\x7f",
    "a/\udcff",
    "a" * 256,
    "/".join(["a" * 200] * 6),
]

USUAL_KEYS = [
    "a.txt",
    "outputs/2026/01/task/0.txt",
    "日本語/ünï cödé.txt",
    "a+b&c=d;e,f@g$h!i~j'(k)*.txt",
    "per%20cent%2F.txt",
    "question?and#hash.txt",
    "palette 🎨/x.txt",
]


async def collect(store: Store, key: str, *, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.read(key, start=start, end=end)])


class StorageSuite:
    """Tests for an implementation of ``tessera.storage.base.Store``; each gets an empty store of its own."""

    @pytest.fixture
    def store(self) -> Store:
        pytest.fail("Override the fixture `store` with the store to be tested")

    @pytest.fixture
    def text(self, tmp_path: Path) -> Path:
        path = tmp_path / "source.txt"
        path.write_bytes(b"0123456789")
        return path

    async def test_what_was_put_is_read_again(self, store: Store, text: Path) -> None:
        put = await store.put("a/b.txt", text, media_type="text/plain")
        assert await collect(store, "a/b.txt") == b"0123456789"
        assert text.exists()
        stat = await store.stat("a/b.txt")
        assert (stat.size, stat.media_type, stat.etag) == (put.size, put.media_type, put.etag)
        assert (stat.size, stat.media_type) == (10, "text/plain")
        assert stat.etag.startswith('"') and stat.etag.endswith('"') and len(stat.etag) > 2
        for moment in (put.modified_at, stat.modified_at):
            assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)

    @pytest.mark.parametrize(
        ("content", "name", "media_type"),
        [
            (PNG + bytes(17), "x.png", "image/png"),
            (b"ID3\x04" + bytes(60), "x.mp3", "audio/mpeg"),
            (bytes(range(256)), "x.bin", "application/octet-stream"),
        ],
    )
    async def test_the_media_type_is_remembered(
        self, store: Store, tmp_path: Path, content: bytes, name: str, media_type: str
    ) -> None:
        source = tmp_path / "source"
        source.write_bytes(content)
        await store.put(name, source, media_type=media_type)
        assert (await store.stat(name)).media_type == media_type

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            (0, None, b"0123456789"),
            (0, 1, b"0"),
            (3, 7, b"3456"),
            (5, None, b"56789"),
            (9, 10, b"9"),
            (0, 10, b"0123456789"),
            (4, 100, b"456789"),
            (4, 4, b""),
            (10, None, b""),
            (10, 12, b""),
            (50, 60, b""),
        ],
    )
    async def test_a_range_is_clipped_to_the_object(
        self, store: Store, text: Path, start: int, end: int | None, expected: bytes
    ) -> None:
        await store.put("a.txt", text, media_type="text/plain")
        assert await collect(store, "a.txt", start=start, end=end) == expected

    async def test_an_empty_file_is_an_object_too(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        assert (await store.put("empty.bin", tmp_path / "empty", media_type="application/octet-stream")).size == 0
        assert (await store.stat("empty.bin")).size == 0
        assert await collect(store, "empty.bin") == b""

    async def test_a_second_put_replaces_the_first(self, store: Store, text: Path) -> None:
        first = await store.put("a.txt", text, media_type="text/plain")
        text.write_bytes(b"other")
        second = await store.put("a.txt", text, media_type="text/plain")
        assert await collect(store, "a.txt") == b"other"
        assert second.size == 5
        assert second.etag != first.etag

    async def test_a_missing_key_is_not_found(self, store: Store, text: Path) -> None:
        await store.put("folder/a.txt", text, media_type="text/plain")
        for key in ("nothing.txt", "folder/nothing.txt", "folder", "folder/a.txt/b"):
            with pytest.raises(NotFound):
                await store.stat(key)
            with pytest.raises(NotFound):
                await collect(store, key)
            with pytest.raises(NotFound):
                await collect(store, key, start=3)

    async def test_a_missing_source_stores_nothing(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(StorageError):
            await store.put("a.txt", tmp_path / "nothing", media_type="text/plain")
        with pytest.raises(NotFound):
            await store.stat("a.txt")

    async def test_deleting_can_be_repeated(self, store: Store, text: Path) -> None:
        for key in ("a.txt", "b/c.txt", "keep.txt"):
            await store.put(key, text, media_type="text/plain")
        for _ in range(2):
            await store.delete(["a.txt", "b/c.txt", "never/was.txt"])
        await store.delete([])
        for key in ("a.txt", "b/c.txt"):
            with pytest.raises(NotFound):
                await store.stat(key)
        assert await collect(store, "keep.txt") == b"0123456789"

    async def test_what_cannot_be_deleted_does_not_save_the_others(self, store: Store, text: Path) -> None:
        for key in ("a.txt", "b/c.txt"):
            await store.put(key, text, media_type="text/plain")
        with pytest.raises(Undeleted) as caught:
            await store.delete(["a.txt", "../x", "b/c.txt"])
        assert set(caught.value.reasons) == {"../x"}
        for key in ("a.txt", "b/c.txt"):
            with pytest.raises(NotFound):
                await store.stat(key)

    async def test_an_object_gets_another_key_and_replaces_what_was_there(
        self, store: Store, text: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        other.write_bytes(b"the old one, which is longer")
        await store.put("to/ü b.txt", other, media_type="text/plain")
        await store.put("from/a.txt", text, media_type="text/plain")
        await store.rename("from/a.txt", "to/ü b.txt")
        assert await collect(store, "to/ü b.txt") == b"0123456789"
        assert (await store.stat("to/ü b.txt")).media_type == "text/plain"
        await store.delete(["from/a.txt"])
        assert await collect(store, "to/ü b.txt") == b"0123456789"

    async def test_what_is_not_there_gets_no_other_key(self, store: Store, text: Path) -> None:
        await store.put("a.txt", text, media_type="text/plain")
        with pytest.raises(NotFound):
            await store.rename("never/was.txt", "a.txt")
        assert await collect(store, "a.txt") == b"0123456789"
        for keys in (("../a", "b"), ("a.txt", "../b")):
            with pytest.raises(StorageError):
                await store.rename(*keys)

    async def test_a_large_file_travels_in_small_chunks(self, store: Store, tmp_path: Path) -> None:
        block = os.urandom(1024 * 1024)
        source = tmp_path / "large"
        source.write_bytes(block * (LARGE // len(block)))
        assert (await store.put("large.bin", source, media_type="application/octet-stream")).size == LARGE
        digest, largest = sha256(), 0
        async for chunk in store.read("large.bin"):
            digest.update(chunk)
            largest = max(largest, len(chunk))
        assert digest.digest() == sha256(source.read_bytes()).digest()
        assert largest <= len(block)
        middle = len(block) * 3 - 5
        assert await collect(store, "large.bin", start=middle, end=middle + 10) == block[-5:] + block[:5]

    async def test_a_reader_may_leave_early(self, store: Store, text: Path) -> None:
        await store.put("a.txt", text, media_type="text/plain")
        reader = store.read("a.txt")
        assert (await anext(reader))[:1] == b"0"
        await reader.aclose()  # type: ignore[attr-defined]
        await store.delete(["a.txt"])

    @pytest.mark.parametrize("key", USUAL_KEYS)
    async def test_keys_may_hold_any_visible_character(self, store: Store, text: Path, key: str) -> None:
        await store.put(key, text, media_type="text/plain")
        assert await collect(store, key) == b"0123456789"
        await store.delete([key])
        with pytest.raises(NotFound):
            await store.stat(key)

    @pytest.mark.parametrize("key", UNSAFE_KEYS)
    async def test_a_key_that_is_no_safe_path_is_refused(self, store: Store, text: Path, key: str) -> None:
        with pytest.raises(StorageError):
            await store.put(key, text, media_type="text/plain")
        with pytest.raises(StorageError):
            await store.stat(key)
        with pytest.raises(StorageError):
            await collect(store, key)
        with pytest.raises(StorageError):
            await store.delete([key])
        with pytest.raises(StorageError):
            store.sign(key, expires=timedelta(minutes=20), now=datetime.now(UTC))

    async def test_puts_at_the_same_moment_do_not_mix(self, store: Store, tmp_path: Path) -> None:
        sources = []
        for number in range(6):
            source = tmp_path / str(number)
            source.write_bytes(bytes([number]) * 100_000)
            sources.append(source)
        await asyncio.gather(
            *(store.put(f"own/{source.name}.bin", source, media_type="application/octet-stream") for source in sources),
            *(store.put("shared.bin", source, media_type="application/octet-stream") for source in sources[:3]),
        )
        for source in sources:
            assert await collect(store, f"own/{source.name}.bin") == source.read_bytes()
        assert await collect(store, "shared.bin") in [source.read_bytes() for source in sources[:3]]

    async def test_a_link_has_the_form_that_clients_know(self, store: Store) -> None:
        now = datetime.now(UTC)
        url = urlsplit(store.sign("a/日本 é.png", expires=timedelta(seconds=1200), now=now))
        params = dict(parse_qsl(url.query, strict_parsing=True))
        assert unquote(url.path).endswith("/a/日本 é.png")
        assert list(params) == [
            "X-Amz-Algorithm",
            "X-Amz-Date",
            "X-Amz-SignedHeaders",
            "X-Amz-Expires",
            "X-Amz-Credential",
            "X-Amz-Signature",
        ]
        assert params["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
        assert (params["X-Amz-Expires"], params["X-Amz-SignedHeaders"]) == ("1200", "host")
        assert abs(datetime.fromisoformat(params["X-Amz-Date"]) - now) < timedelta(minutes=1)
        assert params["X-Amz-Credential"].endswith("/s3/aws4_request")
        assert "%2F" in url.query
        assert len(params["X-Amz-Signature"]) == 64

    async def test_a_check_can_be_repeated(self, store: Store) -> None:
        await store.check()
        await store.check()

"""Stores against what they stand on: a real folder, and a real S3 server."""

import asyncio
import os
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import botocore.config
import botocore.session
import obstore
import pytest
from aiohttp import web
from obstore.exceptions import GenericError, PermissionDeniedError

from tessera.domain.errors import NotFound, StorageError
from tessera.storage import s3, sigv4
from tessera.storage.base import Blocked, Store, Undeleted
from tessera.storage.local import LocalStore
from tessera.storage.s3 import S3Store
from tessera.storage.sigv4 import BadSignature, Credentials, Expired, ForeignCredential, LinkError, Malformed
from tessera.testing.s3_server import S3Server, serve
from tessera.testing.storage_suite import StorageSuite, collect

KEYS = Credentials("TESSERALOCALKEY", "a/secret+with=odd signs")
PUBLIC = "http://files.example.org:8080"
TWENTY = timedelta(seconds=1200)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serve(tmp_path_factory.mktemp("s3")) as running:
        yield running


def bucket(server: S3Server, **changed: Any) -> S3Store:
    arguments: dict[str, Any] = {
        "endpoint": server.endpoint,
        "region": "auto",
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
    }
    return S3Store(changed.pop("bucket", server.bucket), **(arguments | changed))


def local(root: Path, **changed: Any) -> LocalStore:
    arguments: dict[str, Any] = {"public_url": PUBLIC, "credentials": KEYS}
    return LocalStore(root, **(arguments | changed))


def fetch(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """GET a URL as it is written, with no library between that would spell it anew."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def source(tmp_path: Path, content: bytes = b"0123456789") -> Path:
    path = tmp_path / "source"
    path.write_bytes(content)
    return path


class TestLocalStore(StorageSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return local(tmp_path / "objects")


class TestS3Store(StorageSuite):
    @pytest.fixture
    def store(self, server: S3Server, request: pytest.FixtureRequest) -> Store:
        # A name is long and odd here, which a prefix must stand, too.
        return bucket(server, prefix=f"t{abs(hash(request.node.nodeid)):x}/ü b")


async def test_a_put_that_fails_leaves_the_old_object_and_no_rest(tmp_path: Path) -> None:
    store = local(tmp_path / "objects")
    await store.put("a.txt", source(tmp_path), media_type="text/plain")
    with pytest.raises(StorageError):
        await store.put("a.txt", tmp_path / "objects", media_type="text/plain")
    with pytest.raises(StorageError):
        await store.put("a.txt/b.txt", source(tmp_path), media_type="text/plain")
    assert await collect(store, "a.txt") == b"0123456789"
    assert [path.name for path in (tmp_path / "objects").rglob("*") if path.is_file()] == ["a.txt"]


async def test_a_put_is_synced_before_it_is_seen_and_its_folders_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "objects"
    seen: list[tuple[str, bool]] = []
    fsync = os.fsync

    def watch(number: int) -> None:
        seen.append((Path(f"/proc/self/fd/{number}").resolve().name, (root / "a/b/c.txt").exists()))
        fsync(number)

    monkeypatch.setattr(os, "fsync", watch)
    await local(root).put("a/b/c.txt", source(tmp_path), media_type="text/plain")
    staged, *folders = seen
    assert staged[1] is False
    assert folders == [("b", True), ("a", True), ("objects", True)]


async def test_a_folder_goes_with_its_last_file_and_its_name_is_free_then(tmp_path: Path) -> None:
    store = local(tmp_path / "objects")
    for key in ("p/q/a.txt", "p/b.txt"):
        await store.put(key, source(tmp_path), media_type="text/plain")
    await store.delete(["p/q/a.txt"])
    assert {path.name for path in (tmp_path / "objects/p").iterdir()} == {"b.txt"}
    await store.put("p/q", source(tmp_path), media_type="text/plain")
    await store.delete(["p/q", "p/b.txt"])
    assert {path.name for path in (tmp_path / "objects").iterdir()} == {".staging"}


async def test_an_empty_folder_of_an_older_version_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "p/q/r").mkdir(parents=True)
    await local(tmp_path).put("p/q", source(tmp_path), media_type="text/plain")
    assert (tmp_path / "p/q").is_file()


@pytest.mark.parametrize(("first", "then"), [("p/x", "p/x/y"), ("p/x", "p/x/y/z"), ("p/x/y", "p/x")])
async def test_what_is_in_the_way_is_named(tmp_path: Path, first: str, then: str) -> None:
    store = local(tmp_path / "objects")
    for key in (first, "incoming/1"):
        await store.put(key, source(tmp_path), media_type="text/plain")
    for doing in (store.put(then, source(tmp_path), media_type="text/plain"), store.rename("incoming/1", then)):
        with pytest.raises(Blocked) as caught:
            await doing
        assert caught.value.at == "p/x"
    assert await collect(store, first) == b"0123456789"


async def test_folders_that_are_emptied_and_filled_at_once_lose_nothing(tmp_path: Path) -> None:
    store, text = local(tmp_path / "objects"), source(tmp_path)

    async def comes_and_goes(number: int) -> None:
        for _ in range(10):
            await store.put(f"p/q/{number}", text, media_type="text/plain")
            assert await collect(store, f"p/q/{number}") == b"0123456789"
            await store.delete([f"p/q/{number}"])

    await asyncio.gather(*(comes_and_goes(number) for number in range(6)))
    assert {path.name for path in (tmp_path / "objects").iterdir()} == {".staging"}


async def test_one_file_that_cannot_be_removed_is_named_and_the_others_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, unlink = local(tmp_path / "objects"), Path.unlink
    for key in ("a", "b", "c"):
        await store.put(key, source(tmp_path), media_type="text/plain")

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "b":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(Undeleted) as caught:
        await store.delete(["a", "b", "c"])
    assert caught.value.reasons == {"b": "Permission denied"}
    assert {path.name for path in (tmp_path / "objects").iterdir()} == {".staging", "b"}


async def test_of_a_bucket_too_the_others_go(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, delete = bucket(server, prefix="held"), obstore.delete_async
    for key in ("a", "b", "c"):
        await store.put(key, source(tmp_path), media_type="text/plain")

    async def refuse(where: Any, paths: Any) -> None:
        if "b" in paths:
            raise PermissionDeniedError("object lock")
        await delete(where, paths)

    monkeypatch.setattr(obstore, "delete_async", refuse)
    with pytest.raises(Undeleted) as caught:
        await store.delete(["a", "b", "c"])
    assert set(caught.value.reasons) == {"b"}
    assert await collect(store, "b") == b"0123456789"
    for key in ("a", "c"):
        with pytest.raises(NotFound):
            await store.stat(key)


async def test_what_is_too_large_to_be_copied_by_the_bucket_gets_its_key_all_the_same(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> None:
        raise GenericError("InvalidRequest")

    store = bucket(server, prefix="large")
    await store.put("a.png", source(tmp_path), media_type="image/png")
    monkeypatch.setattr(obstore, "copy_async", refuse)
    with pytest.raises(StorageError):
        await store.rename("a.png", "b.png")
    monkeypatch.setattr(s3, "_COPYABLE", 9)
    await store.rename("a.png", "b.png")
    assert await collect(store, "b.png") == b"0123456789"
    assert (await store.stat("b.png")).media_type == "image/png"


async def test_a_check_sweeps_what_crashed_puts_left(tmp_path: Path) -> None:
    store = local(tmp_path)
    await store.check()
    old, new = tmp_path / ".staging/old", tmp_path / ".staging/new"
    for path in (old, new):
        path.touch()
    os.utime(old, (time.time() - 100_000,) * 2)
    await store.check()
    assert not old.exists()
    assert new.exists()


async def test_a_check_says_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        await local(source(tmp_path)).check()


async def test_a_symbolic_name_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_bytes(b"secret")
    store = local(tmp_path / "objects")
    for key in ("../secret.txt", "a/../../secret.txt", str(tmp_path / "secret.txt")):
        with pytest.raises(StorageError):
            await collect(store, key)


@pytest.mark.parametrize("key", ["a.png", "outputs/ü b/日本+é&c=d~(1)'*!.png", "per%20cent.png"])
@pytest.mark.parametrize("public_url", [PUBLIC, "https://Example.org:443/", "http://127.0.0.1:8000/sub/path"])
def test_our_link_leads_back_to_its_key(tmp_path: Path, key: str, public_url: str) -> None:
    store = local(tmp_path, public_url=public_url)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    url = urlsplit(store.sign(key, expires=TWENTY, now=now))
    assert url.netloc == store.host
    assert store.verify("GET", store.host, url.path, url.query, now) == key
    with pytest.raises(Expired):
        store.verify("GET", store.host, url.path, url.query, now + timedelta(seconds=1201))


@pytest.mark.parametrize(
    "path",
    [
        "/tessera/",
        "/tessera",
        "/",
        "/other/a.png",
        "/tessera/../other/a.png",
        "/tessera//a.png",
        "/tessera/.staging/a",
        "/tessera/a\\b",
        "/tessera/a\0b",
        "/tesserax/a.png",
    ],
)
def test_a_genuine_link_to_what_is_no_object_is_refused(tmp_path: Path, path: str) -> None:
    store, now = local(tmp_path), datetime.now(UTC)
    url = urlsplit(sigv4.sign(PUBLIC, path, KEYS, region="local", expires=TWENTY, now=now))
    with pytest.raises(Malformed):
        store.verify("GET", store.host, url.path, url.query, now)


class Foreign:
    """Links for our local store that somebody else's signer made."""

    def __init__(self, endpoint: str = PUBLIC, keys: Credentials = KEYS, region: str = "local") -> None:
        self.client = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key,
            config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    def link(self, key: str = "a/ü b+c.png", *, operation: str = "get_object", expires: int = 1200, **more: str) -> str:
        url: str = self.client.generate_presigned_url(
            operation, Params={"Bucket": "tessera", "Key": key, **more}, ExpiresIn=expires
        )
        return url


def judged(store: LocalStore, url: str, *, method: str = "GET", now: datetime | None = None) -> str:
    parts = urlsplit(url)
    return store.verify(method, parts.netloc, parts.path, parts.query, now or datetime.now(UTC))


@pytest.mark.parametrize("key", ["a.png", "outputs/ü b/日本+é&c=d~(1)'*!,;:@$.png", "per%20cent.png"])
@pytest.mark.parametrize(("method", "operation"), [("GET", "get_object"), ("HEAD", "head_object")])
def test_a_link_of_botocore_is_accepted(tmp_path: Path, key: str, method: str, operation: str) -> None:
    url = Foreign().link(key, operation=operation)
    assert judged(local(tmp_path), url, method=method) == key


def test_a_link_of_botocore_with_signed_extras_is_accepted(tmp_path: Path) -> None:
    url = Foreign().link(
        ResponseContentDisposition="attachment; filename=\"a b.png\"; filename*=UTF-8''%C3%BC.png",
        ResponseContentType="image/png",
        VersionId="1",
    )
    assert "response-content-disposition" in url
    assert judged(local(tmp_path), url) == "a/ü b+c.png"


def test_a_plus_sign_that_has_two_readings_is_refused(tmp_path: Path) -> None:
    store, url = local(tmp_path), Foreign().link(ResponseContentType="image/svg+xml")
    judged(store, url)
    with pytest.raises(Malformed):
        judged(store, url.replace("svg%2Bxml", "svg+xml"))


@pytest.mark.parametrize("expires", [1, 604_800])
def test_a_link_of_botocore_lives_as_long_as_it_says(tmp_path: Path, expires: int) -> None:
    store, url, now = local(tmp_path), Foreign().link(expires=expires), datetime.now(UTC)
    assert judged(store, url, now=now)
    with pytest.raises(Expired):
        judged(store, url, now=now + timedelta(seconds=expires + 2))


@pytest.mark.parametrize("expires", [0, -5, 604_801])
def test_a_link_of_botocore_with_an_impossible_life_is_refused(tmp_path: Path, expires: int) -> None:
    with pytest.raises(Malformed):
        judged(local(tmp_path), Foreign().link(expires=expires))


@pytest.mark.parametrize(
    ("signer", "error"),
    [
        (Foreign(keys=Credentials("TESSERALOCALKEY", "another secret")), BadSignature),
        (Foreign(keys=Credentials("ANOTHERKEY", KEYS.secret_access_key)), ForeignCredential),
        (Foreign(region="us-east-1"), ForeignCredential),
    ],
)
def test_a_link_of_another_key_or_region_is_refused(tmp_path: Path, signer: Foreign, error: type[LinkError]) -> None:
    with pytest.raises(error):
        judged(local(tmp_path), signer.link())


Change = Callable[[str], str]


def swap(old: str, new: str) -> Change:
    return lambda url: url.replace(old, new, 1)


def param(name: str, change: Change) -> Change:
    """Change one raw value of the query."""

    def altered(url: str) -> str:
        base, _, query = url.partition("?")
        items = [item.partition("=") for item in query.split("&")]
        return f"{base}?{'&'.join(f'{key}={change(value) if key == name else value}' for key, _, value in items)}"

    return altered


def doubled(name: str) -> Change:
    return lambda url: f"{url}&{name}={url.partition(f'{name}=')[2].partition('&')[0]}"


def dropped(name: str) -> Change:
    return lambda url: "&".join(item for item in url.replace("?", "?&", 1).split("&") if not item.startswith(name))


NAMES = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
ALTERATIONS: dict[str, Change] = {
    "path": swap("/a/", "/b/"),
    "path longer": swap(".png", ".png/x"),
    "path case": swap("%C3", "%c3"),
    "bucket": swap("/tessera/", "/tessera2/"),
    "host": swap("files.example.org", "file.example.org"),
    "port": swap(":8080", ":8081"),
    "algorithm": swap("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
    "key id": swap("TESSERALOCALKEY", "TESSERALOCALKEX"),
    "scope date": param("X-Amz-Credential", lambda value: value.replace("%2F20", "%2F19", 1)),
    "scope region": swap("%2Flocal%2F", "%2Fauto%2F"),
    "scope service": swap("%2Fs3%2F", "%2Fiam%2F"),
    "scope end": swap("aws4_request", "aws4_requesT"),
    "date": param("X-Amz-Date", lambda value: value[:-2] + str((int(value[-2]) + 1) % 10) + "Z"),
    "expiry later": swap("X-Amz-Expires=1200", "X-Amz-Expires=1201"),
    "expiry sooner": swap("X-Amz-Expires=1200", "X-Amz-Expires=1199"),
    "expiry negative": swap("X-Amz-Expires=1200", "X-Amz-Expires=-1200"),
    "expiry too long": swap("X-Amz-Expires=1200", "X-Amz-Expires=604801"),
    "signed headers": swap("SignedHeaders=host", "SignedHeaders=host%3Baccept"),
    "signature": param("X-Amz-Signature", lambda value: ("1" if value[0] == "0" else "0") + value[1:]),
    "signature case": param("X-Amz-Signature", str.upper),
    "signature cut": param("X-Amz-Signature", lambda value: value[:-1]),
    "added": lambda url: f"{url}&download=1",
    "added in front": swap("?", "?download=1&"),
    "added empty": lambda url: f"{url}&",
    "extra changed": swap("attachment", "inline"),
    **{f"{name} twice": doubled(f"X-Amz-{name}") for name in NAMES},
    **{f"{name} gone": dropped(f"X-Amz-{name}") for name in NAMES},
    "extra twice": doubled("response-content-disposition"),
    "extra gone": dropped("response-content-disposition"),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_an_altered_link_of_botocore_is_refused(tmp_path: Path, alteration: str) -> None:
    store, url = local(tmp_path), Foreign().link(ResponseContentDisposition="attachment")
    judged(store, url)
    altered = ALTERATIONS[alteration](url)
    assert altered != url
    with pytest.raises(LinkError):
        judged(store, altered)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "POST", "OPTIONS", "get"])
def test_a_link_of_botocore_is_good_for_its_method_only(tmp_path: Path, method: str) -> None:
    with pytest.raises(LinkError):
        judged(local(tmp_path), Foreign().link(), method=method)


async def test_a_link_downloads_the_file_under_its_name(server: S3Server, tmp_path: Path) -> None:
    store = bucket(server, prefix="links")
    await store.put("a/ü b+c.png", source(tmp_path), media_type="image/png")
    url = store.sign("a/ü b+c.png", expires=TWENTY, now=datetime.now(UTC))
    status, headers, body = await asyncio.to_thread(fetch, url)
    assert (status, body, headers["Content-Type"]) == (HTTPStatus.OK, b"0123456789", "image/png")
    assert headers["Content-Disposition"] == "attachment; filename=\"_ b+c.png\"; filename*=UTF-8''%C3%BC%20b%2Bc.png"
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        assert await answer.read() == b"0123456789"


def signed_by_us(store: S3Store, server: S3Server) -> str:
    keys = Credentials(server.access_key_id, server.secret_access_key)
    path, now = "/tessera/links/a.png", datetime.now(UTC)
    return sigv4.sign(server.endpoint, path, keys, region="auto", expires=TWENTY, now=now)


def signed_by_obstore(store: S3Store, server: S3Server) -> str:
    return store.sign("a.png", expires=TWENTY, now=datetime.now(UTC))


@pytest.mark.parametrize("signer", [signed_by_obstore, signed_by_us])
@pytest.mark.parametrize(
    "alteration",
    [
        None,
        "algorithm",
        "scope date",
        "date",
        "expiry later",
        "signed headers",
        "signature",
        "added",
        *(f"{name} gone" for name in NAMES if name != "Signature"),
    ],
)
async def test_the_server_accepts_a_link_and_refuses_any_altered(
    server: S3Server, tmp_path: Path, signer: Callable[[S3Store, S3Server], str], alteration: str | None
) -> None:
    store = bucket(server, prefix="links")
    await store.put("a.png", source(tmp_path), media_type="image/png")
    url = signer(store, server)
    if alteration is None:
        assert (await asyncio.to_thread(fetch, url))[0] == HTTPStatus.OK
        return
    altered = ALTERATIONS[alteration](url)
    assert altered != url
    assert 400 <= (await asyncio.to_thread(fetch, altered))[0] < 500


async def test_a_link_is_refused_when_its_time_is_over(server: S3Server, tmp_path: Path) -> None:
    store = bucket(server, prefix="links")
    await store.put("a.png", source(tmp_path), media_type="image/png")
    now = datetime.now(UTC)
    url = store.sign("a.png", expires=timedelta(seconds=1), now=now)
    kept = store.sign("a.png", expires=TWENTY, now=now)
    deadline = time.monotonic() + 10
    while (await asyncio.to_thread(fetch, url))[0] == HTTPStatus.OK and time.monotonic() < deadline:
        await asyncio.sleep(0.2)  # the server's clock cannot be held or awaited
    assert (await asyncio.to_thread(fetch, url))[0] in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN}
    assert (await asyncio.to_thread(fetch, kept))[0] == HTTPStatus.OK


async def test_a_link_of_obstore_is_accepted_by_our_own_judge(server: S3Server) -> None:
    keys = Credentials(server.access_key_id, server.secret_access_key)
    url = urlsplit(bucket(server).sign("a/ü b+c~(1)'*!.png", expires=TWENTY, now=datetime.now(UTC)))
    sigv4.verify("GET", url.netloc, url.path, url.query, keys, region="auto", now=datetime.now(UTC))


async def test_a_wrong_secret_is_said_to_be_one(server: S3Server, tmp_path: Path) -> None:
    store = bucket(server, secret_access_key="wrong")
    with pytest.raises(StorageError, match="refused access"):
        await store.stat("a.png")
    with pytest.raises(StorageError, match="refused access"):
        await store.put("a.png", source(tmp_path), media_type="image/png")
    with pytest.raises(StorageError, match="refused access"):
        await store.check()


async def test_a_missing_bucket_is_our_storage_failing(server: S3Server, tmp_path: Path) -> None:
    store = bucket(server, bucket="nothing-here")
    with pytest.raises(StorageError, match="bucket"):
        await store.check()
    with pytest.raises(StorageError, match="bucket"):
        await store.put("a.png", source(tmp_path), media_type="image/png")


async def test_a_dead_server_is_our_storage_failing(tmp_path: Path) -> None:
    with serve(tmp_path) as gone:
        store = bucket(gone, retries=0)
    for doing in (store.stat("a.png"), collect(store, "a.png"), store.delete(["a.png"]), store.check()):
        with pytest.raises(StorageError, match="could not be reached"):
            await doing


async def test_only_what_is_given_is_used(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "FROMTHEENVIRONMENT",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_REGION": "eu-west-1",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    }.items():
        monkeypatch.setenv(name, value)
    store = bucket(server)
    await store.put("a.txt", source(tmp_path), media_type="text/plain")
    url = store.sign("a.txt", expires=TWENTY, now=datetime.now(UTC))
    assert f"X-Amz-Credential={server.access_key_id}%2F" in url
    assert (await asyncio.to_thread(fetch, url))[0] == HTTPStatus.OK


@pytest.fixture
async def partial(tmp_path: Path) -> AsyncIterator[tuple[S3Store, list[str]]]:
    """A store whose server answers ranges with 206, as S3, R2 and MinIO do, and what it was asked for."""
    asked: list[str] = []
    content = source(tmp_path)

    async def get(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Range", "all"))
        if request.path != "/tessera/a.txt":
            raise web.HTTPNotFound
        return web.FileResponse(content, headers={"Content-Type": "text/plain"})

    app = web.Application()
    app.router.add_get("/{path:.*}", get)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield bucket(S3Server(f"http://{host}:{port}", "tessera", "KEY", "SECRET")), asked
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("start", "end", "asked", "expected"),
    [
        (0, None, ["all"], b"0123456789"),
        (2, 5, ["bytes=2-4"], b"234"),
        (7, None, ["bytes=7-"], b"789"),
        (7, 100, ["bytes=7-99"], b"789"),
        (20, None, ["bytes=20-", "all"], b""),
    ],
)
async def test_no_more_is_fetched_than_is_read(
    partial: tuple[S3Store, list[str]], start: int, end: int | None, asked: list[str], expected: bytes
) -> None:
    store, seen = partial
    assert await collect(store, "a.txt", start=start, end=end) == expected
    assert seen == asked


async def test_a_stat_fetches_one_byte(partial: tuple[S3Store, list[str]]) -> None:
    store, seen = partial
    stat = await store.stat("a.txt")
    assert (stat.size, stat.media_type) == (10, "text/plain")
    assert seen == ["bytes=0-0"]
    with pytest.raises(NotFound):
        await store.stat("b.txt")

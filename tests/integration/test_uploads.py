"""How an upload gets its place: its bytes first, under a key of their own, then bytes and row together."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tessera.db import assets
from tessera.domain.errors import NotFound, StorageError
from tessera.storage.local import LocalStore
from tessera.storage.sigv4 import Credentials
from tessera.testing import s3_server
from tessera.testing.gateway import Gateway
from tessera.testing.mailbox import PATIENCE
from tessera.testing.plugin import OpenGateway

UPLOAD = "/api/file-base64-upload"


async def upload(gateway: Gateway, content: bytes, name: str = "x.txt", folder: str = "p") -> Any:
    wire = {"base64Data": base64.b64encode(content).decode(), "uploadPath": folder, "fileName": name}
    return await gateway.post(UPLOAD, wire)


async def fetch(gateway: Gateway, url: str) -> bytes:
    async with gateway.http.get(url) as response:
        assert response.status == 200
        return await response.read()


async def pending(gateway: Gateway) -> int:
    return int(await gateway.house.database.pool.fetchval("SELECT count(*) FROM pending_objects"))


def stored(gateway: Gateway) -> set[str]:
    root = gateway.house.config.data_dir / "files"
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


@asynccontextmanager
async def gateway_on(kind: str, open_gateway: OpenGateway, folder: Path, **more: Any) -> AsyncIterator[Gateway]:
    """A gateway whose files lie in a folder, or in a bucket."""
    if kind == "local":
        async with open_gateway(**more) as gateway:
            yield gateway
        return
    with s3_server.serve(folder) as server:
        settings = {
            "storage": "s3",
            "s3_endpoint": server.endpoint,
            "s3_bucket": server.bucket,
            "s3_region": "eu-west-1",
            "s3_access_key_id": server.access_key_id,
            "s3_secret_access_key": server.secret_access_key,
        }
        async with open_gateway(**settings, **more) as gateway:
            yield gateway


class Gate:
    """Holds calls of one method of a store until it is opened; ``reached`` counts those that came."""

    def __init__(self, patch: pytest.MonkeyPatch, store: Any, name: str) -> None:
        self.reached, self.open = asyncio.Semaphore(0), asyncio.Event()
        call = getattr(store, name)

        async def held(*args: Any, **more: Any) -> Any:
            self.reached.release()
            await self.open.wait()
            return await call(*args, **more)

        patch.setattr(store, name, held)

    async def count(self, wanted: int) -> None:
        async with asyncio.timeout(PATIENCE):
            for _ in range(wanted):
                await self.reached.acquire()


async def test_no_connection_is_held_while_bytes_go_to_the_store(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_gateway(database_pool=8) as gateway:
        gate = Gate(monkeypatch, gateway.house.store, "put")
        crowd = [asyncio.create_task(upload(gateway, b"hello", f"{number}.txt")) for number in range(20)]
        try:
            await gate.count(len(crowd))
            idle = "datname = current_database() AND state LIKE 'idle in transaction%'"
            assert await gateway.house.database.pool.fetch(f"SELECT FROM pg_stat_activity WHERE {idle}") == []
        finally:
            gate.open.set()
        assert all(answer["success"] for answer in await asyncio.gather(*crowd))


@pytest.mark.parametrize("kind", ["local", "s3"])
async def test_many_of_one_name_at_once_leave_one_whole_winner_and_nothing_else(
    open_gateway: OpenGateway, tmp_path: Path, kind: str
) -> None:
    async with gateway_on(kind, open_gateway, tmp_path) as gateway:
        contents = [bytes([65 + number]) * (number + 1) * 1000 for number in range(8)]
        answers = await asyncio.gather(*(upload(gateway, content) for content in contents))
        assert all(answer["success"] for answer in answers)
        (url,) = {answer["data"]["downloadUrl"] for answer in answers}
        (key,) = {answer["data"]["filePath"] for answer in answers}
        served = await fetch(gateway, url)
        assert served in contents
        asset = (await assets.get_many(gateway.house.database, [key]))[key]
        assert (asset.size, asset.sha256) == (len(served), hashlib.sha256(served).hexdigest())
        assert await pending(gateway) == 0
        if kind == "local":
            assert stored(gateway) == {key}
            assert {path.name for path in (gateway.house.config.data_dir / "files").iterdir()} == {".staging", "kieai"}
        else:
            left = [each["path"] async for page in gateway.house.store._bucket.list() for each in page]  # type: ignore[attr-defined]
            assert left == [key]


async def test_the_old_file_is_served_until_the_new_one_is_whole(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_gateway() as gateway:
        url = (await upload(gateway, b"the old one"))["data"]["downloadUrl"]
        put = gateway.house.store.put
        begun, go = asyncio.Event(), asyncio.Event()

        async def slowly(key: str, source: Path, *, media_type: str) -> Any:
            answer = await put(key, source, media_type=media_type)
            begun.set()
            await go.wait()
            return answer

        monkeypatch.setattr(gateway.house.store, "put", slowly)
        replacing = asyncio.create_task(upload(gateway, b"new"))
        try:
            await asyncio.wait_for(begun.wait(), PATIENCE)
            assert await fetch(gateway, url) == b"the old one"
        finally:
            go.set()
        assert (await replacing)["success"]
        assert await fetch(gateway, url) == b"new"


async def test_an_upload_whose_row_is_refused_leaves_the_old_file_as_it_was(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_gateway() as gateway:
        first = (await upload(gateway, b"the old one"))["data"]

        async def fail(*_: Any) -> None:
            raise StorageError("no")

        with monkeypatch.context() as patch:
            patch.setattr(assets, "put", fail)
            assert not (await upload(gateway, b"new"))["success"]
        assert await fetch(gateway, first["downloadUrl"]) == b"the old one"
        assert stored(gateway) == {first["filePath"]}


async def test_what_cannot_be_tidied_up_does_not_spoil_the_upload(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_gateway() as gateway:

        async def fail(*_: Any) -> None:
            raise StorageError("no")

        monkeypatch.setattr(gateway.house.store, "delete", fail)
        answer = await upload(gateway, b"hello")
        assert answer["success"]
        assert await fetch(gateway, answer["data"]["downloadUrl"]) == b"hello"
        assert await pending(gateway) == 1, "a sweep knows what to look for"


async def test_a_file_that_is_refused_leaves_no_note(open_gateway: OpenGateway) -> None:
    async with open_gateway() as gateway:
        assert (await upload(gateway, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"))["code"] == 400
        assert await pending(gateway) == 0


async def ask(gateway: Gateway, name: str, folder: str) -> tuple[int, Any]:
    wire = {"base64Data": "SGVsbG8=", "uploadPath": folder, "fileName": name}
    headers = {"Authorization": f"Bearer {gateway.test_key}"}
    async with gateway.http.post(gateway.base_url + UPLOAD, json=wire, headers=headers) as response:
        return response.status, await response.json()


async def test_a_file_and_a_folder_of_one_name_are_refused_by_the_field_that_is_wrong(
    open_gateway: OpenGateway,
) -> None:
    def refused(msg: str) -> tuple[int, Any]:
        return 400, {"success": False, "code": 400, "msg": msg}

    async with open_gateway() as gateway:
        assert (await ask(gateway, "x", "p"))[0] == 200
        for folder in ("p/x", "p/x/deeper/still"):
            assert await ask(gateway, "y", folder) == refused("uploadPath: p/x is a file already, and no folder")
        assert (await ask(gateway, "y", "q/z"))[0] == 200
        assert await ask(gateway, "z", "q") == refused("fileName: there is a folder q/z already")
        assert await ask(gateway, "q", "/") == refused("uploadPath must not be empty")
        account = (await gateway.house.accounts.all())[0].id
        assert stored(gateway) == {f"kieai/{account}/p/x", f"kieai/{account}/q/z/y"}
        # Once the folder's only file is gone, its name is free.
        await gateway.house.store.delete([f"kieai/{account}/q/z/y"])
        assert (await ask(gateway, "z", "q"))[0] == 200


async def test_a_reader_of_many_replacements_sees_whole_files_only(open_gateway: OpenGateway) -> None:
    """All are of one size here: what is held is that no file is a mixture of two."""
    async with open_gateway() as gateway:
        url = (await upload(gateway, b"a" * 500_000))["data"]["downloadUrl"]
        writing = asyncio.create_task(_replace(gateway))
        while not writing.done():
            try:
                body = await fetch(gateway, url)
            except aiohttp.ClientError as error:  # pragma: no cover - what must not be
                raise AssertionError("half a file") from error
            assert len(body) == 500_000
            assert len(set(body)) == 1
        await writing


async def _replace(gateway: Gateway) -> None:
    for letter in b"bcdef":
        assert (await upload(gateway, bytes([letter]) * 500_000))["success"]


async def test_a_renamed_object_of_a_local_store_is_not_left_behind(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "files", public_url="http://a.test", credentials=Credentials("K", "s"))
    source = tmp_path / "source"
    source.write_bytes(b"hello")
    await store.put("incoming/1/a.txt", source, media_type="text/plain")
    await store.rename("incoming/1/a.txt", "kieai/a.txt")
    with pytest.raises(NotFound):
        await store.stat("incoming/1/a.txt")
    assert not (tmp_path / "files/incoming").exists()

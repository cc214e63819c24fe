"""A bucket instead of a folder: a real S3 server checks the direct links, and the ordinary ones stream through us."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tessera.testing import s3_server
from tessera.testing.gateway import Gateway
from tessera.testing.plugin import OpenGateway
from tessera.testing.s3_server import S3Server
from tessera.testing.servers import Receiver

GENERATE = "/api/v1/gpt4o-image/generate"


@asynccontextmanager
async def on_bucket(open_gateway: OpenGateway, folder: Path) -> AsyncIterator[tuple[Gateway, S3Server]]:
    with s3_server.serve(folder) as server:
        settings = {
            "storage": "s3",
            "s3_endpoint": server.endpoint,
            "s3_bucket": server.bucket,
            "s3_region": "eu-west-1",
            "s3_access_key_id": server.access_key_id,
            "s3_secret_access_key": server.secret_access_key,
            "s3_prefix": "media/tessera",
        }
        async with open_gateway(**settings) as gateway:
            yield gateway, server


async def fetch(gateway: Gateway, url: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    async with gateway.http.request(method, url, headers=headers) as response:
        return response.status, response.headers, await response.read()


async def test_the_main_job_on_a_bucket(open_gateway: OpenGateway, receiver: Receiver, tmp_path: Path) -> None:
    async with on_bucket(open_gateway, tmp_path) as (gateway, server):
        assert (await gateway.get("/readyz"))["storage"] == {"ok": True}
        body = {"prompt": "A paper boat", "size": "2:3", "callBackUrl": receiver.url}
        task_id = (await gateway.post(GENERATE, body))["data"]["taskId"]
        (url,) = json.loads((await receiver.next()).body)["data"]["info"]["result_urls"]
        assert url.startswith(f"{gateway.base_url}/files/")

        link = (await gateway.post("/api/v1/gpt4o-image/download-url", {"taskId": task_id, "url": url}))["data"]
        place = f"{server.endpoint}/{server.bucket}/media/tessera/s/{task_id}-1-1_0.png"
        assert link.startswith(f"{place}?X-Amz-Algorithm=")
        status, headers, direct = await fetch(gateway, link)
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert (await fetch(gateway, link.replace("Expires=1200", "Expires=1201")))[0] == 403
        assert (await fetch(gateway, link[:-1] + ("0" if link[-1] != "0" else "1")))[0] == 403

        status, headers, whole = await fetch(gateway, url)
        assert (status, whole) == (200, direct)
        assert headers["ETag"] == f'"{hashlib.sha256(whole).hexdigest()}"'
        half = len(whole) // 2
        for asked, expected in (
            (f"bytes=0-{half - 1}", whole[:half]),
            (f"bytes={half}-", whole[half:]),
            ("bytes=-100", whole[-100:]),
        ):
            status, headers, part = await fetch(gateway, url, Range=asked)
            assert (status, part == expected) == (206, True)
            assert headers["Content-Length"] == str(len(expected))
        assert (await fetch(gateway, url, Range=f"bytes={len(whole)}-"))[0] == 416
        status, headers, nothing = await fetch(gateway, url, "HEAD")
        assert (status, nothing, headers["Content-Length"]) == (200, b"", str(len(whole)))

        # We are no object server here: what a folder would have signed leads nowhere.
        status, _, answer = await fetch(
            gateway, link.replace(f"{server.endpoint}/{server.bucket}", f"{gateway.base_url}/tessera")
        )
        assert (status, b"<Code>NoSuchKey</Code>" in answer) == (404, True)


async def test_uploads_go_to_the_bucket_and_come_back(open_gateway: OpenGateway, tmp_path: Path) -> None:
    async with on_bucket(open_gateway, tmp_path) as (gateway, server):
        sent = {"base64Data": "SGVsbG8gdGhlcmU=", "uploadPath": "notes/ü", "fileName": "hello there.txt"}
        data = (await gateway.post("/api/file-base64-upload", sent))["data"]
        stored = tmp_path / "objects" / server.bucket / "media/tessera" / data["filePath"]
        assert stored.read_bytes() == b"Hello there"
        status, headers, body = await fetch(gateway, data["downloadUrl"])
        assert (status, body) == (200, b"Hello there")
        assert headers["Content-Disposition"].startswith("attachment")
        again = (await gateway.post("/api/file-base64-upload", {**sent, "base64Data": "Qnll"}))["data"]
        assert again["downloadUrl"] == data["downloadUrl"]
        assert (await fetch(gateway, data["downloadUrl"]))[2] == b"Bye"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=2-4"}])
async def test_a_file_that_is_not_in_the_bucket_is_a_404(
    open_gateway: OpenGateway, tmp_path: Path, headers: dict[str, str]
) -> None:
    async with on_bucket(open_gateway, tmp_path) as (gateway, _):
        sent = {"base64Data": "SGVsbG8gdGhlcmU=", "uploadPath": "a", "fileName": "x.txt"}
        data = (await gateway.post("/api/file-base64-upload", sent))["data"]
        await gateway.house.store.delete([data["filePath"]])
        status, found, answer = await fetch(gateway, data["downloadUrl"], **headers)
        assert (status, found["Content-Type"]) == (404, "application/xml")
        assert b"<Code>NoSuchKey</Code>" in answer

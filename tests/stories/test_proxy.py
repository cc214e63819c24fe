"""Behind a TLS proxy that has a name of its own: links carry the public URL, and hold."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tessera.domain.account import KEY_PREFIX
from tessera.domain.task import Mode
from tessera.providers.fake import Fake, png
from tessera.testing.gateway import Gateway
from tessera.testing.mailbox import Mailbox
from tessera.testing.plugin import OpenGateway

GENERATE = "/api/v1/gpt4o-image/generate"
PUBLIC = "https://media.example.org"


class Proxy:
    """What stands at the public URL: it takes the TLS off, says so in headers, and names the gateway its own way.

    ``below`` is the path of the public URL, which is taken away before the request goes on.
    """

    def __init__(self, upstream: str, below: str, http: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._below = below
        self._http = http
        self.url = ""
        self.seen: Mailbox[str] = Mailbox()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.put(request.path)
        assert request.raw_path.startswith(self._below)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in {"host", "connection"}}
        headers |= {
            "Host": urlsplit(self._upstream).netloc,
            "X-Forwarded-For": request.remote or "",
            "X-Forwarded-Host": request.host,
            "X-Forwarded-Proto": "https",
        }
        url = URL(self._upstream + request.raw_path.removeprefix(self._below), encoded=True)
        async with self._http.request(request.method, url, headers=headers, data=await request.read()) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in {"transfer-encoding"}}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def ask(self, method: str, url: str, **more: Any) -> tuple[int, Any, bytes]:
        """As the world asks: for a public URL, whose name leads to this proxy."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == PUBLIC
        target = f"{self.url}{parts.path}{'?' if parts.query else ''}{parts.query}"
        headers = {"Host": parts.netloc, **more.pop("headers", {})}
        async with self._http.request(method, URL(target, encoded=True), headers=headers, **more) as response:
            return response.status, response.headers, await response.read()

    async def json(self, gateway: Gateway, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {gateway.test_key}"}
        url = f"{gateway.house.public_url}{path}"
        _, _, answer = await self.ask("GET" if body is None else "POST", url, json=body, headers=headers)
        return json.loads(answer)


@asynccontextmanager
async def proxied(open_gateway: OpenGateway, public_url: str) -> AsyncIterator[tuple[Gateway, Proxy]]:
    fake = Fake("sandbox", models={"*": "fake"})
    settings: dict[str, Any] = {"public_url": public_url, "trusted_proxies": "127.0.0.1", "provided": {"sandbox": fake}}
    async with open_gateway(allow_private_networks=False, **settings) as gateway, aiohttp.ClientSession() as http:
        proxy = Proxy(f"http://127.0.0.1:{gateway.house.config.port}", urlsplit(public_url).path, http)
        runner = web.ServerRunner(web.Server(proxy.handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        proxy.url = f"http://{host}:{port}"
        try:
            yield gateway, proxy
        finally:
            await runner.cleanup()


async def finished(gateway: Gateway, proxy: Proxy, task_id: str, ended: Mailbox[Any]) -> Any:
    path = f"/api/v1/gpt4o-image/record-info?taskId={task_id}"
    while (data := (await proxy.json(gateway, path))["data"])["successFlag"] == 0:
        await ended.next()
    return data


@pytest.mark.parametrize("public_url", [PUBLIC, f"{PUBLIC}/tessera/v2"])
async def test_links_on_the_public_url_hold_behind_a_proxy(
    open_gateway: OpenGateway, passed: Any, public_url: str
) -> None:
    ended = passed("run.finished")
    async with proxied(open_gateway, public_url) as (gateway, proxy):
        task_id = (await proxy.json(gateway, GENERATE, {"prompt": "A boat", "size": "1:1"}))["data"]["taskId"]
        done = await finished(gateway, proxy, task_id, ended)
        (url,) = done["response"]["resultUrls"]
        assert url.startswith(f"{public_url}/files/")
        status, headers, picture = await proxy.ask("GET", url)
        assert (status, headers["Content-Type"]) == (200, "image/png")

        link = (await proxy.json(gateway, "/api/v1/common/download-url", {"url": url}))["data"]
        assert link.startswith(f"{public_url}/tessera/s/{task_id}")
        status, headers, direct = await proxy.ask("GET", link)
        assert (status, direct) == (200, picture)
        assert headers["Content-Disposition"].startswith("attachment")
        status, _, part = await proxy.ask("GET", link, headers={"Range": "bytes=0-9"})
        assert (status, part) == (206, picture[:10])
        status, headers, nothing = await proxy.ask("HEAD", link)
        assert (status, nothing, headers["Content-Length"]) == (200, b"", str(len(picture)))
        status, _, refused = await proxy.ask("GET", link.replace("Expires=1200", "Expires=1201"))
        assert (status, b"SignatureDoesNotMatch" in refused) == (403, True)


async def test_inputs_on_the_public_url_are_read_from_our_own_storage(open_gateway: OpenGateway, passed: Any) -> None:
    ended = passed("run.finished")
    async with proxied(open_gateway, PUBLIC) as (gateway, proxy):
        body = {"base64Data": base64.b64encode(png(16, 16)).decode(), "uploadPath": "a", "fileName": "in.png"}
        url = (await proxy.json(gateway, "/api/file-base64-upload", body))["data"]["downloadUrl"]
        assert url.startswith(f"{PUBLIC}/files/")
        before = len(proxy.seen.seen)
        edit = {"prompt": "Blue", "size": "1:1", "filesUrl": [url], "maskUrl": url}
        task_id = (await proxy.json(gateway, GENERATE, edit))["data"]["taskId"]
        assert (await finished(gateway, proxy, task_id, ended))["status"] == "SUCCESS"
        copy = await proxy.json(gateway, "/api/file-url-upload", {"fileUrl": url, "uploadPath": "b"})
        assert copy["data"]["fileSize"] == len(png(16, 16))
        assert not [path for path in proxy.seen.seen[before:] if path.startswith("/files/")]


async def test_a_key_with_an_address_list_sees_the_caller_behind_the_proxy(open_gateway: OpenGateway) -> None:
    async with proxied(open_gateway, PUBLIC) as (gateway, proxy):
        accounts = gateway.house.accounts
        (account,) = await accounts.all()
        made = await accounts.create_key(account, Mode.TEST, networks=("203.0.113.0/24",))
        assert made.secret.startswith(KEY_PREFIX[Mode.TEST])
        headers = {"Authorization": f"Bearer {made.secret}", "X-Forwarded-For": "203.0.113.9"}
        status, _, answer = await proxy.ask("GET", f"{PUBLIC}/api/v1/chat/credit", headers=headers)
        # The proxy wrote down who called it: this machine. What the caller wrote before that counts for nothing.
        assert (status, b'"code":401' in answer) == (200, True)

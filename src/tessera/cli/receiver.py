"""A customer's own small server that takes callbacks and trusts none that is not signed."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tessera.cli.fail import Fail

PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it came: headers with lower-case names, and the bytes of the body."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def task_id(self) -> str:
        """Some families say ``taskId``, some ``task_id``."""
        data = self.content["data"]
        return str(data.get("taskId") or data["task_id"])

    @property
    def content(self) -> Mapping[str, dict[str, object]]:
        return dict(json.loads(self.body))


class Receiver:
    def __init__(self) -> None:
        self.url = ""
        self._came: asyncio.Queue[Callback] = asyncio.Queue()

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._came.put_nowait(Callback(headers, await request.read()))
        return web.json_response({"status": "received"})

    async def wait(self) -> Callback:
        """The next callback. Raises Fail when none comes."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._came.get()
        except TimeoutError as error:
            raise Fail(f"No callback came within {PATIENCE:g} seconds.") from error


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on a free port of this machine."""
    taker = Receiver()
    server = web.Server(taker.take)  # type: ignore[arg-type]
    runner = web.ServerRunner(server)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        taker.url = f"http://{host}:{port}/callback"
        yield taker
    finally:
        await runner.cleanup()


def kie(callback: Callback, secret: str) -> bool:
    """KIE's signature: Base64 of HMAC-SHA256 over task id and time, with the whole secret as key."""
    signed = f"{callback.task_id}.{callback.headers.get('x-webhook-timestamp', '')}"
    wanted = base64.b64encode(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)).decode()
    return hmac.compare_digest(wanted, callback.headers.get("x-webhook-signature", ""))


def standard(callback: Callback, secret: str) -> bool:
    """The Standard Webhooks signature: id, time and every byte of the body."""
    try:
        Webhook(secret).verify(callback.body, dict(callback.headers))
    except WebhookVerificationError:
        return False
    return True

"""A customer of a gateway: knows its URL, a key, and the documented HTTP API, and nothing else."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from tessera.cli.child import Gateway
from tessera.cli.fail import Fail

PICTURES = "/api/v1/gpt4o-image"
FILMS = "/api/v1/veo"
SONGS = "/api/v1/generate"

POLL = 0.25
PATIENCE = 60.0
"""Seconds between two looks at a task, and until we give up."""


class Customer:
    def __init__(self, session: aiohttp.ClientSession, gateway: Gateway) -> None:
        self._session = session
        self._url = gateway.url
        self._headers = {"Authorization": f"Bearer {gateway.key}"}

    async def credits(self) -> float:
        return float(await self._ask("GET", "/api/v1/chat/credit"))

    async def upload(self, data: bytes, name: str) -> str:
        """Upload a file by multipart stream; answers its URL."""
        form = aiohttp.FormData()
        form.add_field("uploadPath", "images/demo")
        form.add_field("fileName", name)
        form.add_field("file", data, filename=name, content_type="image/png")
        return str((await self._ask("POST", "/api/file-stream-upload", data=form))["downloadUrl"])

    async def edit(self, picture: str, prompt: str, callback: str) -> str:
        """Ask for an edit of a picture; answers the task id."""
        body = {"filesUrl": [picture], "prompt": prompt, "size": "1:1", "callBackUrl": callback}
        return await self._start(f"{PICTURES}/generate", body)

    async def film(self, first: Sequence[str], prompt: str, seconds: int, callback: str) -> str:
        """Ask Veo for a film that begins with a picture, if there is one; answers the task id."""
        body = {"imageUrls": list(first), "prompt": prompt, "model": "veo3_fast", "duration": seconds}
        return await self._start(f"{FILMS}/generate", {**body, "aspect_ratio": "16:9", "callBackUrl": callback})

    async def song(self, title: str, style: str, lyrics: str, seconds: int, callback: str) -> str:
        """Ask Suno for a song in two versions; answers the task id."""
        said = {"title": title, "style": style, "prompt": lyrics, "duration": seconds, "instrumental": False}
        return await self._start(SONGS, {"model": "V6", "customMode": True, **said, "callBackUrl": callback})

    async def record(self, family: str, task_id: str) -> dict[str, Any]:
        """How a task is, as its family puts it; ``family`` is the beginning of its paths."""
        return dict(await self._ask("GET", f"{family}/record-info", params={"taskId": task_id}))

    async def progress(self, task_id: str) -> float:
        """How far a task is, from 0 to 1, of whichever family."""
        return float((await self._ask("GET", f"/v1/tasks/{task_id}"))["progress"])

    async def link(self, task_id: str, url: str) -> str:
        """A direct download URL for a picture."""
        return str(await self._ask("POST", f"{PICTURES}/download-url", json={"taskId": task_id, "url": url}))

    async def direct(self, url: str) -> str:
        """A direct download URL for a result of whichever family."""
        return str(await self._ask("POST", "/api/v1/common/download-url", json={"url": url}))

    async def fetch(self, url: str) -> tuple[int, dict[str, str], bytes]:
        """Follow a link as a browser would, without the key: status, headers (names in lower case), body."""
        async with self._session.get(url) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, headers, await response.read()

    async def _start(self, path: str, body: object) -> str:
        return str((await self._ask("POST", path, json=body))["taskId"])

    async def _ask(self, method: str, path: str, **request: Any) -> Any:
        """One call; answers ``data``. Raises Fail with the gateway's own words."""
        async with self._session.request(method, self._url + path, headers=self._headers, **request) as response:
            answer = await response.json()
        if response.status != 200 or answer.get("code") != 200:
            raise Fail(f"The gateway refused {method} {path}: {answer.get('code')} {answer.get('msg')}")
        return answer["data"]


async def finished(customer: Customer, family: str, task_id: str, tell: Callable[[float], None]) -> str:
    """Poll until the task has succeeded; ``tell`` hears the progress. Answers the URL of its result. Raises Fail."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                record = await customer.record(family, task_id)
                if record["successFlag"] == 1:
                    tell(1.0)
                    return str(record["response"]["resultUrls"][0])
                if record["successFlag"] != 0:
                    raise Fail(f"The task failed: {record['errorCode']} {record['errorMessage']}")
                tell(await customer.progress(task_id))
                await asyncio.sleep(POLL)
    except TimeoutError as error:
        raise Fail(f"The task was not finished within {PATIENCE:g} seconds.") from error

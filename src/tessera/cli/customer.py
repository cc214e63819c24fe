"""A customer of a gateway: knows its URL, a key, and the documented HTTP API, and nothing else."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp

from tessera.cli.child import Gateway
from tessera.cli.fail import Fail

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
        return str((await self._ask("POST", "/api/v1/gpt4o-image/generate", json=body))["taskId"])

    async def record(self, task_id: str) -> dict[str, Any]:
        return dict(await self._ask("GET", "/api/v1/gpt4o-image/record-info", params={"taskId": task_id}))

    async def link(self, task_id: str, url: str) -> str:
        """A direct download URL for a result."""
        return str(await self._ask("POST", "/api/v1/gpt4o-image/download-url", json={"taskId": task_id, "url": url}))

    async def fetch(self, url: str) -> tuple[int, dict[str, str], bytes]:
        """Follow a link as a browser would, without the key: status, headers (names in lower case), body."""
        async with self._session.get(url) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, headers, await response.read()

    async def _ask(self, method: str, path: str, **request: Any) -> Any:
        """One call; answers ``data``. Raises Fail with the gateway's own words."""
        async with self._session.request(method, self._url + path, headers=self._headers, **request) as response:
            answer = await response.json()
        if response.status != 200 or answer.get("code") != 200:
            raise Fail(f"The gateway refused {method} {path}: {answer.get('code')} {answer.get('msg')}")
        return answer["data"]


async def finished(customer: Customer, task_id: str, tell: Callable[[float], None]) -> str:
    """Poll until the task has succeeded; ``tell`` hears the progress. Answers the URL of its result. Raises Fail."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                record = await customer.record(task_id)
                tell(float(record["progress"]))
                if record["successFlag"] == 1:
                    return str(record["response"]["resultUrls"][0])
                if record["successFlag"] != 0:
                    raise Fail(f"The task failed: {record['errorCode']} {record['errorMessage']}")
                await asyncio.sleep(POLL)
    except TimeoutError as error:
        raise Fail(f"The task was not finished within {PATIENCE:g} seconds.") from error

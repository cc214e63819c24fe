"""Clients of the gateway: they submit, repeat, cancel and upload, many at once, and write down what they heard."""

import asyncio
import base64
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp

from tessera.testing.torture.books import FINDABLE, KEYED, PLAIN, Sent

PATIENCE = 4.0
"""Seconds until a client hangs up."""

AGAIN = 0.3
TRIES = 60
"""Tries of a request that carries an idempotency key, until there is an answer: long enough for any restart."""


@dataclass(slots=True, kw_only=True)
class Clients:
    """``urls`` are the APIs, any of which is as good as the others; ``receiver`` is where callbacks go."""

    urls: list[str]
    receiver: str
    api_key: str
    random: Random
    http: aiohttp.ClientSession
    sent: list[Sent] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    async def run(self, tasks: int, seconds: float, *, clients: int = 8) -> None:
        """Submit so many tasks, spread over so many seconds."""
        waits = [seconds * clients / tasks * self.random.uniform(0.2, 1.8) for _ in range(tasks)]
        shares = [waits[number::clients] for number in range(clients)]
        await asyncio.gather(*(self._one_client(share) for share in shares))

    async def _one_client(self, waits: list[float]) -> None:
        async with asyncio.TaskGroup() as group:
            for wait in waits:
                await asyncio.sleep(wait)
                group.create_task(self._story(self._plan()))

    def _plan(self) -> tuple[Sent, dict[str, Any], float | None, bool]:
        """A request, when to cancel it (None: never), and whether to send it once more."""
        number, chance = len(self.sent), self.random
        service = chance.choice([KEYED, KEYED, PLAIN, FINDABLE])
        nonce = f"n{number:05d}"
        manner = chance.choices(["fine", "never", "gone", None], [70, 4, 3, 23])[0]
        callback = f"{self.receiver}/{manner}/{nonce}" if manner else None
        keyed = chance.random() < 0.6
        sent = Sent(nonce=nonce, key=f"key-{nonce}" if keyed else None, callback_url=callback)
        self.sent.append(sent)
        body: dict[str, Any] = {"prompt": f"via {service} {nonce}", "size": "1:1"}
        body["nVariants"] = chance.choices([1, 2], [5, 1])[0]
        if callback:
            body["callBackUrl"] = callback
        cancel = chance.uniform(0, 3) if chance.random() < 0.12 else None
        return sent, body, cancel, keyed and chance.random() < 0.25

    async def _story(self, plan: tuple[Sent, dict[str, Any], float | None, bool]) -> None:
        sent, body, cancel, again = plan
        await self._submit(sent, body)
        if again:
            await self._submit(sent, body)
        if cancel is not None and sent.told:
            await asyncio.sleep(cancel)
            answer = await self._ask("POST", f"/v1/tasks/{sent.told[0]}/cancel")
            sent.canceled = answer is not None
            self.counts["cancels asked for"] += 1
        elif sent.told and self.random.random() < 0.1:
            await self._ask("GET", f"/api/v1/gpt4o-image/record-info?taskId={sent.told[0]}")
        if self.random.random() < 0.1:
            await self._upload(sent.nonce)

    async def _submit(self, sent: Sent, body: dict[str, Any]) -> None:
        headers = {"Idempotency-Key": sent.key} if sent.key else {}
        for _ in range(TRIES if sent.key else 1):
            sent.posts += 1
            answer = await self._ask("POST", "/api/v1/gpt4o-image/generate", body, headers)
            if answer is not None and answer.get("code") == 200:
                sent.told.append(answer["data"]["taskId"])
                self.counts["submits answered"] += 1
                return
            # Without an answer, or with one that blames the server, nothing is known: only a key makes it safe to ask.
            if answer is not None and answer.get("code") not in {500, 455}:
                sent.refused = str(answer)[:200]
                return
            self.counts["submits without an answer"] += 1
            await asyncio.sleep(AGAIN)

    async def _upload(self, name: str) -> None:
        data = base64.b64encode(name.encode() * 20).decode()
        body = {"base64Data": data, "uploadPath": "torture", "fileName": f"{name}.txt"}
        if await self._ask("POST", "/api/file-base64-upload", body):
            self.counts["uploads"] += 1

    async def _ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any] | None:
        """The decoded answer; None where none came."""
        url = self.random.choice(self.urls) + path
        try:
            async with self.http.request(
                method,
                url,
                json=body,
                headers={"Authorization": f"Bearer {self.api_key}", **(headers or {})},
                timeout=aiohttp.ClientTimeout(total=PATIENCE),
            ) as response:
                answer = await response.json(content_type=None)
                return answer if isinstance(answer, dict) else None
        except (TimeoutError, aiohttp.ClientError, ValueError):
            return None

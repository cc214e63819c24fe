"""A caller of the wire tests: it asks over HTTP, and holds every answer against the contract before a test sees it."""

import json as json_module
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from multidict import CIMultiDictProxy
from tests.wire import promises

from tessera.db import tasks
from tessera.domain.account import Account
from tessera.domain.task import Mode, Task
from tessera.providers.fake import Fake
from tessera.testing.gateway import Gateway
from tessera.testing.mailbox import Mailbox

GENERATE = "/api/v1/gpt4o-image/generate"
RECORD = "/api/v1/gpt4o-image/record-info"
DOWNLOAD = "/api/v1/gpt4o-image/download-url"
COMMON = "/api/v1/common/download-url"
CREDIT = "/api/v1/chat/credit"
BASE64 = "/api/file-base64-upload"
STREAM = "/api/file-stream-upload"
BY_URL = "/api/file-url-upload"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. ``json`` and what is taken from it fail where the body is no JSON."""

    status: int
    headers: CIMultiDictProxy[str] = field(repr=False)
    body: bytes

    @property
    def json(self) -> Any:
        return json_module.loads(self.body)

    @property
    def code(self) -> int:
        return int(self.json["code"])

    @property
    def msg(self) -> str:
        return str(self.json["msg"])

    @property
    def data(self) -> Any:
        return self.json["data"]


class Desk:
    """An account of its own on a gateway, with a key of each mode. ``fake`` is what its test key runs on."""

    def __init__(
        self, gateway: Gateway, fake: Fake, account: Account, keys: Mapping[str, str], finished: Mailbox[Any]
    ) -> None:
        self.gateway = gateway
        self.house = gateway.house
        self.fake = fake
        self.account = account
        self.keys = keys
        self._finished = finished

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = "test",
        json: object = None,
        data: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request. ``key`` is ``test`` or ``live`` for our own, None for none at all, else what is sent."""
        head = dict(headers or {})
        if key is not None:
            head.setdefault("Authorization", f"Bearer {self.keys.get(key, key)}")
        url = path if path.startswith("http") else self.gateway.base_url + path
        async with self.gateway.http.request(
            method, url, json=json, data=data, params=params, headers=head, allow_redirects=False
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
        media_type = answer.headers.get("Content-Type", "")
        if path.startswith("/"):
            promises.images().check(method, path, answer.status, media_type, answer.body)
        assert answer.headers.get("X-Content-Type-Options") == "nosniff", answer
        return answer

    async def post(self, path: str, body: object, **more: Any) -> Answer:
        return await self.ask("POST", path, json=body, **more)

    async def get(self, path: str, **params: str) -> Answer:
        return await self.ask("GET", path, params=params)

    async def raw(self, path: str, body: bytes, **more: Any) -> Answer:
        """POST these very bytes as JSON."""
        return await self.ask("POST", path, data=body, headers={"Content-Type": "application/json"}, **more)

    async def submit(self, body: Mapping[str, object] | None = None, **more: Any) -> str:
        """Create a 4o task; answers its id."""
        answer = await self.post(GENERATE, body or {"prompt": "A paper boat", "size": "1:1"}, **more)
        assert answer.code == 200, answer
        return str(answer.data["taskId"])

    async def record(self, task_id: str) -> Any:
        answer = await self.get(RECORD, taskId=task_id)
        assert answer.code == 200, answer
        return answer.data

    async def ended(self, task_id: str) -> Any:
        """The record of a task once it is over."""
        while (record := await self.record(task_id))["successFlag"] == 0:
            await self._finished.next()
        return record

    async def made(self, body: Mapping[str, object] | None = None) -> tuple[str, str]:
        """A task that has succeeded, and the URL of its first result."""
        task_id = await self.submit(body)
        record = await self.ended(task_id)
        assert record["successFlag"] == 1, record
        return task_id, str(record["response"]["resultUrls"][0])

    async def fetch(self, url: str, method: str = "GET", **headers: str) -> Answer:
        """A file, without any key."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask(method, url, key=None, headers=named)

    async def credits(self) -> float:
        answer = await self.get(CREDIT)
        return float(answer.data)

    async def task(self, task_id: str) -> Task:
        """A task as it was understood."""
        task = await tasks.get(self.house.database, task_id)
        assert task is not None
        return task

    async def count(self) -> int:
        """How many tasks this account has."""
        query = "SELECT count(*) FROM tasks WHERE account_id = $1"
        return int(await self.house.database.pool.fetchval(query, self.account.id))

    async def state(self) -> tuple[int, ...]:
        """All that a request could have changed: balances, tasks, entries, files, deliveries, keys to replay."""
        tables = ("tasks", "ledger", "assets", "deliveries", "idempotency_keys")
        counts = [
            int(
                await self.house.database.pool.fetchval(
                    f"SELECT count(*) FROM {table} WHERE account_id = $1", self.account.id
                )
            )
            for table in tables
        ]
        balances = [await self.house.accounts.balance(self.account, mode) for mode in Mode]
        return (*balances, *counts)

    async def neighbour(self) -> "Desk":
        """Another account on the same gateway."""
        return await seated(self.gateway, self.fake, self._finished)

    async def new_key(self, mode: Mode = Mode.TEST, **limits: Any) -> str:
        """One more key of this account, with caps, networks or an end."""
        return (await self.house.accounts.create_key(self.account, mode, **limits)).secret

    @asynccontextmanager
    async def untouched(self) -> AsyncIterator[None]:
        """What happens inside leaves no trace: no task, no charge, no file."""
        before = await self.state()
        yield
        assert await self.state() == before


async def seated(gateway: Gateway, fake: Fake, finished: Mailbox[Any]) -> Desk:
    """A desk with an account of its own: nothing that another test did is seen from it."""
    accounts = gateway.house.accounts
    account = await accounts.create(f"desk-{gateway.house.ids()}", test_credits=1000)
    keys = {
        "test": (await accounts.create_key(account, Mode.TEST)).secret,
        "live": (await accounts.create_key(account, Mode.LIVE)).secret,
    }
    return Desk(gateway, fake, account, keys, finished)

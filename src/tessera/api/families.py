"""The generating families: every operation of every dialect is served here, by the same few lines."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler

from tessera.api import watch
from tessera.api.auth import Keys
from tessera.api.http import Direct, HttpRequest, HttpResponse, answer, body, header, success
from tessera.contract.envelope import Envelope, encode
from tessera.contract.operations import Operation
from tessera.db import assets, ledger, tasks
from tessera.dialects import files as files_dialect
from tessera.dialects.base import Call, Route
from tessera.domain.account import ApiKey
from tessera.domain.asset import Asset
from tessera.domain.credit import credits
from tessera.domain.errors import Invalid
from tessera.domain.task import Draft, Task
from tessera.kit.batch import Batch
from tessera.kit.ids import plausible
from tessera.wiring import House

REPLAYED = {"Idempotency-Replayed": "true"}

GLANCE = 0.1
"""Seconds between two looks at a task whose end somebody waits for."""


class Families:
    """What the handlers share: the house, the keys, and reads of the same moment fetched as one."""

    def __init__(self, house: House, keys: Keys) -> None:
        self.house = house
        self.keys = keys
        self.tasks: Batch[tuple[str, str], Task | None] = Batch(self._read_tasks, lanes=2)
        self.assets: Batch[str, Asset | None] = Batch(self._read_assets, lanes=2)

    async def serve(self, request: HttpRequest, route: Route) -> HttpResponse:
        key = await self.keys(request)
        sent = await body(request, self.house.config.body_max_bytes) if route.operation.method == "post" else b""
        desk = CallersDesk(self, key, header(request, b"idempotency-key") if route.operation.creates else None)
        query = request.query_params.dict() if request.scope["query_string"] else {}
        data = await route.answer(Call(body=sent, query=query, path=request.path_params), desk)
        if isinstance(data, Envelope):
            watch.note(request.scope, 0 if data.code == 200 else data.code)
            return answer(encode(data))
        return success(data, REPLAYED if desk.replayed else None)

    async def any_link(self, request: HttpRequest) -> HttpResponse:
        """A direct link to any file that this account's tasks made."""
        desk = CallersDesk(self, await self.keys(request), None)
        url = files_dialect.wanted(await body(request, self.house.config.body_max_bytes))
        key = desk.key(url)
        asset = await desk.asset(key) if key else None
        if asset is None or asset.task_id is None or await desk.task(asset.task_id) is None:
            raise Invalid("url is wrong", field="url")
        if asset.purged_at is not None:
            raise Invalid(files_dialect.too_old(desk.kept), field="url")
        return success(desk.direct(asset))

    async def _read_tasks(self, wanted: Sequence[tuple[str, str]]) -> list[Task | Exception | None]:
        ids, owners = {task_id for task_id, _ in wanted}, {account_id for _, account_id in wanted}
        found = await tasks.get_many(self.house.database, list(ids), list(owners))
        return [found.get(task_id) for task_id, _ in wanted]

    async def _read_assets(self, keys: Sequence[str]) -> list[Asset | Exception | None]:
        found = await assets.get_many(self.house.database, list(set(keys)))
        return [found.get(each) for each in keys]


class CallersDesk:
    """The gateway as one call sees it, see ``dialects.base.Desk``: nobody else's tasks and files are there."""

    def __init__(self, families: Families, key: ApiKey, idempotency_key: str | None) -> None:
        self._families = families
        self._house = families.house
        self._key = key
        self._idempotency_key = idempotency_key
        self.replayed = False

    @property
    def now(self) -> datetime:
        return self._house.clock()

    @property
    def kept(self) -> timedelta:
        return self._house.config.retention_outputs

    def link(self, asset: Asset) -> str:
        return self._house.link(asset)

    def direct(self, asset: Asset) -> str:
        expires = timedelta(seconds=self._house.config.link_seconds)
        return self._house.store.sign(asset.key, expires=expires, now=self.now)

    def key(self, url: str) -> str | None:
        return self._house.links.key(url)

    async def asset(self, key: str) -> Asset | None:
        asset = await self._families.assets(key)
        return asset if asset is not None and asset.account_id == self._key.account_id else None

    async def task(self, task_id: str) -> Task | None:
        # What no id can be is not looked up: reads of the same moment go together, and one must not spoil the others.
        task = await self._families.tasks((task_id, self._key.account_id)) if plausible(task_id) else None
        return task if task is not None and self._own(task) else None

    async def children(self, parent: Task, operation: str) -> list[Task]:
        ids = await tasks.children(self._house.database, parent.id, operation, self._key.account_id)
        found = [await self.task(each) for each in ids]
        return [task for task in found if task is not None]

    async def accept(self, draft: Draft, *, once: str | None = None) -> str:
        ticket = await self._house.intake.accept(draft, self._key, None if once else self._idempotency_key, once=once)
        self.replayed = ticket.replayed and once is None
        return ticket.task_id

    async def credits(self) -> float:
        return credits(await ledger.balance(self._house.database, self._key.account_id, self._key.mode))

    async def done(self, task_id: str, within: timedelta) -> Task:
        end = asyncio.get_running_loop().time() + within.total_seconds()
        while True:
            task = await self.task(task_id)
            assert task is not None  # it was accepted for this caller
            if task.state.terminal or asyncio.get_running_loop().time() >= end:
                return task
            await asyncio.sleep(GLANCE)

    def _own(self, task: Task) -> bool:
        return (task.account_id, task.mode) == (self._key.account_id, self._key.mode)


def routes(families: Families) -> list[HTTPRouteHandler]:
    """The paths of every family."""
    served = [_handler(families, route) for family in families.house.families.values() for route in family.routes]

    @post("/api/v1/common/download-url", status_code=200, middleware=[Direct])
    async def common_download_url(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await families.any_link(request)

    return [*served, common_download_url]


def _handler(families: Families, route: Route) -> HTTPRouteHandler:
    async def handle(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await families.serve(request, route)

    make = post if route.operation.method == "post" else get
    return make(_template(route.operation), status_code=200, middleware=[Direct])(handle)


def _template(operation: Operation) -> str:
    """The path as the framework wants it: each part of it that is named is text."""
    return operation.path.replace("}", ":str}")

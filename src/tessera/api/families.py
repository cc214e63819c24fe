"""The generating families: create, look, and get a direct link. One pair of handlers serves every dialect."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler

from tessera.api.auth import Keys
from tessera.api.http import Direct, HttpRequest, HttpResponse, body, header, one, success
from tessera.contract.envelope import TaskCreated
from tessera.db import assets, tasks
from tessera.dialects import files as files_dialect
from tessera.dialects.base import Dialect
from tessera.dialects.gpt4o import Gpt4o
from tessera.domain.account import ApiKey
from tessera.domain.asset import Asset
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.task import State, Task
from tessera.kit.batch import Batch
from tessera.kit.ids import plausible
from tessera.wiring import House

REPLAYED = {"Idempotency-Replayed": "true"}


class Families:
    """What the handlers share: the house, the keys, and reads of the same moment fetched as one."""

    def __init__(self, house: House, keys: Keys) -> None:
        self.house = house
        self.keys = keys
        self._tasks: Batch[tuple[str, str], Task | None] = Batch(self._read_tasks, lanes=2)
        self._assets: Batch[str, Asset | None] = Batch(self._read_assets, lanes=2)

    async def create(self, request: HttpRequest, dialect: Dialect) -> HttpResponse:
        key = await self.keys(request)
        draft = dialect.parse(await body(request, self.house.config.body_max_bytes))
        ticket = await self.house.intake.accept(draft, key, header(request, b"idempotency-key"))
        return success(TaskCreated(ticket.task_id), REPLAYED if ticket.replayed else None)

    async def record(self, request: HttpRequest, dialect: Dialect, task_id: Callable[[str], str]) -> HttpResponse:
        key = await self.keys(request)
        task = await self._own_task(key, dialect.family, task_id(one(request, "taskId")))
        if task is None:
            raise NotFound("The record does not exist")
        return success(dialect.record(task, self.house.link, self.house.clock()))

    async def task_link(self, request: HttpRequest, dialect: Gpt4o) -> HttpResponse:
        """A direct link to a result of a task of this family, in the family's own words."""
        key = await self.keys(request)
        task_id, url = dialect.wanted(await body(request, self.house.config.body_max_bytes))
        object_key = self.house.links.key(url)
        if task_id is None:
            found = await self._assets(object_key) if object_key else None
            task_id = found.task_id if found else None
        task = await self._own_task(key, dialect.family, task_id) if task_id else None
        if task is None:
            raise NotFound("record is null")
        _check_ready(task, self.house.clock(), self.house.config.retention_outputs)
        asset = next((output for output in task.outputs if output.key == object_key), None)
        if asset is None:
            raise Invalid("record result data not exist", field="url")
        if asset.purged_at is not None:
            raise Invalid(_too_old(self.house.config.retention_outputs), field="url")
        return success(self._sign(asset))

    async def any_link(self, request: HttpRequest) -> HttpResponse:
        """A direct link to any file that this account's tasks made."""
        key = await self.keys(request)
        url = files_dialect.wanted(await body(request, self.house.config.body_max_bytes))
        object_key = self.house.links.key(url)
        asset = await self._assets(object_key) if object_key else None
        if asset is None or asset.account_id != key.account_id or asset.task_id is None:
            raise Invalid("url is wrong", field="url")
        task = await self._tasks((asset.task_id, key.account_id))
        if task is None or task.mode != key.mode:
            raise Invalid("url is wrong", field="url")
        if asset.purged_at is not None:
            raise Invalid(_too_old(self.house.config.retention_outputs), field="url")
        return success(self._sign(asset))

    def _sign(self, asset: Asset) -> str:
        expires = timedelta(seconds=self.house.config.link_seconds)
        return self.house.store.sign(asset.key, expires=expires, now=self.house.clock())

    async def _own_task(self, key: ApiKey, family: str, task_id: str) -> Task | None:
        """The task, where it is this account's, of the key's mode and of this family; a foreign one is unknown."""
        # What no id can be is not looked up: reads of the same moment go together, and one must not spoil the others.
        if not plausible(task_id):
            return None
        task = await self._tasks((task_id, key.account_id))
        if task is None or (task.account_id, task.mode, task.family) != (key.account_id, key.mode, family):
            return None
        return task

    async def _read_tasks(self, wanted: Sequence[tuple[str, str]]) -> list[Task | Exception | None]:
        ids, owners = {task_id for task_id, _ in wanted}, {account_id for _, account_id in wanted}
        found = await tasks.get_many(self.house.database, list(ids), list(owners))
        return [found.get(task_id) for task_id, _ in wanted]

    async def _read_assets(self, keys: Sequence[str]) -> list[Asset | Exception | None]:
        found = await assets.get_many(self.house.database, list(set(keys)))
        return [found.get(each) for each in keys]


def _check_ready(task: Task, now: datetime, kept: timedelta) -> None:
    if task.state is not State.SUCCEEDED:
        raise Invalid("record status is not success", field="taskId")
    if now - task.created_at > kept:
        raise Invalid(_too_old(kept), field="taskId")
    if not task.outputs:
        raise Invalid("record result data is empty", field="taskId")


def _too_old(kept: timedelta) -> str:
    unit, count = ("days", kept.days) if kept.days else ("hours", int(kept.total_seconds() // 3600))
    return f"Temporarily supports records within {count} {unit}"


def routes(families: Families) -> list[HTTPRouteHandler]:
    """The paths of every family that is built so far."""
    gpt4o = families.house.dialects["gpt4o-image"]
    assert isinstance(gpt4o, Gpt4o)

    @post("/api/v1/gpt4o-image/generate", status_code=200, middleware=[Direct])
    async def generate(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await families.create(request, gpt4o)

    @get("/api/v1/gpt4o-image/record-info", middleware=[Direct])
    async def record_info(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await families.record(request, gpt4o, gpt4o.task_id)

    @post("/api/v1/gpt4o-image/download-url", status_code=200, middleware=[Direct])
    async def download_url(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await families.task_link(request, gpt4o)

    @post("/api/v1/common/download-url", status_code=200, middleware=[Direct])
    async def common_download_url(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await families.any_link(request)

    return [generate, record_info, download_url, common_download_url]

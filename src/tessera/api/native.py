"""Our own endpoints under ``/v1``. The envelope is the one of the api paths, the HTTP statuses are real."""

from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from tessera.api.auth import Keys
from tessera.api.http import HttpRequest, HttpResponse, success
from tessera.db import tasks, webhooks
from tessera.dialects import native
from tessera.domain.account import ApiKey
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.task import Task
from tessera.domain.webhook import Delivery, DeliveryState
from tessera.kit.ids import plausible
from tessera.wiring import House

MOST = 200


class Native:
    def __init__(self, house: House, keys: Keys) -> None:
        self.house = house
        self.keys = keys

    async def task(self, request: HttpRequest, task_id: str) -> HttpResponse:
        return self._show(await self._own_task(await self.keys(request), task_id))

    async def cancel(self, request: HttpRequest, task_id: str) -> HttpResponse:
        """Cancel, as often as one likes: the answer is the task as it stands then."""
        key = await self.keys(request)
        await self._own_task(key, task_id)
        await self.house.finish.cancel(task_id, key.account_id)
        return self._show(await self._own_task(key, task_id))

    async def deliveries(self, request: HttpRequest) -> HttpResponse:
        key = await self.keys(request)
        query = request.query_params
        task_id, state = query.get("taskId"), _state(request)
        if task_id is not None:
            task = await self._own_task(key, task_id)
            found = await webhooks.of_task(self.house.database, task.id)
            found = [each for each in found if state is None or each.state == state]
        else:
            found = await webhooks.of_account(
                self.house.database, key.account_id, mode=key.mode, state=state, limit=_limit(request)
            )
        return success([native.delivery(each) for each in found])

    async def delivery(self, request: HttpRequest, delivery_id: str) -> HttpResponse:
        key = await self.keys(request)
        return await self._show_delivery(await self._own_delivery(key, delivery_id))

    async def redeliver(self, request: HttpRequest, delivery_id: str) -> HttpResponse:
        """Send a callback again; one that is under way goes on as it does."""
        key = await self.keys(request)
        await self._own_delivery(key, delivery_id)
        await self.house.finish.tell_again(delivery_id, key.account_id)
        return await self._show_delivery(await self._own_delivery(key, delivery_id))

    def _show(self, task: Task) -> HttpResponse:
        return success(native.task(task, self.house.link, self.house.clock()))

    async def _show_delivery(self, delivery: Delivery) -> HttpResponse:
        return success(native.delivery(delivery, await webhooks.attempts(self.house.database, delivery.id)))

    async def _own_task(self, key: ApiKey, task_id: str) -> Task:
        found = await tasks.get_many(self.house.database, [task_id], [key.account_id]) if plausible(task_id) else {}
        task = found.get(task_id)
        if task is None or task.mode != key.mode:
            raise NotFound("There is no such task")
        return task

    async def _own_delivery(self, key: ApiKey, delivery_id: str) -> Delivery:
        delivery = await webhooks.get(self.house.database, delivery_id) if plausible(delivery_id) else None
        if delivery is None or delivery.account_id != key.account_id:
            raise NotFound("There is no such delivery")
        task = await tasks.get(self.house.database, delivery.task_id)
        if task is None or task.mode != key.mode:
            raise NotFound("There is no such delivery")
        return delivery


def _state(request: HttpRequest) -> DeliveryState | None:
    state = request.query_params.get("state")
    try:
        return None if state is None else DeliveryState(state)
    except ValueError:
        raise Invalid(f"state: must be one of {', '.join(DeliveryState)}", field="state") from None


def _limit(request: HttpRequest) -> int:
    text = request.query_params.get("limit", "50")
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= MOST):
        raise Invalid(f"limit: a whole number from 1 to {MOST}", field="limit")
    return int(text)


def routes(house: House, keys: Keys) -> list[HTTPRouteHandler]:
    desk = Native(house, keys)

    @get("/v1/tasks/{task_id:str}")
    async def task(request: Request, task_id: FromPath[str]) -> HttpResponse:  # type: ignore[type-arg]
        return await desk.task(request, task_id)

    @post("/v1/tasks/{task_id:str}/cancel", status_code=200)
    async def cancel(request: Request, task_id: FromPath[str]) -> HttpResponse:  # type: ignore[type-arg]
        return await desk.cancel(request, task_id)

    @get("/v1/webhooks/deliveries")
    async def deliveries(request: Request) -> HttpResponse:  # type: ignore[type-arg]
        return await desk.deliveries(request)

    @get("/v1/webhooks/deliveries/{delivery_id:str}")
    async def delivery(request: Request, delivery_id: FromPath[str]) -> HttpResponse:  # type: ignore[type-arg]
        return await desk.delivery(request, delivery_id)

    @post("/v1/webhooks/deliveries/{delivery_id:str}/redeliver", status_code=200)
    async def redeliver(request: Request, delivery_id: FromPath[str]) -> HttpResponse:  # type: ignore[type-arg]
        return await desk.redeliver(request, delivery_id)

    return [task, cancel, deliveries, delivery, redeliver]

"""Our own endpoints: look at a task, cancel it, see its callbacks and repeat them."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.wire.conftest import OpenDesk
from tests.wire.desk import Desk
from yarl import URL

from tessera.contract.native import NativeDelivery, NativeTask
from tessera.db import webhooks
from tessera.domain.errors import Failed
from tessera.domain.task import Mode
from tessera.domain.webhook import DeliveryState
from tessera.providers.fake import accept
from tessera.testing.servers import Receiver, receiving
from tessera.testing.ticker import Ticker

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOAT = {"prompt": "A paper boat", "size": "1:1"}
PRICE = 10.0
DELIVERIES = "/v1/webhooks/deliveries"


@pytest_asyncio.fixture(loop_scope="module")
async def hook() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def settled(desk: Desk, delivery_id: str) -> Any:
    """A delivery once its last try is on record."""
    async with asyncio.timeout(20):
        while (answer := await desk.get(f"{DELIVERIES}/{delivery_id}")).data["state"] == "pending":
            await asyncio.sleep(0.01)  # the record follows the answer of the receiver, and nothing tells of it
    return answer.data


async def told(desk: Desk, hook: Receiver) -> tuple[str, Any]:
    """A task whose callback was delivered: its id, and the delivery."""
    task_id = await desk.submit({**BOAT, "callBackUrl": f"{hook.url}/native"})
    await hook.next()
    (listed,) = (await desk.get(DELIVERIES, taskId=task_id)).data
    return task_id, await settled(desk, listed["id"])


# ---- tasks ----


async def test_a_task_shows_its_files_and_what_it_cost(desk: Desk) -> None:
    task_id, url = await desk.made()
    answer = await desk.get(f"/v1/tasks/{task_id}")
    assert (answer.status, answer.code) == (200, 200)
    task = msgspec.convert(answer.data, NativeTask)
    assert (task.id, task.family, task.mode, task.state) == (task_id, "gpt4o-image", "test", "succeeded")
    assert (task.progress, task.credits, task.error) == (1.0, PRICE, None)
    (file,) = task.outputs
    assert file.url == url
    assert file.size == len((await desk.fetch(url)).body)
    assert (file.width, file.height, file.mediaType, file.purgedAt) == (8, 8, "image/png", None)
    assert task.createdAt <= (task.startedAt or "") <= (task.completedAt or "")


async def test_a_failed_task_shows_why_and_costs_nothing(desk: Desk) -> None:
    desk.fake.script(accept(failure=Failed("It cannot be drawn")))
    task_id = await desk.submit()
    await desk.ended(task_id)
    task = (await desk.get(f"/v1/tasks/{task_id}")).data
    assert (task["state"], task["credits"], task["outputs"]) == ("failed", 0, [])
    assert task["error"] == {"reason": "provider_failed", "message": "It cannot be drawn"}


@pytest.mark.parametrize("path", ["/v1/tasks/{id}", "/v1/tasks/{id}/cancel"])
async def test_a_foreign_task_is_as_unknown_as_one_that_never_was(desk: Desk, path: str) -> None:
    task_id = await desk.submit()
    method = "POST" if path.endswith("cancel") else "GET"
    neighbour = await desk.neighbour()
    answers = [
        await neighbour.ask(method, path.format(id=task_id)),
        await desk.ask(method, path.format(id=task_id), key="live"),
        await desk.ask(method, path.format(id="0" * 32)),
    ]
    assert {(answer.status, answer.body) for answer in answers} == {
        (404, b'{"code":422,"msg":"There is no such task","data":null}')
    }
    assert (await desk.ended(task_id))["successFlag"] == 1


async def test_without_a_key_the_status_is_real(desk: Desk) -> None:
    answer = await desk.ask("GET", "/v1/tasks/1", key=None)
    assert (answer.status, answer.code) == (401, 401)


# ---- cancel ----


async def test_cancel_ends_a_task_at_once_however_often_it_is_asked(desk: Desk, hook: Receiver) -> None:
    hang = asyncio.Event()
    desk.fake.script(accept(hang))
    credits = await desk.credits()
    task_id = await desk.submit({**BOAT, "callBackUrl": f"{hook.url}/canceled"})
    await desk.fake.polled.get()
    assert await desk.credits() == credits - PRICE
    for _ in range(3):
        answer = await desk.post(f"/v1/tasks/{task_id}/cancel", None)
        assert (answer.status, answer.data["state"], answer.data["credits"]) == (200, "canceled", 0)
        assert answer.data["error"]["reason"] == "canceled"
    assert await desk.credits() == credits
    callback = await hook.next()
    assert json.loads(callback.body)["data"]["taskId"] == task_id
    hang.set()
    deliveries = (await desk.get(DELIVERIES, taskId=task_id)).data
    assert [each["event"] for each in deliveries] == ["task.canceled"], "it is told once"


async def test_cancel_of_a_task_that_is_over_changes_nothing(desk: Desk) -> None:
    task_id, _ = await desk.made()
    credits = await desk.credits()
    answer = await desk.post(f"/v1/tasks/{task_id}/cancel", None)
    assert (answer.status, answer.data["state"], answer.data["credits"]) == (200, "succeeded", PRICE)
    assert await desk.credits() == credits


async def test_the_provider_of_a_canceled_task_is_told_to_stop(desk: Desk) -> None:
    hang = asyncio.Event()
    desk.fake.script(accept(hang))
    task_id = await desk.submit()
    booked = None
    async with asyncio.timeout(20):
        while booked is None:
            upstream = await desk.fake.polled.get()
            booked = next(
                (job for job in desk.fake.jobs if job.upstream_id == upstream and job.job.task_id == task_id), None
            )
        await desk.post(f"/v1/tasks/{task_id}/cancel", None)
        while not booked.canceled:
            await asyncio.sleep(0.01)  # it is told by a job of its own
    hang.set()


# ---- deliveries ----


async def test_a_delivery_shows_every_try(desk: Desk, hook: Receiver) -> None:
    hook.script(500, 503)
    task_id = await desk.submit({**BOAT, "callBackUrl": f"{hook.url}/native"})
    for _ in range(3):
        await hook.next()
    (listed,) = (await desk.get(DELIVERIES, taskId=task_id)).data
    assert listed["attempts"] is None, "a list tells no tries"
    shown = msgspec.convert(await settled(desk, listed["id"]), NativeDelivery)
    assert (shown.taskId, shown.event, shown.url) == (task_id, "task.succeeded", f"{hook.url}/native")
    assert (shown.state, shown.nextAt) == ("delivered", None)
    assert [(each.number, each.status) for each in shown.attempts or []] == [(1, 500), (2, 503), (3, 200)]


async def test_deliveries_are_listed_by_state_the_newest_first(desk: Desk, hook: Receiver) -> None:
    desk = await desk.neighbour()
    first, _ = await told(desk, hook)
    hook.script(410)
    second = await desk.submit({**BOAT, "callBackUrl": f"{hook.url}/native"})
    await hook.next()
    (gone,) = (await desk.get(DELIVERIES, taskId=second)).data
    assert (await settled(desk, gone["id"]))["state"] == "failed"
    tasks = {
        query: [each["taskId"] for each in (await desk.get(DELIVERIES, **dict(query))).data]
        for query in ((), (("state", "failed"),), (("state", "delivered"),), (("state", "pending"),), (("limit", "1"),))
    }
    assert tasks == {
        (): [second, first],
        (("state", "failed"),): [second],
        (("state", "delivered"),): [first],
        (("state", "pending"),): [],
        (("limit", "1"),): [second],
    }
    assert (await desk.get(DELIVERIES, taskId=first, state="failed")).data == []


@pytest.mark.parametrize(
    ("query", "msg"),
    [
        ({"state": "lost"}, "state: must be one of pending, delivered, failed"),
        ({"limit": "0"}, "limit: a whole number from 1 to 200"),
        ({"limit": "201"}, "limit: a whole number from 1 to 200"),
        ({"limit": "-1"}, "limit: a whole number from 1 to 200"),
        ({"limit": "٣"}, "limit: a whole number from 1 to 200"),
        ({"limit": "9" * 30}, "limit: a whole number from 1 to 200"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_with_its_rule(
    desk: Desk, query: dict[str, str], msg: str
) -> None:
    answer = await desk.get(DELIVERIES, **query)
    assert (answer.status, answer.code, answer.msg) == (422, 422, msg)


async def test_a_foreign_delivery_is_as_unknown_as_one_that_never_was(desk: Desk, hook: Receiver) -> None:
    _, delivery = await told(desk, hook)
    neighbour = await desk.neighbour()
    for path in (f"{DELIVERIES}/{{}}", f"{DELIVERIES}/{{}}/redeliver"):
        method = "POST" if path.endswith("redeliver") else "GET"
        answers = [
            await neighbour.ask(method, path.format(delivery["id"])),
            await desk.ask(method, path.format("msg_nowhere")),
        ]
        assert {(answer.status, answer.msg) for answer in answers} == {(404, "There is no such delivery")}
    assert hook.inbox.empty, "nobody else can make us call"


async def test_a_redelivery_says_the_same_again_under_the_same_id(desk: Desk, hook: Receiver) -> None:
    task_id = await desk.submit({**BOAT, "callBackUrl": f"{hook.url}/native"})
    first = await hook.next()
    (listed,) = (await desk.get(DELIVERIES, taskId=task_id)).data
    await settled(desk, listed["id"])
    answer = await desk.post(f"{DELIVERIES}/{listed['id']}/redeliver", None)
    assert (answer.status, answer.data["state"]) == (200, "pending")
    second = await hook.next()
    assert second.body == first.body
    assert second.headers["webhook-id"] == first.headers["webhook-id"]
    assert [each["status"] for each in (await settled(desk, listed["id"]))["attempts"]] == [200, 200]


async def test_a_delivery_that_is_under_way_goes_on_as_it_does(open_desk: OpenDesk, hook: Receiver) -> None:
    async with open_desk(webhook_schedule="1h") as desk:
        hook.script(500)
        task_id = await desk.submit({**BOAT, "callBackUrl": f"{hook.url}/native"})
        await hook.next()
        (delivery,) = await webhooks.of_task(desk.house.database, task_id)
        before = None
        async with asyncio.timeout(20):
            while not await webhooks.attempts(desk.house.database, delivery.id):
                await asyncio.sleep(0.01)
        before = (await desk.get(f"{DELIVERIES}/{delivery.id}")).data
        for _ in range(2):
            answer = await desk.post(f"{DELIVERIES}/{delivery.id}/redeliver", None)
            assert (answer.status, answer.data) == (200, before)
        waiting = "SELECT count(*) FROM pgqueuer WHERE entrypoint LIKE 'callback%'"
        jobs = await desk.house.database.pool.fetchval(waiting)
        assert jobs == 1
        assert before["state"] == DeliveryState.PENDING.value


# ---- secrets ----


def verified(request: Any, secret: str) -> bool:
    try:
        Webhook(secret).verify(request.body, dict(request.headers))
    except WebhookVerificationError:
        return False
    return True


async def test_a_rotated_secret_verifies_until_its_time_is_over(open_desk: OpenDesk, hook: Receiver) -> None:
    # Near the present, for the receiver's library compares with its own clock and forgives five minutes.
    ticker = Ticker(datetime.now(UTC))
    async with open_desk(now=ticker) as desk:
        old = desk.account.webhook_secret
        task_id = await desk.submit({**BOAT, "callBackUrl": f"{hook.url}/native"})
        before = await hook.next()
        (delivery,) = (await desk.get(DELIVERIES, taskId=task_id)).data
        await settled(desk, delivery["id"])
        new = (await desk.house.accounts.rotate(desk.account, timedelta(minutes=2))).webhook_secret

        async def again() -> Any:
            await desk.post(f"{DELIVERIES}/{delivery['id']}/redeliver", None)
            request = await hook.next()
            await settled(desk, delivery["id"])
            return request

        during = await again()
        ticker.advance(timedelta(minutes=2))
        after = await again()
    assert [verified(request, old) for request in (before, during, after)] == [True, True, False]
    assert [verified(request, new) for request in (before, during, after)] == [False, True, True]
    assert [len(request.headers["webhook-signature"].split()) for request in (before, during, after)] == [1, 2, 1]


async def test_a_key_of_the_other_mode_sees_no_deliveries(desk: Desk, hook: Receiver) -> None:
    """A test key lies in more hands than a live one."""
    _, delivery = await told(desk, hook)
    other = await desk.new_key(Mode.LIVE)
    assert (await desk.ask("GET", f"{DELIVERIES}/{delivery['id']}", key=other)).status == 404
    assert (await desk.ask("POST", f"{DELIVERIES}/{delivery['id']}/redeliver", key=other)).status == 404
    assert (await desk.ask("GET", DELIVERIES, key=other)).data == []


@pytest.mark.parametrize("odd", ["%00", "a%00b", "%F0%9F%9A%A2", "%ED%A0%80", "x" * 5000, "%27%3B--"])
@pytest.mark.parametrize("path", ["/v1/tasks/{}", "/v1/webhooks/deliveries/{}", "/v1/webhooks/deliveries?taskId={}"])
async def test_what_no_id_can_be_is_as_unknown_as_any_other(desk: Desk, path: str, odd: str) -> None:
    url = URL(desk.gateway.base_url + path.format(odd), encoded=True)
    async with desk.gateway.http.get(url, headers={"Authorization": f"Bearer {desk.keys['test']}"}) as response:
        assert response.status == 404

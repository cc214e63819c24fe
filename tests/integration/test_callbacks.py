"""Tell: callbacks on their way to a real receiver."""

import asyncio
import base64
import hmac
import json
import socket
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from tests.integration.workshop import OpenShop, Workshop

from tessera.db import webhooks
from tessera.dialects.base import Link
from tessera.domain.errors import Failed
from tessera.domain.task import Reason, Task
from tessera.domain.webhook import Delivery, DeliveryAttempt
from tessera.engine import faults
from tessera.providers.fake import Fake, accept
from tessera.testing.plugin import Passed
from tessera.testing.servers import Answer, Host, Received, Receiver
from tessera.testing.ticker import Ticker
from tessera.webhooks.deliver import Deliver


async def tries(shop: Workshop, delivery: Delivery) -> list[DeliveryAttempt]:
    return await webhooks.attempts(shop.house.database, delivery.id)


async def only(shop: Workshop, task_id: str) -> Delivery:
    (delivery,) = await shop.deliveries(task_id)
    return delivery


def verify(request: Received, secret: str, task_id: str) -> None:
    """Both signatures, by their public rules."""
    Webhook(secret).verify(request.body, dict(request.headers))
    timestamp = request.headers["X-Webhook-Timestamp"]
    mac = hmac.digest(secret.encode(), f"{task_id}.{timestamp}".encode(), "sha256")
    assert request.headers["X-Webhook-Signature"] == base64.b64encode(mac).decode()


# ---- what is sent ----


async def test_a_success_is_told_with_its_links_and_both_signatures(
    open_shop: OpenShop, receiver: Receiver, passed: Passed
) -> None:
    recorded, fake = passed("callback.recorded"), Fake("sandbox")
    fake.script(accept(files=2))
    async with open_shop(fake, work=True) as shop:
        task_id = await shop.order(count=2, callback=f"{receiver.url}/hook?mine=1")
        request = await receiver.next()
        assert (request.method, request.path) == ("POST", "/hook?mine=1")
        assert request.headers["Content-Type"] == "application/json"
        verify(request, shop.account.webhook_secret, task_id)
        task = await shop.task(task_id)
        assert json.loads(request.body) == {
            "code": 200,
            "msg": "success",
            "data": {
                "taskId": task_id,
                "task_id": task_id,
                "info": {"result_urls": [shop.house.link(asset) for asset in task.outputs]},
            },
        }
        await recorded.next()
        delivery = await only(shop, task_id)
        assert (delivery.state, delivery.event, delivery.next_at) == ("delivered", "task.succeeded", None)
        assert delivery.ended_at is not None
        assert request.headers["webhook-id"] == delivery.id
        (attempt,) = await tries(shop, delivery)
        assert (attempt.number, attempt.status, attempt.error) == (1, 200, None)
        assert attempt.seconds >= 0


async def test_a_failure_is_told_with_its_reason(open_shop: OpenShop, receiver: Receiver) -> None:
    fake = Fake("sandbox")
    fake.script(accept(failure=Failed("Your content was flagged", reason=Reason.CONTENT)))
    async with open_shop(fake, work=True) as shop:
        task_id = await shop.order(callback=receiver.url)
        request = await receiver.next()
        verify(request, shop.account.webhook_secret, task_id)
        assert json.loads(request.body) == {
            "code": 400,
            "msg": "Your content was flagged",
            "data": {"taskId": task_id, "task_id": task_id, "info": None},
        }


async def test_two_callbacks_are_two_deliveries(open_shop: OpenShop, receiver: Receiver, passed: Passed) -> None:
    recorded, fake = passed("callback.recorded"), Fake("sandbox")
    fake.script(accept(callbacks=2))
    async with open_shop(fake, work=True) as shop:
        task_id = await shop.order(callback=receiver.url)
        requests = [await receiver.next() for _ in range(2)]
        assert len({request.headers["webhook-id"] for request in requests}) == 2
        assert requests[0].body == requests[1].body
        for _ in range(2):
            await recorded.next()
        assert [delivery.state for delivery in await shop.deliveries(task_id)] == ["delivered"] * 2


# ---- what the receiver answers ----


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_delivered(open_shop: OpenShop, receiver: Receiver, passed: Passed, status: int) -> None:
    recorded = passed("callback.recorded")
    receiver.script(status)
    async with open_shop(Fake("sandbox"), work=True) as shop:
        task_id = await shop.order(callback=receiver.url)
        await recorded.next()
        delivery = await only(shop, task_id)
        assert delivery.state == "delivered"
        assert [attempt.status for attempt in await tries(shop, delivery)] == [status]


async def test_a_failed_try_is_made_again_by_the_schedule(
    open_shop: OpenShop, receiver: Receiver, passed: Passed
) -> None:
    recorded = passed("callback.recorded")
    receiver.script(Answer(500, b"out of \0 order"), 503, 200)
    async with open_shop(Fake("sandbox"), work=True) as shop:
        task_id = await shop.order(callback=receiver.url)
        requests = [await receiver.next() for _ in range(3)]
        for _ in requests:
            await recorded.next()
        delivery = await only(shop, task_id)
        assert delivery.state == "delivered"
        attempts = await tries(shop, delivery)
        assert [(attempt.number, attempt.status) for attempt in attempts] == [(1, 500), (2, 503), (3, 200)]
        assert attempts[0].excerpt is not None
        assert attempts[0].excerpt.startswith("out of ")
        assert {request.headers["webhook-id"] for request in requests} == {delivery.id}
        for request in requests:
            verify(request, shop.account.webhook_secret, task_id)
        assert receiver.inbox.empty


@pytest.mark.parametrize("status", [302, 307, 400, 404, 429, 500])
async def test_when_the_schedule_is_used_up_the_delivery_has_failed(
    open_shop: OpenShop, receiver: Receiver, host: Host, passed: Passed, status: int
) -> None:
    recorded = passed("callback.recorded")
    elsewhere = {"Location": host.put("elsewhere", b"")} if status < 400 else {}
    receiver.script(*(Answer(status, headers=elsewhere) for _ in range(3)))
    async with open_shop(Fake("sandbox"), work=True) as shop:
        task_id = await shop.order(callback=receiver.url)
        for _ in range(3):
            await recorded.next()
        delivery = await only(shop, task_id)
        assert (delivery.state, delivery.next_at) == ("failed", None)
        assert delivery.ended_at is not None
        assert [attempt.status for attempt in await tries(shop, delivery)] == [status] * 3
    assert len(receiver.inbox.seen) == 3
    assert not host.requests.seen, "a redirect of a callback was followed"


async def test_410_ends_the_delivery_at_once(open_shop: OpenShop, receiver: Receiver, passed: Passed) -> None:
    recorded = passed("callback.recorded")
    receiver.script(410)
    async with open_shop(Fake("sandbox"), work=True) as shop:
        task_id = await shop.order(callback=receiver.url)
        await recorded.next()
        delivery = await only(shop, task_id)
        assert delivery.state == "failed"
        assert [attempt.status for attempt in await tries(shop, delivery)] == [410]
    assert len(receiver.inbox.seen) == 1


# ---- one try at a time, with the time held still ----


def deliver(shop: Workshop, **changes: Any) -> Deliver:
    house = shop.house
    terms: dict[str, Any] = {
        "schedule": (timedelta(seconds=5), timedelta(minutes=2)),
        "timeout": timedelta(seconds=5),
        "clock": house.clock,
        "chance": lambda: 0.5,
    }
    return Deliver(house.database, house.families, house.link, house.outbound, **{**terms, **changes})


async def ended(shop: Workshop, url: str) -> Delivery:
    """The delivery of a task that just ended."""
    return await only(shop, (await shop.walk(await shop.order(callback=url))).id)


async def test_each_try_says_when_the_next_one_is_due(open_shop: OpenShop, receiver: Receiver) -> None:
    ticker = Ticker()
    receiver.script(500, 500, 500)
    async with open_shop(Fake("sandbox"), now=ticker) as shop:
        delivery, tell = await ended(shop, receiver.url), deliver(shop)
        for wait in (timedelta(seconds=5), timedelta(minutes=2)):
            ticker.advance(1)
            assert await tell(delivery.id) == wait
            pending = await only(shop, delivery.task_id)
            assert (pending.state, pending.next_at) == ("pending", ticker.now + wait)
        assert await tell(delivery.id) is None
        over = await only(shop, delivery.task_id)
        assert (over.state, over.next_at, over.ended_at) == ("failed", None, ticker.now)
        assert await tell(delivery.id) is None, "a delivery that is over is made once more"
        assert len(receiver.inbox.seen) == 3


async def test_what_waits_for_its_turn_is_looked_at_ever_less_often(open_shop: OpenShop, receiver: Receiver) -> None:
    """The first of two deliveries is never tried here: the second asks, and asks, and not five times a second."""
    ticker, fake = Ticker(), Fake("sandbox")
    fake.script(accept(callbacks=2))
    async with open_shop(fake, now=ticker) as shop:
        task_id = await shop.order(callback=receiver.url)
        await shop.walk(task_id)
        second = (await shop.deliveries(task_id))[1]
        tell = deliver(shop)
        waits = []
        for _ in range(8):
            wait = await tell(second.id)
            assert wait is not None
            waits.append(wait.total_seconds())
            ticker.advance(wait)
        assert waits == [0.2, 0.2, 0.4, 0.8, 1.6, 2, 2, 2]


async def test_a_delivery_that_is_not_there_is_no_trouble(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        assert await deliver(shop)("msg_never_was") is None


async def test_a_receiver_that_is_not_there_is_an_attempt_without_a_status(open_shop: OpenShop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    async with open_shop(Fake("sandbox")) as shop:
        delivery = await ended(shop, url)
        assert await deliver(shop)(delivery.id) == timedelta(seconds=5)
        (attempt,) = await tries(shop, delivery)
        assert (attempt.status, attempt.excerpt) == (None, None)
        assert attempt.error == "The server could not be reached."


async def test_a_receiver_that_does_not_answer_in_time_has_failed(open_shop: OpenShop, receiver: Receiver) -> None:
    never = asyncio.Event()
    receiver.script(Answer(until=never))
    async with open_shop(Fake("sandbox")) as shop:
        delivery = await ended(shop, receiver.url)
        assert await deliver(shop, timeout=timedelta(milliseconds=50))(delivery.id) == timedelta(seconds=5)
        (attempt,) = await tries(shop, delivery)
        assert (attempt.status, attempt.error) == (None, "The server took too long.")
        never.set()


async def test_a_url_that_is_no_longer_allowed_is_not_called(open_shop: OpenShop, receiver: Receiver) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        delivery = await ended(shop, receiver.url)
        async with open_shop(Fake("sandbox"), allow_private_networks=False) as closed:
            assert await deliver(closed)(delivery.id) == timedelta(seconds=5)
        (attempt,) = await tries(shop, delivery)
        assert attempt.status is None
        assert attempt.error
    assert not receiver.inbox.seen


async def test_a_try_that_was_made_and_not_recorded_is_made_again(open_shop: OpenShop, receiver: Receiver) -> None:
    async def stumble() -> None:
        faults.disarm()
        raise RuntimeError("gone before the record")

    async with open_shop(Fake("sandbox")) as shop:
        delivery, tell = await ended(shop, receiver.url), deliver(shop)
        faults.arm("callback.sent", stumble)
        with pytest.raises(RuntimeError):
            await tell(delivery.id)
        assert await tries(shop, delivery) == []
        assert await tell(delivery.id) is None
        assert [attempt.number for attempt in await tries(shop, delivery)] == [1]
        ids = {request.headers["webhook-id"] for request in receiver.inbox.seen}
        assert ids == {delivery.id}, "a receiver could not tell the second one from another event"
        assert len(receiver.inbox.seen) == 2


async def test_a_rotated_secret_signs_beside_the_new_one(open_shop: OpenShop, receiver: Receiver) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        old = shop.account.webhook_secret
        new = (await shop.house.accounts.rotate(shop.account, timedelta(hours=1))).webhook_secret
        delivery = await ended(shop, receiver.url)
        await deliver(shop)(delivery.id)
        request = await receiver.next()
        verify(request, new, delivery.task_id)
        Webhook(old).verify(request.body, dict(request.headers))


class Stumbling:
    """A family whose callbacks cannot be rendered."""

    name = "gpt4o-image"
    models = frozenset[str]()
    routes = ()

    def callback(self, task: Task, link: Link) -> object:
        raise IndexError("a film without a film")


async def test_a_callback_that_cannot_be_rendered_is_on_record_and_comes_to_its_end(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        delivery, house, second = await ended(shop, "http://127.0.0.1:9/hook"), shop.house, timedelta(seconds=1)
        broken = Deliver(
            house.database,
            {"gpt4o-image": Stumbling()},
            house.link,
            house.outbound,
            schedule=(second,),
            timeout=second,
            clock=house.clock,
        )
        assert await broken(delivery.id) is not None
        assert await broken(delivery.id) is None
        found = await tries(shop, delivery)
        assert [each.error for each in found] == ["the callback could not be prepared (IndexError)"] * 2

"""The deadline: it ends a task for its caller, it does not end the walk, and it is not for ever."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.workshop import PRICE, OpenShop, Workshop

from tessera.dialects import gpt4o
from tessera.domain.errors import Failed
from tessera.domain.task import Reason, State, Task
from tessera.engine import faults
from tessera.engine.step import HandBack
from tessera.providers.fake import Act, Fake, FindingFake, accept, picture, refuse, vanish
from tessera.testing.mailbox import PATIENCE
from tessera.testing.plugin import Passed
from tessera.testing.ticker import Ticker

HOOK = "http://127.0.0.1:9/hook"
DEADLINE = timedelta(minutes=30)
LATE = timedelta(minutes=20)
TERMS: dict[str, Any] = {"deadline": DEADLINE, "late": LATE}
SECOND = timedelta(seconds=1)


class GoneError(Exception):
    """The process is gone, as far as the engine can tell."""


@pytest.fixture(autouse=True)
def calm() -> Any:
    yield
    faults.disarm()


async def lose(shop: Workshop, task_id: str, place: Any = "run.submitted") -> None:
    """A worker takes the task as far as the place, and is never heard of again."""

    async def die() -> None:
        faults.disarm()
        raise GoneError

    faults.arm(place, die)
    with pytest.raises(GoneError):
        await shop.run(**TERMS).walk(task_id)


async def take_over(shop: Workshop, task_id: str) -> timedelta | None:
    """Another worker; answers when it wants to look again, None when it is done."""
    try:
        await asyncio.wait_for(shop.run(**TERMS).walk(task_id), PATIENCE)
    except HandBack as back:
        return back.delay
    return None


async def events(shop: Workshop, task_id: str) -> list[str]:
    return [delivery.event for delivery in await shop.deliveries(task_id)]


def code(shop: Workshop, task: Task) -> int:
    callback: Any = gpt4o.family.callback(task, shop.house.link)
    return int(callback.code)


async def test_silence_ends_the_task_at_its_deadline_and_a_late_success_is_told_again_and_free(
    open_shop: OpenShop,
) -> None:
    fake, ticker = Fake("sandbox"), Ticker()
    fake.script(accept(0.2, 0.4))
    async with open_shop(fake, now=ticker) as shop:
        before = await shop.balance()
        task_id = await shop.order(callback=HOOK)
        await lose(shop, task_id)
        ticker.advance(DEADLINE)
        assert await take_over(shop, task_id) is not None
        task = await shop.task(task_id)
        assert task.failure is not None
        assert (task.state, task.failure.reason, task.completed_at) == (State.FAILED, Reason.DEADLINE, ticker.now)
        assert (await events(shop, task_id), code(shop, task)) == (["task.failed"], 500)
        assert await shop.balance() == before
        await shop.check()

        failed_at = ticker.now
        ticker.advance(60)
        assert await take_over(shop, task_id) is not None, "it is still asked after"
        assert (await events(shop, task_id)) == ["task.failed"], "and it is told once"
        ticker.advance(60)
        assert await take_over(shop, task_id) is None
        task = await shop.task(task_id)
        assert (task.state, task.failure, task.progress) == (State.SUCCEEDED, None, 1.0)
        assert task.completed_at is not None
        assert task.completed_at > failed_at
        assert await shop.stored(task) == [picture(task.request)]
        assert (await events(shop, task_id), code(shop, task)) == (["task.failed", "task.succeeded"], 200)
        assert (await shop.balance(), await shop.kinds(task_id)) == (before, ["hold", "release"])
        assert await shop.states(task_id) == ["sandbox succeeded"]
        assert [len(fake.submissions), len(fake.jobs)] == [1, 1]
        record: Any = gpt4o.family.record(task, shop.house.link, ticker.now)
        assert (record.status, record.errorCode, record.successFlag) == ("SUCCESS", None, 1)
        await shop.check(late=True)


async def test_a_late_failure_of_the_provider_changes_nothing_for_the_caller(open_shop: OpenShop) -> None:
    fake, ticker = Fake("sandbox"), Ticker()
    fake.script(accept(0.2, failure=Failed("It cannot be drawn")))
    async with open_shop(fake, now=ticker) as shop:
        task_id = await shop.order(callback=HOOK)
        await lose(shop, task_id)
        ticker.advance(DEADLINE + SECOND)
        assert await take_over(shop, task_id) is not None
        first = await shop.task(task_id)
        ticker.advance(60)
        assert await take_over(shop, task_id) is None
        task = await shop.task(task_id)
        assert (task.state, task.failure, task.completed_at) == (State.FAILED, first.failure, first.completed_at)
        assert (await events(shop, task_id), await shop.states(task_id)) == (["task.failed"], ["sandbox failed"])
        await shop.check()


async def test_after_the_late_window_nobody_asks_any_more(open_shop: OpenShop) -> None:
    fake, ticker = Fake("sandbox"), Ticker()
    fake.script(accept(*[0.3] * 50))
    async with open_shop(fake, now=ticker) as shop:
        task_id = await shop.order(callback=HOOK)
        await lose(shop, task_id)
        ticker.advance(DEADLINE)
        waits = []
        async with asyncio.timeout(PATIENCE):
            while (wait := await take_over(shop, task_id)) is not None:
                waits.append(wait)
                ticker.advance(max(wait, SECOND))
        assert timedelta(0) < max(waits) <= timedelta(minutes=5)
        over = ticker.now - (await shop.task(task_id)).created_at - DEADLINE
        assert LATE - timedelta(minutes=5) <= over <= LATE
        polls = len(fake.polls)
        assert len(waits) < 50, "it asks in ever longer intervals"
        assert await take_over(shop, task_id) is None
        assert len(fake.polls) == polls
        assert (await events(shop, task_id), await shop.kinds(task_id)) == (["task.failed"], ["hold", "release"])
        await shop.check()


KINDS: dict[str, Callable[[], Fake]] = {
    "honours keys": lambda: Fake("sandbox", idempotent=True),
    "can be asked": lambda: FindingFake("sandbox"),
    "can only be told": lambda: Fake("sandbox"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["run.claimed", "run.intended", "run.called"])
async def test_past_the_deadline_nothing_new_is_begun(open_shop: OpenShop, place: Any, kind: str) -> None:
    fake, ticker = KINDS[kind](), Ticker()
    async with open_shop(fake, now=ticker) as shop:
        before = await shop.balance()
        task_id = await shop.order(callback=HOOK)
        await lose(shop, task_id, place)
        sent = len(fake.submissions)
        ticker.advance(DEADLINE)
        await take_over(shop, task_id)
        assert len(fake.submissions) == sent, "the caller is told that it failed: nobody pays for it now"
        # What was accepted, and can be found, is a late success like any other.
        found = place == "run.called" and kind == "can be asked"
        assert (await shop.task(task_id)).state is (State.SUCCEEDED if found else State.FAILED)
        # Both are of one moment here, and so in no order.
        assert sorted(await events(shop, task_id)) == ["task.failed"] + ["task.succeeded"] * found
        assert await shop.kinds(task_id) == ["hold", "release"]
        assert await shop.balance() == before
        await shop.check(late=True)


@pytest.mark.parametrize("act", [refuse(Failed("no")), vanish(accepted=True)], ids=["failed", "silence"])
async def test_an_end_in_time_is_not_touched_by_the_deadline(open_shop: OpenShop, act: Act) -> None:
    fake, ticker = Fake("sandbox"), Ticker()
    fake.script(act)
    async with open_shop(fake, now=ticker) as shop:
        task = await shop.walk(await shop.order(callback=HOOK), **TERMS)
        ticker.advance(DEADLINE + SECOND)
        assert await take_over(shop, task.id) is None
        assert await shop.task(task.id) == task
        assert await events(shop, task.id) == ["task.failed"]


async def test_a_deadline_that_passes_while_a_walk_waits_frees_the_key_for_others(
    open_shop: OpenShop, passed: Passed
) -> None:
    fake, hang, ended = Fake("sandbox"), asyncio.Event(), passed("run.finished")
    fake.script(accept(hang))
    async with open_shop(fake, bootstrap_test_credits=10) as shop:
        task_id = await shop.order(callback=HOOK)
        walk = asyncio.create_task(shop.walk(task_id, deadline=timedelta(milliseconds=20)))
        await ended.next()
        assert await shop.balance() == PRICE
        other = await shop.walk(await shop.order(prompt="with the same credits"))
        hang.set()
        task = await asyncio.wait_for(walk, PATIENCE)
        assert (task.state, other.state) == (State.SUCCEEDED, State.SUCCEEDED)
        assert await shop.kinds(task_id) == ["hold", "release"]
        assert await shop.kinds(other.id) == ["hold", "settle"]
        assert await shop.balance() == 0


async def test_a_clock_that_jumps_holds_no_finished_walk_up(open_shop: OpenShop) -> None:
    fake, ticker, hang = Fake("sandbox"), Ticker(), asyncio.Event()
    fake.script(accept(hang))
    async with open_shop(fake, now=ticker) as shop:
        task_id = await shop.order(callback=HOOK)
        walk = asyncio.create_task(shop.walk(task_id, **TERMS))
        await asyncio.wait_for(fake.polled.get(), PATIENCE)
        ticker.advance(DEADLINE + SECOND)  # the machine slept, and its timers slept with it
        hang.set()
        task = await asyncio.wait_for(walk, PATIENCE)
        assert task.state is State.SUCCEEDED
        assert await events(shop, task_id) == ["task.succeeded"]
        await shop.check()

"""Cancel: at once, free, told once, and passed on to whoever is at work on it; whatever else happens at that moment."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.workshop import PRICE, OpenShop, Workshop

from tessera.dialects import gpt4o
from tessera.domain.account import Caps
from tessera.domain.errors import Ambiguous, Failed, KeyCapReached, Rejected, Unavailable
from tessera.domain.task import Mode, Reason, State, Task
from tessera.engine import faults, queue
from tessera.engine.cancel import FOR, PassOn
from tessera.engine.run import Run
from tessera.providers.base import Job
from tessera.providers.fake import Fake, accept, finish, vanish
from tessera.testing.mailbox import PATIENCE, Mailbox
from tessera.testing.plugin import Passed
from tessera.testing.servers import Receiver
from tessera.testing.ticker import Ticker

HOOK = "http://127.0.0.1:9/hook"
LATER = timedelta(seconds=1)


class Stopping(Fake):
    """A fake whose cancels arrive in ``cancels``; ``answers`` are errors that the next ones meet."""

    def __init__(self, name: str = "sandbox", **terms: Any) -> None:
        super().__init__(name, **terms)
        self.cancels: Mailbox[str | None] = Mailbox()
        self.answers: deque[Exception] = deque()

    async def cancel(self, job: Job) -> bool:
        self.cancels.put(job.upstream_id)
        if self.answers:
            raise self.answers.popleft()
        return await super().cancel(job)


@pytest.fixture(autouse=True)
def calm() -> Any:
    yield
    faults.disarm()


async def cancel(shop: Workshop, task_id: str) -> Task | None:
    return await shop.house.finish.cancel(task_id, shop.account.id)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask the database until it is so."""
    async with asyncio.timeout(PATIENCE):
        while not await true():
            pass


async def jobs(shop: Workshop, kind: str) -> int:
    async with shop.house.database.transaction() as connection:
        return sum(count for (each, _), count in (await queue.depth(connection)).items() if each == kind)


async def no_cancels(shop: Workshop) -> bool:
    return await jobs(shop, "cancel") == 0


def pass_on(shop: Workshop) -> PassOn:
    house = shop.house
    return PassOn(house.database, house.routes, scratch=house.scratch, clock=house.clock)


async def polled(fake: Fake) -> str:
    return await asyncio.wait_for(fake.polled.get(), PATIENCE)


async def told(shop: Workshop, task_id: str) -> None:
    """Record, ledger and callback tell the same one end."""
    task = await shop.task(task_id)
    code = {State.SUCCEEDED: 200, State.FAILED: 500, State.CANCELED: 499}[task.state]
    ledger = ["hold", "settle" if task.state is State.SUCCEEDED else "release"]
    dialect = gpt4o.family
    record: Any = dialect.record(task, shop.house.link, shop.house.clock())
    callback: Any = dialect.callback(task, shop.house.link)
    assert await shop.kinds(task_id) == ledger
    assert [delivery.event for delivery in await shop.deliveries(task_id)] == [f"task.{task.state}"]
    assert (record.errorCode or 200, callback.code) == (code, code)
    assert record.successFlag == (1 if code == 200 else 2)
    await shop.check()


# ---- at once, and free ----


async def test_a_waiting_task_is_canceled_at_once_and_never_submitted(open_shop: OpenShop, passed: Passed) -> None:
    fake = Stopping()
    async with open_shop(fake) as shop:
        before = await shop.balance()
        task_id = await shop.order(callback=HOOK)
        canceled = await cancel(shop, task_id)
        assert canceled is not None
        assert (canceled.state, canceled.started_at) == (State.CANCELED, None)
        assert await shop.balance() == before
        assert await jobs(shop, "task-test") == 1, "its job is still there"
        assert await jobs(shop, "cancel") == 0, "there is nobody to tell"
        await told(shop, task_id)
    ended = passed("run.finished")
    async with open_shop(fake, work=True) as shop:
        await shop.order(prompt="another")
        await ended.next()
        await until(lambda: _no_jobs(shop))
        assert [getattr(job.request, "prompt", None) for job in fake.submissions] == ["another"]
        assert (await shop.task(task_id)).state is State.CANCELED
        assert fake.cancels.empty
        await told(shop, task_id)


async def _no_jobs(shop: Workshop) -> bool:
    return await jobs(shop, "task-test") == 0


async def test_a_running_task_is_canceled_at_once_and_its_provider_is_told_once(open_shop: OpenShop) -> None:
    fake, hang = Stopping(), asyncio.Event()
    fake.script(accept(0.2, hang))
    async with open_shop(fake, work=True) as shop:
        before = await shop.balance()
        task_id = await shop.order(callback=HOOK)
        upstream = await polled(fake)
        assert await polled(fake) == upstream
        assert await shop.balance() == before - PRICE
        assert (await cancel(shop, task_id)) is not None
        assert ((await shop.task(task_id)).state, await shop.balance()) == (State.CANCELED, before)
        assert await fake.cancels.next() == upstream
        await until(lambda: no_cancels(shop))
        assert await shop.states(task_id) == ["sandbox canceled"]
        hang.set()
        await until(lambda: _no_jobs(shop))
        assert fake.cancels.seen == [upstream]
        assert await shop.states(task_id) == ["sandbox canceled"]
        await told(shop, task_id)


async def test_canceled_three_times_a_task_stays_calm(open_shop: OpenShop) -> None:
    fake, hang = Stopping(), asyncio.Event()
    fake.script(accept(hang))
    async with open_shop(fake, work=True) as shop:
        task_id = await shop.order(callback=HOOK)
        await polled(fake)
        first, *others = [await cancel(shop, task_id) for _ in range(3)]
        assert (first is not None, others) == (True, [None, None])
        await fake.cancels.next()
        await until(lambda: no_cancels(shop))
        assert len(fake.cancels.seen) == 1
        hang.set()
        await told(shop, task_id)


async def test_canceled_by_many_at_once_a_task_has_one_end(open_shop: OpenShop) -> None:
    async with open_shop(Stopping()) as shop:
        task_id = await shop.order(callback=HOOK)
        answers = await asyncio.gather(*(cancel(shop, task_id) for _ in range(8)))
        assert sum(answer is not None for answer in answers) == 1
        await told(shop, task_id)


async def test_another_account_cannot_cancel(open_shop: OpenShop) -> None:
    async with open_shop(Stopping()) as shop:
        other = await shop.house.accounts.create("other")
        task_id = await shop.order(callback=HOOK)
        before = await shop.task(task_id)
        assert await shop.house.finish.cancel(task_id, other.id) is None
        assert await shop.house.finish.cancel("no such task", shop.account.id) is None
        assert await shop.task(task_id) == before
        assert await shop.deliveries(task_id) == []
        assert (await shop.walk(task_id)).state is State.SUCCEEDED
        await shop.check()


@pytest.mark.parametrize("cap", ["hour", "day", "total"])
@pytest.mark.parametrize("begun", [False, True])
async def test_wallet_and_key_get_the_hold_back(open_shop: OpenShop, cap: str, begun: bool) -> None:
    fake, hang = Stopping(), asyncio.Event()
    fake.script(accept(hang))
    async with open_shop(fake, bootstrap_test_credits=20) as shop:
        made = await shop.house.accounts.create_key(shop.account, Mode.TEST, caps=Caps(**{cap: 2 * PRICE}))
        task_id = await shop.order(key=made.key, count=2)
        with pytest.raises(KeyCapReached):
            await shop.house.accounts.grant(shop.account, Mode.TEST, PRICE)
            await shop.order(key=made.key)
        async with walking(shop.run(), task_id if begun else None, fake):
            assert await cancel(shop, task_id) is not None
            hang.set()
        assert await shop.balance() == 3 * PRICE
        await shop.order(key=made.key, count=2)
        with pytest.raises(KeyCapReached):
            await shop.order(key=made.key)
        await shop.check()


@asynccontextmanager
async def walking(run: Run, task_id: str | None, fake: Fake) -> AsyncIterator[None]:
    """A walk beside the test, once it polls; it has to end by itself within the block. None walks nothing."""
    if task_id is None:
        yield
        return
    walk = asyncio.create_task(run.walk(task_id))
    try:
        await polled(fake)
        yield
        await asyncio.wait_for(walk, PATIENCE)
    finally:
        walk.cancel()


# ---- what is told ----


@pytest.mark.parametrize(("begun", "status"), [(False, "CREATE_TASK_FAILED"), (True, "GENERATE_FAILED")])
async def test_a_canceled_task_is_told_with_code_499(
    open_shop: OpenShop, receiver: Receiver, begun: bool, status: str
) -> None:
    fake, hang = Stopping(), asyncio.Event()
    fake.script(accept(hang))
    words = "The task was canceled; nothing was charged"
    async with open_shop(fake) as shop:
        task_id = await shop.order(callback=f"{receiver.url}/hook")
        async with walking(shop.run(), task_id if begun else None, fake):
            assert await cancel(shop, task_id) is not None
            hang.set()
        house = shop.house
        record: Any = gpt4o.family.record(await shop.task(task_id), house.link, house.clock())
        assert (record.errorCode, record.errorMessage, record.successFlag) == (499, words, 2)
        assert (record.status, record.response) == (status, None)
        assert record.completeTime is not None
    async with open_shop(fake, work=True) as shop:
        request = await receiver.next()
        assert json.loads(request.body) == {
            "code": 499,
            "msg": words,
            "data": {"taskId": task_id, "task_id": task_id, "info": None},
        }
        (delivery,) = await shop.deliveries(task_id)
        assert (request.headers["webhook-id"], delivery.event) == (delivery.id, "task.canceled")
        assert receiver.inbox.empty


# ---- passed on ----


async def submitted(shop: Workshop, fake: Fake) -> str:
    """A canceled task whose provider was not told yet."""
    hang = asyncio.Event()
    fake.script(accept(hang, failure=Failed("It was stopped")))
    task_id = await shop.order(callback=HOOK)
    async with walking(shop.run(), task_id, fake):
        await cancel(shop, task_id)
        hang.set()
    assert await shop.states(task_id) == ["sandbox submitted"]
    return task_id


@pytest.mark.parametrize(
    "error", [Rejected("no"), Failed("too late"), Ambiguous("perhaps")], ids=["rejected", "failed", "ambiguous"]
)
async def test_a_provider_that_cannot_stop_is_asked_once(open_shop: OpenShop, error: Exception) -> None:
    fake = Stopping()
    fake.answers.append(error)
    async with open_shop(fake) as shop:
        task_id = await submitted(shop, fake)
        assert [await pass_on(shop)(task_id) for _ in range(2)] == [None, None]
        assert len(fake.cancels.seen) == 1
        assert await shop.states(task_id) == ["sandbox canceled"]
        await told(shop, task_id)


async def test_a_provider_that_does_not_answer_is_asked_again_with_patience_and_not_for_ever(
    open_shop: OpenShop,
) -> None:
    fake, ticker = Stopping(), Ticker()
    fake.answers.extend(Unavailable("busy") for _ in range(9))
    async with open_shop(fake, now=ticker) as shop:
        task_id = await submitted(shop, fake)
        waits = []
        for _ in range(7):
            waits.append(await pass_on(shop)(task_id))
            ticker.advance(10)
        assert waits[0] == LATER
        assert waits == sorted(waits, key=lambda wait: wait or LATER)
        assert max(wait or LATER for wait in waits) == timedelta(minutes=1)
        assert await shop.states(task_id) == ["sandbox submitted"]
        ticker.advance(FOR)
        assert await pass_on(shop)(task_id) is None
        await told(shop, task_id)


async def test_the_queue_brings_a_cancel_again_until_the_provider_has_heard_it(open_shop: OpenShop) -> None:
    fake = Stopping()
    async with open_shop(fake) as shop:
        task_id = await submitted(shop, fake)
    fake.answers.append(Unavailable("busy"))
    async with open_shop(fake, work=True) as shop:
        for _ in range(2):
            assert await fake.cancels.next() == fake.jobs[0].upstream_id
        await until(lambda: no_cancels(shop))
        assert fake.jobs[0].canceled
        assert await shop.states(task_id) == ["sandbox canceled"]
        await told(shop, task_id)


async def test_a_cancel_without_a_submission_tells_nobody(open_shop: OpenShop) -> None:
    fake = Stopping()
    async with open_shop(fake) as shop:
        assert await pass_on(shop)("no such task") is None
        task_id = await shop.order()
        await cancel(shop, task_id)
        assert await pass_on(shop)(task_id) is None
        done = await shop.walk(await shop.order(prompt="done"))
        assert await pass_on(shop)(done.id) is None
        assert await shop.states(done.id) == ["sandbox succeeded"]
        assert fake.cancels.empty


async def test_a_provider_that_is_configured_no_more_ends_the_passing_on(open_shop: OpenShop) -> None:
    fake = Stopping()
    async with open_shop(fake) as shop:
        task_id = await submitted(shop, fake)
        async with open_shop() as other:
            assert await pass_on(other)(task_id) is None


@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
async def test_a_cancel_between_the_acceptance_and_its_receipt_still_reaches_the_provider(
    open_shop: OpenShop, early: bool
) -> None:
    """``early``: the job of the cancel comes and goes before there is an upstream id to name."""
    fake = Stopping()
    fake.script(accept(0.5))
    async with open_shop(fake, work=True) as shop:

        async def interfere() -> None:
            faults.disarm()
            assert await cancel(shop, fake.jobs[0].job.task_id) is not None
            if early:
                await until(lambda: no_cancels(shop))

        faults.arm("run.called", interfere)
        task_id = await shop.order(callback=HOOK)
        assert await fake.cancels.next() == fake.jobs[0].upstream_id
        await until(lambda: no_cancels(shop))
        assert fake.jobs[0].canceled
        assert len(fake.submissions) == 1
        assert await shop.states(task_id) == ["sandbox canceled"]
        await told(shop, task_id)


@pytest.mark.parametrize("place", ["run.claimed", "run.intended"])
async def test_a_task_that_is_canceled_on_its_way_to_the_provider_has_one_end(open_shop: OpenShop, place: Any) -> None:
    fake, ticker = Stopping(), Ticker()
    async with open_shop(fake, now=ticker) as shop:

        async def interfere() -> None:
            faults.disarm()
            ticker.advance(5)
            await cancel(shop, task_id)

        faults.arm(place, interfere)
        task_id = await shop.order(callback=HOOK)
        task = await shop.walk(task_id)
        assert task.state is State.CANCELED
        assert not fake.submissions, "what is canceled in time is not sent"
        await told(shop, task_id)


@pytest.mark.parametrize("act", [finish(), vanish(accepted=True)], ids=["at once", "silence"])
async def test_whatever_a_canceled_submission_answers_the_task_stays_canceled(open_shop: OpenShop, act: Any) -> None:
    fake = Stopping(idempotent=True)
    fake.script(act)
    async with open_shop(fake) as shop:
        task_id = await shop.order(callback=HOOK)

        async def interfere() -> None:
            faults.disarm()
            await cancel(shop, task_id)

        faults.arm("run.calling", interfere)
        assert (await shop.walk(task_id)).state is State.CANCELED
        assert len(fake.jobs) == 1
        await told(shop, task_id)


async def test_a_canceled_task_does_not_fall_back_to_another_provider(open_shop: OpenShop) -> None:
    first, second, hang = Stopping("anton"), Fake("flux", models={"FLUX_MAX": "flux"}), asyncio.Event()
    first.script(accept(hang, failure=Failed("It was stopped")))
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task_id = await shop.order(key=shop.live, fallback="FLUX_MAX", callback=HOOK)
        async with walking(shop.run(), task_id, first):
            await cancel(shop, task_id)
            hang.set()
        assert not second.submissions
        assert await shop.balance(Mode.LIVE) == PRICE
        await told(shop, task_id)


# ---- races ----


SUCCESS, FAILURE = accept(), accept(failure=Failed("It cannot be drawn"))
END = {"success": State.SUCCEEDED, "failure": State.FAILED, "deadline": State.FAILED}


@asynccontextmanager
async def ending(shop: Workshop, fake: Fake, how: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A task that is about to end so, and the event that lets it."""
    reached, go, hang = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        faults.disarm()
        reached.set()
        await go.wait()

    faults.arm("run.finishing", wait)
    fake.script({"success": SUCCESS, "failure": FAILURE, "deadline": accept(hang)}[how])
    task_id = await shop.order(callback=HOOK)
    deadline = timedelta(milliseconds=20) if how == "deadline" else timedelta(minutes=30)
    walk = asyncio.create_task(shop.run(deadline=deadline).walk(task_id))
    try:
        async with asyncio.timeout(PATIENCE):
            await reached.wait()
        yield task_id, go
        if how != "deadline":
            await asyncio.wait_for(walk, PATIENCE)
    finally:
        walk.cancel()
        await asyncio.wait({walk})


@pytest.mark.parametrize("how", END)
async def test_a_cancel_before_any_other_end_wins(open_shop: OpenShop, how: str) -> None:
    fake = Stopping()
    async with open_shop(fake) as shop, ending(shop, fake, how) as (task_id, go):
        assert await cancel(shop, task_id) is not None
        go.set()
        if how == "deadline":
            await until(lambda: _idle(shop))
    async with open_shop(fake) as shop:
        assert (await shop.task(task_id)).state is State.CANCELED
        await told(shop, task_id)


@pytest.mark.parametrize("how", END)
async def test_a_cancel_after_any_other_end_changes_nothing(open_shop: OpenShop, passed: Passed, how: str) -> None:
    fake = Stopping()
    async with open_shop(fake) as shop, ending(shop, fake, how) as (task_id, go):
        ended = passed("run.finished")
        go.set()
        await ended.next()
        assert await cancel(shop, task_id) is None
        assert (await shop.task(task_id)).state is END[how]
        assert await jobs(shop, "cancel") == 0
        await told(shop, task_id)


@pytest.mark.parametrize("how", END)
@pytest.mark.parametrize("first", [True, False], ids=["cancel first", "cancel second"])
async def test_two_ends_at_the_same_moment_have_one_winner(open_shop: OpenShop, how: str, first: bool) -> None:
    """Both wait for the row of the task, which is given to them in the order of their coming."""
    fake = Stopping()
    async with open_shop(fake) as shop, ending(shop, fake, how) as (task_id, go):
        async with shop.house.database.transaction() as connection:
            await connection.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", task_id)
            canceling = None
            if first:
                canceling = asyncio.create_task(cancel(shop, task_id))
                await until(lambda: _blocked(shop, 1))
            go.set()
            await until(lambda: _blocked(shop, 1 + first))
            if canceling is None:
                canceling = asyncio.create_task(cancel(shop, task_id))
                await until(lambda: _blocked(shop, 2))
        canceled = await canceling
        assert (canceled is not None) == first
        if how == "deadline":
            await until(lambda: _idle(shop))
        assert (await shop.task(task_id)).state is (State.CANCELED if first else END[how])
        await told(shop, task_id)


async def _blocked(shop: Workshop, count: int) -> bool:
    """Whether so many sessions of this database wait for a lock."""
    waiting = await shop.house.database.pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(waiting == count)


async def _idle(shop: Workshop) -> bool:
    """Whether no other session of this database is in a transaction."""
    return not await shop.house.database.pool.fetchval(
        """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
        """
    )


async def test_a_late_success_does_not_bring_a_canceled_task_back(open_shop: OpenShop) -> None:
    fake, ticker, hang = Stopping(), Ticker(), asyncio.Event()
    fake.script(accept(hang))
    async with open_shop(fake, now=ticker) as shop:
        task_id = await shop.order(callback=HOOK)
        async with walking(shop.run(), task_id, fake):
            await cancel(shop, task_id)
            ticker.advance(timedelta(hours=1))
            hang.set()
        task = await shop.walk(task_id)
        assert (task.state, task.failure and task.failure.reason) == (State.CANCELED, Reason.CANCELED)
        await told(shop, task_id)

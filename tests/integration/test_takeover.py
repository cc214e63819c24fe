"""Taking over: whatever a lost worker had done, the next one goes on from there, and the lost one no more."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.workshop import OpenShop, Workshop

from tessera.domain.errors import Rejected, Unavailable
from tessera.domain.task import Reason, State
from tessera.engine import faults
from tessera.engine.faults import Place
from tessera.engine.run import Run
from tessera.engine.step import HandBack
from tessera.providers.base import Running
from tessera.providers.fake import Act, Fake, FindingFake, accept, finish, picture, png, refuse, vanish
from tessera.testing.servers import Host

PLACES: list[Place] = [place for place in get_args(Place) if place.startswith("run.")]
BUSY = Unavailable("busy")


class CrashError(Exception):
    """The process is gone, as far as the engine can tell."""


@contextmanager
def crash_at(place: Place, nth: int = 1) -> Iterator[list[Place]]:
    """Stumble at the nth pass of a place; the list says how often it was passed."""
    passes: list[Place] = []

    async def stumble() -> None:
        passes.append(place)
        if len(passes) == nth:
            raise CrashError(place)

    faults.arm(place, stumble)
    try:
        yield passes
    finally:
        faults.disarm()


async def crash(shop: Workshop, task_id: str, place: Place) -> bool:
    """Walk until the place; answers whether it was reached."""
    with crash_at(place) as passes:
        try:
            await shop.run().walk(task_id)
        except CrashError:
            return True
        assert not passes
        return False


@asynccontextmanager
async def walking(run: Run, task_id: str) -> AsyncIterator["asyncio.Task[None]"]:
    """A walk beside the test; it has to end by itself within the block."""
    task = asyncio.create_task(run.walk(task_id))
    try:
        yield task
        await asyncio.wait_for(task, 10)
    finally:
        task.cancel()


# ---- a crash at every named place ----

KINDS: dict[str, Callable[[], Fake]] = {
    "honours keys": lambda: Fake("sandbox", idempotent=True),
    "can be asked": lambda: FindingFake("sandbox"),
    "can only be told": lambda: Fake("sandbox"),
}
IN_DOUBT = {"run.intended", "run.calling", "run.called"}
"""Between the intent and the receipt nobody knows what the provider has."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
async def test_a_crash_anywhere_costs_one_job_and_leaves_one_end(open_shop: OpenShop, place: Place, kind: str) -> None:
    fake = KINDS[kind]()
    fake.script(accept(0.5, Running(stage="half"), files=2))
    async with open_shop(fake) as shop:
        task_id = await shop.order(callback="http://127.0.0.1:9/hook")
        assert await crash(shop, task_id, place), "the walk does not pass this place"
        await shop.check()
        task = await shop.walk(task_id)
        assert len(fake.jobs) <= 1
        if kind == "can only be told" and place in IN_DOUBT:
            assert task.failure is not None
            assert task.failure.reason is Reason.UNKNOWN
        else:
            assert task.state is State.SUCCEEDED
            assert await shop.stored(task) == [picture(task.request, index) for index in range(2)]
        assert len(await shop.attempts(task_id)) == 1
        told = [delivery.event for delivery in await shop.deliveries(task_id)]
        assert told == ([] if task.stage is None else ["task.half"]) + [f"task.{task.state}"], "each is told once"
        await shop.check()


@pytest.mark.parametrize(("kind", "known"), [("honours keys", True), ("can only be told", False)])
@pytest.mark.parametrize("place", ["run.called", "run.ingesting", "run.finishing"])
async def test_a_result_that_came_at_once_is_had_again_or_not_at_all(
    open_shop: OpenShop, place: Place, kind: str, known: bool
) -> None:
    fake = KINDS[kind]()
    fake.script(finish())
    async with open_shop(fake) as shop:
        task_id = await shop.order()
        assert await crash(shop, task_id, place)
        task = await shop.walk(task_id)
        assert task.state is (State.SUCCEEDED if known else State.FAILED)
        assert len(fake.jobs) == 1
        await shop.check()


acts = st.lists(
    st.sampled_from(
        [
            refuse(BUSY),
            vanish(accepted=True, steps=[0.4]),
            vanish(accepted=False),
            accept(0.3, BUSY, 0.6),
            accept(files=2),
            refuse(Rejected("flagged", reason=Reason.CONTENT)),
        ]
    ),
    max_size=4,
)
crashes = st.lists(st.sampled_from(PLACES), max_size=5)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["honours keys", "can be asked"]), script=acts, places=crashes)
async def test_no_order_of_crashes_and_answers_breaks_a_promise(
    fresh_shop: OpenShop, kind: str, script: list[Act], places: list[Place]
) -> None:
    fake = KINDS[kind]()
    fake.script(*script)
    async with fresh_shop(fake) as shop:
        task_id = await shop.order(callback="http://127.0.0.1:9/hook")
        for place in places:
            await crash(shop, task_id, place)
            await shop.check()
        task = await shop.walk(task_id)
        assert task.state.terminal
        assert len(fake.jobs) <= 1, "one task was billed twice"
        assert len(await shop.deliveries(task_id)) == 1
        await shop.check()
        await shop.run().walk(task_id)
        assert await shop.task(task_id) == task, "a walk after the end changes nothing"


# ---- two workers, one task ----


async def test_a_second_worker_goes_on_from_the_upstream_id(open_shop: OpenShop) -> None:
    fake, hold = Fake("sandbox"), asyncio.Event()
    fake.script(accept(hold))
    async with open_shop(fake) as shop:
        task_id = await shop.order()
        async with walking(shop.run(), task_id):
            await asyncio.wait_for(fake.polled.get(), 10)
            second = asyncio.create_task(shop.walk(task_id))
            await asyncio.wait_for(fake.polled.get(), 10)
            hold.set()
            task = await second
        assert task.state is State.SUCCEEDED
        assert [len(fake.submissions), len(fake.jobs)] == [1, 1]
        await shop.check()


async def test_a_worker_that_lost_its_claim_changes_nothing_more(open_shop: OpenShop) -> None:
    fake, hold = Fake("sandbox"), asyncio.Event()
    fake.script(accept(hold, 0.9))
    async with open_shop(fake) as shop:
        task_id = await shop.order(callback="http://127.0.0.1:9/hook")
        async with walking(shop.run(), task_id):
            await asyncio.wait_for(fake.polled.get(), 10)
            # What hung for the first worker does not hang for the second one.
            task = await shop.walk(task_id)
            assert task.state is State.SUCCEEDED
            contents = await shop.stored(task)
            hold.set()
        assert await shop.task(task_id) == task
        assert await shop.stored(task) == contents
        assert len(await shop.deliveries(task_id)) == 1
        await shop.check()


async def test_a_lost_worker_that_brings_a_result_does_not_replace_the_one_that_counts(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    async with open_shop(fake) as shop:
        task_id = await shop.order(callback="http://127.0.0.1:9/hook")
        reached, go = asyncio.Event(), asyncio.Event()

        async def wait_there() -> None:
            faults.disarm()
            reached.set()
            await go.wait()

        faults.arm("run.finishing", wait_there)
        async with walking(shop.run(), task_id):
            await reached.wait()
            task = await shop.walk(task_id)
            go.set()
        assert await shop.task(task_id) == task
        assert task.epoch == 2
        assert all(f"{task_id}-2-" in asset.key for asset in task.outputs)
        assert len(await shop.deliveries(task_id)) == 1
        await shop.check()


@pytest.mark.parametrize("answer", [refuse(BUSY), refuse(Rejected("no funds", portable=True)), refuse(Rejected("no"))])
async def test_a_lost_workers_bad_news_does_not_touch_the_attempt_that_goes_on(
    open_shop: OpenShop, answer: Act
) -> None:
    fake, late, hold = Fake("sandbox", idempotent=True), asyncio.Event(), asyncio.Event()
    fake.script(Act(books=False, error=answer.error, until=late), accept(hold))
    async with open_shop(fake) as shop:
        task_id = await shop.order()
        first = asyncio.create_task(shop.run().walk(task_id))
        await asyncio.wait_for(fake.called.get(), 10)
        async with walking(shop.run(), task_id):
            await asyncio.wait_for(fake.polled.get(), 10)
            late.set()
            await asyncio.wait_for(first, 10)
            assert await shop.states(task_id) == ["sandbox submitted"]
            assert (await shop.task(task_id)).state is State.RUNNING
            hold.set()
        assert (await shop.task(task_id)).state is State.SUCCEEDED
        assert len(fake.jobs) == 1
        await shop.check()


async def test_a_receipt_that_comes_after_the_claim_was_lost_is_kept_and_not_followed(open_shop: OpenShop) -> None:
    fake, late, hold = Fake("sandbox", idempotent=True), asyncio.Event(), asyncio.Event()
    fake.script(accept(hold, until=late))
    async with open_shop(fake) as shop:
        task_id = await shop.order()
        first = asyncio.create_task(shop.run().walk(task_id))
        await asyncio.wait_for(fake.called.get(), 10)
        claimed = asyncio.Event()

        async def note() -> None:
            claimed.set()
            await asyncio.Event().wait()

        faults.arm("run.claimed", note)
        second = asyncio.create_task(shop.run().walk(task_id))
        await claimed.wait()
        faults.disarm()
        late.set()
        await asyncio.wait_for(first, 10)
        second.cancel()
        (attempt,) = await shop.attempts(task_id)
        assert attempt.upstream_id == fake.jobs[0].upstream_id
        assert not fake.polls
        hold.set()
        assert (await shop.walk(task_id)).state is State.SUCCEEDED
        assert [len(fake.submissions), len(fake.jobs)] == [1, 1]


async def test_many_workers_at_once_bring_one_end(open_shop: OpenShop) -> None:
    fake = Fake("sandbox", idempotent=True)
    fake.script(accept(0.2, 0.4, 0.6))
    async with open_shop(fake) as shop:
        task_id = await shop.order(callback="http://127.0.0.1:9/hook")
        await asyncio.gather(*(shop.run().walk(task_id) for _ in range(8)))
        task = await shop.task(task_id)
        if not task.state.terminal:  # the last one to claim may have found its attempt in another's hands
            task = await shop.walk(task_id)
        assert task.state is State.SUCCEEDED
        assert len(fake.jobs) == 1
        assert len(await shop.deliveries(task_id)) == 1
        await shop.check()


# ---- what is gone at the time of the take-over ----


async def test_an_input_that_is_gone_does_not_end_what_the_provider_has_taken(open_shop: OpenShop, host: Host) -> None:
    fake = Fake("sandbox")
    async with open_shop(fake) as shop:
        task_id = await shop.order(images=(host.put("a.png", png()),))
        assert await crash(shop, task_id, "run.submitted")
        host.remove("a.png")
        assert (await shop.walk(task_id)).state is State.SUCCEEDED


async def test_a_worker_without_the_provider_of_an_open_attempt_leaves_it_to_one_that_has_it(
    open_shop: OpenShop,
) -> None:
    first, second = Fake("anton", idempotent=True), Fake("berta", idempotent=True)
    async with open_shop(first, second, live_credits=100_000) as shop:
        task_id = await shop.order(key=shop.live)
        assert await crash(shop, task_id, "run.submitted")
        async with open_shop(second) as other:
            with pytest.raises(HandBack) as back:
                await other.walk(task_id)
        assert back.value.delay > timedelta(0)
        assert not second.submissions
        assert not second.polls
        task = await shop.walk(task_id)
        assert task.state is State.SUCCEEDED
        assert len(first.submissions) == 1
        await shop.check()


async def test_a_hop_that_gave_its_verdict_is_not_asked_again(open_shop: OpenShop) -> None:
    first, second = Fake("anton"), Fake("berta")
    first.script(refuse(Rejected("no funds", portable=True)))
    async with open_shop(first, second, live_credits=100_000) as shop:
        task_id = await shop.order(key=shop.live)
        with crash_at("run.intended", nth=2), pytest.raises(CrashError):
            await shop.run().walk(task_id)
        # berta's intent stands alone: nobody can tell, and anton is no way out of that.
        task = await shop.walk(task_id)
        assert task.failure is not None
        assert task.failure.reason is Reason.UNKNOWN
        assert [len(first.submissions), len(second.submissions)] == [1, 0]


async def test_between_two_hops_a_new_worker_takes_the_next_one(open_shop: OpenShop) -> None:
    first, second = Fake("anton"), Fake("berta")
    first.script(refuse(Rejected("no funds", portable=True)))
    async with open_shop(first, second, live_credits=100_000) as shop:
        task_id = await shop.order(key=shop.live)
        run = shop.run()
        shop.pauses.then(1, run.draining.set)
        with pytest.raises(HandBack):
            await run.walk(task_id)
        assert await shop.states(task_id) == ["anton rejected"]
        assert (await shop.walk(task_id)).state is State.SUCCEEDED
        assert await shop.states(task_id) == ["anton rejected", "berta succeeded"]


# ---- handing back ----


@pytest.mark.parametrize(
    "act",
    [accept(0.1, 0.2, 0.3), refuse(BUSY), vanish(accepted=True), accept(BUSY)],
    ids=["polling", "unavailable", "ambiguous", "outage"],
)
async def test_a_draining_process_hands_the_task_back_and_another_ends_it(open_shop: OpenShop, act: Act) -> None:
    fake = Fake("sandbox", idempotent=True)
    fake.script(act)
    async with open_shop(fake) as shop:
        task_id = await shop.order()
        run = shop.run()
        shop.pauses.then(1, run.draining.set)
        with pytest.raises(HandBack):
            await run.walk(task_id)
        assert (await shop.task(task_id)).state is State.RUNNING
        assert (await shop.walk(task_id)).state is State.SUCCEEDED
        assert len(fake.jobs) == 1
        await shop.check()


async def test_a_step_under_way_is_not_cut_short_by_draining(open_shop: OpenShop) -> None:
    fake, hold = Fake("sandbox"), asyncio.Event()
    fake.script(finish(until=hold))
    async with open_shop(fake) as shop:
        task_id = await shop.order()
        run = shop.run()
        async with walking(run, task_id):
            await asyncio.wait_for(fake.called.get(), 10)
            run.draining.set()
            hold.set()
        assert (await shop.task(task_id)).state is State.SUCCEEDED

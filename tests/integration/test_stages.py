"""Stages: what a task has made on its way is stored, recorded and told once, in order, whoever walks it."""

import asyncio
from datetime import timedelta

import pytest
from tests.integration.test_takeover import CrashError, crash, crash_at
from tests.integration.workshop import OpenShop, Workshop

from tessera.domain.errors import Failed
from tessera.domain.task import Piece, State
from tessera.engine.step import HandBack
from tessera.providers.base import RemoteFile, Running
from tessera.providers.fake import Fake, accept, png
from tessera.testing.servers import Host

HOOK = "http://127.0.0.1:9/hook"
TEXT = Running(stage="text", pieces=(Piece(facts={"title": "Rain"}), Piece(facts={"title": "Snow"})))
SONG = Piece(files={"audio": 0}, facts={"title": "Rain", "seconds": 2.5})


def files(host: Host, *names: str) -> tuple[RemoteFile, ...]:
    return tuple(RemoteFile(url=host.put(f"{name}.png", png(4, 4, shade))) for shade, name in enumerate(names))


async def events(shop: Workshop, task_id: str) -> list[str]:
    return [delivery.event for delivery in await shop.deliveries(task_id)]


async def test_each_stage_is_recorded_and_told_before_the_end(open_shop: OpenShop, host: Host) -> None:
    fake, made = Fake("sandbox"), files(host, "a", "b")
    first = Running(stage="first", outputs=made[:1], pieces=(SONG,))
    fake.script(accept(TEXT, first, outputs=made, pieces=(SONG, Piece(files={"audio": 1}))))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order(callback=HOOK))
        assert (task.state, task.stage) == (State.SUCCEEDED, "first")
        assert await events(shop, task.id) == ["task.text", "task.first", "task.succeeded"]
        assert task.pieces == (SONG, Piece(files={"audio": 1}))
        assert await shop.stored(task) == [png(4, 4, 0), png(4, 4, 1)]
        await shop.check()
    assert [(await host.requests.next()).path for _ in range(2)] == ["/a.png", "/b.png"]
    assert host.requests.empty, "each is fetched once"


async def test_a_stage_can_be_read_while_the_task_runs(open_shop: OpenShop, host: Host) -> None:
    fake, made, hold = Fake("sandbox"), files(host, "a", "b"), asyncio.Event()
    fake.script(accept(Running(stage="first", outputs=made[:1], pieces=(SONG,)), hold, outputs=made, pieces=(SONG,)))
    async with open_shop(fake) as shop:
        task_id = await shop.order(callback=HOOK)
        walk = asyncio.create_task(shop.walk(task_id))
        await fake.polled.get()
        await fake.polled.get()
        task = await shop.task(task_id)
        assert (task.state, task.stage, task.pieces, len(task.outputs)) == (State.RUNNING, "first", (SONG,), 1)
        hold.set()
        assert (await walk).state is State.SUCCEEDED


async def test_who_takes_over_tells_no_stage_again_and_keeps_what_is_there(open_shop: OpenShop, host: Host) -> None:
    fake, made = Fake("sandbox"), files(host, "a", "b")
    first = Running(stage="first", outputs=made[:1], pieces=(SONG,))
    # The service says its stage as often as it is asked: that it was told is on our record alone.
    fake.script(accept(first, first, first, outputs=made, pieces=(SONG,)))
    async with open_shop(fake) as shop:
        task_id = await shop.order(callback=HOOK)
        assert await crash(shop, task_id, "run.advanced")
        task = await shop.walk(task_id)
        assert await events(shop, task_id) == ["task.first", "task.succeeded"]
        assert await shop.stored(task) == [png(4, 4, 0), png(4, 4, 1)]
        assert len(fake.jobs) == 1
        await shop.check()


async def test_what_a_failed_attempt_had_made_gives_place_to_the_next_ones(open_shop: OpenShop, host: Host) -> None:
    one, two = files(host, "one"), files(host, "two")
    broken, other = Fake("a"), Fake("b", models={"FLUX_MAX": "other"})
    broken.script(accept(Running(stage="first", outputs=one, pieces=(SONG,)), failure=Failed("it broke")))
    other.script(accept(outputs=two, pieces=(SONG,)))
    async with open_shop(broken, other, live_credits=100_000) as shop:
        task = await shop.walk(await shop.order(key=shop.live, fallback="FLUX_MAX"))
        assert task.state is State.SUCCEEDED
        assert await shop.stored(task) == [png(4, 4, 0)]
        assert len(task.outputs) == 1
        await shop.check()


async def test_past_the_deadline_a_stage_is_told_to_nobody(open_shop: OpenShop, host: Host) -> None:
    fake, made, hold = Fake("sandbox"), files(host, "a"), asyncio.Event()
    fake.script(accept(hold, Running(stage="first", outputs=made, pieces=(SONG,)), outputs=made, pieces=(SONG,)))
    async with open_shop(fake) as shop:
        task_id = await shop.order(callback=HOOK)
        terms = {"deadline": timedelta(milliseconds=30)}
        walk = asyncio.create_task(shop.walk(task_id, **terms))
        await until_failed(shop, task_id)
        hold.set()
        with pytest.raises(HandBack):  # past the deadline nobody waits for the next poll
            await walk
        assert await events(shop, task_id) == ["task.failed"]
        task = await shop.walk(task_id, **terms)
        assert task.state is State.SUCCEEDED
        assert await events(shop, task_id) == ["task.failed", "task.succeeded"]
        assert len(await shop.stored(task)) == 1


async def until_failed(shop: Workshop, task_id: str) -> None:
    while (await shop.task(task_id)).state is not State.FAILED:
        await asyncio.sleep(0.01)  # a deadline is a matter of time


async def test_a_task_that_is_canceled_after_a_stage_is_told_as_canceled(open_shop: OpenShop, host: Host) -> None:
    fake, made, hold = Fake("sandbox"), files(host, "a"), asyncio.Event()
    fake.script(accept(Running(stage="first", outputs=made, pieces=(SONG,)), hold, outputs=made))
    async with open_shop(fake) as shop:
        task_id = await shop.order(callback=HOOK)
        walk = asyncio.create_task(shop.walk(task_id))
        await fake.polled.get()
        await fake.polled.get()
        assert await shop.house.finish.cancel(task_id, shop.account.id)
        hold.set()
        task = await walk
        assert (task.state, task.outputs) == (State.CANCELED, ()), "what was made is given up"
        assert await events(shop, task_id) == ["task.first", "task.canceled"]
        await shop.check()


@pytest.mark.parametrize("staged", [True, False])
async def test_a_second_attempt_that_is_taken_over_delivers_its_own_files(
    open_shop: OpenShop, host: Host, staged: bool
) -> None:
    one, two = files(host, "one"), files(host, "x", "two")[1:]
    broken, other = Fake("a"), Fake("b", models={"FLUX_MAX": "other"})
    broken.script(accept(Running(stage="first", outputs=one, pieces=(SONG,)), failure=Failed("it broke")))
    steps = (Running(stage="first", outputs=two, pieces=(SONG,)),) if staged else ()
    other.script(accept(*steps, outputs=two, pieces=(SONG,)))
    async with open_shop(broken, other, live_credits=100_000) as shop:
        task_id = await shop.order(key=shop.live, fallback="FLUX_MAX", callback=HOOK)
        with crash_at("run.submitted", 2), pytest.raises(CrashError):
            await shop.run().walk(task_id)
        assert (await shop.task(task_id)).stage is None, "the stage went with the attempt that had reached it"
        task = await shop.walk(task_id)
        assert await shop.stored(task) == [png(4, 4, 1)]
        await shop.check()


async def test_a_second_attempt_never_writes_over_what_the_first_has_shown(open_shop: OpenShop, host: Host) -> None:
    one, two = files(host, "one"), files(host, "x", "two")[1:]
    broken, other = Fake("a"), Fake("b", models={"FLUX_MAX": "other"})
    broken.script(accept(Running(stage="first", outputs=one, pieces=(SONG,)), failure=Failed("it broke")))
    other.script(accept(outputs=two, pieces=(SONG,)))
    async with open_shop(broken, other, live_credits=100_000) as shop:
        task_id = await shop.order(key=shop.live, fallback="FLUX_MAX")
        with crash_at("run.advanced"), pytest.raises(CrashError):
            await shop.run().walk(task_id)
        (shown,) = (await shop.task(task_id)).outputs
        with crash_at("run.finishing"), pytest.raises(CrashError):
            await shop.run().walk(task_id)
        content = b"".join([chunk async for chunk in shop.house.store.read(shown.key)])
        assert content == png(4, 4, 0), "a link that was told leads to what it led to, until it is swept"

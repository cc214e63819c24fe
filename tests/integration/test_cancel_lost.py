"""Cancels whose way is blocked: the receipt is lost with its worker, or the provider's own code is broken."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.workshop import OpenShop, Workshop

from tessera.domain.errors import Failed, Rejected, Unavailable
from tessera.domain.task import State
from tessera.engine import faults
from tessera.engine.cancel import BUGS_FOR, FOR, LOOK_FOR, UNHEARD, UNKNOWN, PassOn
from tessera.providers.base import Accepted, Done, Job
from tessera.providers.fake import Fake, FindingFake, accept
from tessera.testing.ticker import Ticker

SOON = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def calm() -> Any:
    yield
    faults.disarm()


class Died(BaseException):
    """The worker's end, in the middle of everything."""


class Deaf(FindingFake):
    """``acceptances`` is how many of its jobs nobody has heard of the acceptance; every cancel is noted."""

    def __init__(self) -> None:
        super().__init__("sandbox")
        self.canceled: list[str | None] = []

    async def cancel(self, job: Job) -> bool:
        self.canceled.append(job.upstream_id)
        return await super().cancel(job)


class Broken(Fake):
    async def cancel(self, job: Job) -> bool:
        raise KeyError("status")


def pass_on(shop: Workshop) -> PassOn:
    house = shop.house
    return PassOn(house.database, house.routes, scratch=house.scratch, clock=house.clock)


async def die(place: Any) -> None:
    async def now() -> None:
        faults.disarm()
        raise Died

    faults.arm(place, now)


@asynccontextmanager
async def dead(open_shop: OpenShop, fake: Fake, place: str) -> AsyncIterator[tuple[Workshop, str, Ticker]]:
    """A task that was canceled after its worker had died there; nobody was told yet."""
    ticker = Ticker()
    async with open_shop(fake, now=ticker) as shop:
        task_id = await shop.order()
        await die(place)
        with pytest.raises(Died):
            await shop.run().walk(task_id)
        assert await shop.house.finish.cancel(task_id, shop.account.id) is not None
        yield shop, task_id, ticker
        assert (await shop.task(task_id)).state is State.CANCELED
        await shop.check()


async def error_of(shop: Workshop, task_id: str) -> str | None:
    return (await shop.attempts(task_id))[-1].error


async def test_a_job_whose_receipt_was_lost_is_found_by_its_key_and_stopped(open_shop: OpenShop) -> None:
    fake = Deaf()
    fake.silences.append(Unavailable("busy"))
    async with dead(open_shop, fake, "run.called") as (shop, task_id, _):
        assert await pass_on(shop)(task_id) == SOON, "a question without an answer is asked again"
        assert await pass_on(shop)(task_id) is None
        assert fake.canceled == [fake.jobs[0].upstream_id]
        (attempt,) = await shop.attempts(task_id)
        assert (attempt.state, attempt.upstream_id) == ("canceled", fake.jobs[0].upstream_id)
        assert len(fake.submissions) == 1


async def test_the_queue_finds_and_stops_a_job_whose_receipt_was_lost(open_shop: OpenShop) -> None:
    fake = Deaf()
    async with dead(open_shop, fake, "run.called") as (_, task_id, _):
        pass
    async with open_shop(fake, work=True) as shop:
        for _ in range(1000):
            if await shop.states(task_id) == ["sandbox canceled"]:
                break
        assert fake.canceled == [fake.jobs[0].upstream_id]


async def test_a_submission_that_is_still_on_its_way_is_looked_for_until_it_must_have_come(
    open_shop: OpenShop,
) -> None:
    fake = Deaf()
    async with dead(open_shop, fake, "run.calling") as (shop, task_id, ticker):
        assert await pass_on(shop)(task_id) == SOON
        ticker.advance(LOOK_FOR)
        assert await pass_on(shop)(task_id) is None
        assert (await shop.states(task_id), fake.canceled) == (["sandbox canceled"], [])


@pytest.mark.parametrize("error", [Rejected("no such key"), Failed("no")])
async def test_a_question_that_is_refused_leaves_the_outcome_unknown(open_shop: OpenShop, error: Any) -> None:
    fake = Deaf()
    fake.silences.append(error)
    async with dead(open_shop, fake, "run.called") as (shop, task_id, _):
        assert await pass_on(shop)(task_id) is None
        assert (await shop.states(task_id), await error_of(shop, task_id)) == (["sandbox ambiguous"], UNKNOWN)


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_provider_that_cannot_be_asked_is_told_nothing_and_the_attempt_says_so(
    open_shop: OpenShop, idempotent: bool
) -> None:
    fake = Fake("sandbox", idempotent=idempotent)
    async with dead(open_shop, fake, "run.called") as (shop, task_id, _):
        assert await pass_on(shop)(task_id) is None
        assert (await shop.states(task_id), await error_of(shop, task_id)) == (["sandbox ambiguous"], UNKNOWN)
        assert len(fake.submissions) == 1, "a repetition might begin the job that it asks after"
        assert not fake.jobs[0].canceled


async def test_an_id_that_belongs_to_another_task_is_not_stopped(open_shop: OpenShop) -> None:
    class Same(Deaf):
        async def find(self, job: Job) -> str | None:
            return "sandbox-1"

    fake = Same()
    fake.script(accept(failure=Failed("no")))
    async with dead(open_shop, fake, "run.submitted") as (shop, _, _):
        second = await shop.order(prompt="another")
        await die("run.called")
        with pytest.raises(Died):
            await shop.run().walk(second)
        await shop.house.finish.cancel(second, shop.account.id)
        assert await pass_on(shop)(second) is None
        assert fake.canceled == []
        assert await error_of(shop, second) == UNKNOWN


async def test_a_broken_provider_does_not_bring_a_cancel_back_for_ever(
    open_shop: OpenShop, capsys: pytest.CaptureFixture[str]
) -> None:
    async with dead(open_shop, Broken("sandbox"), "run.submitted") as (shop, task_id, ticker):
        tries = 0
        while (again := await pass_on(shop)(task_id)) is not None:
            ticker.advance(again)
            tries += 1
            assert tries < 50
        assert tries > 2
        assert ticker.now - (await shop.task(task_id)).completed_at < BUGS_FOR + timedelta(minutes=2)  # type: ignore[operator]
        assert (await shop.states(task_id), await error_of(shop, task_id)) == (
            ["sandbox canceled"],
            f"{UNHEARD} (KeyError)",
        )
        assert await pass_on(shop)(task_id) is None
    printed = capsys.readouterr().out
    assert "Traceback" in printed
    assert "KeyError" in printed


async def test_a_provider_that_never_answered_leaves_a_word_on_the_attempt(open_shop: OpenShop) -> None:
    class Silent(Fake):
        async def cancel(self, job: Job) -> bool:
            raise Unavailable("busy")

    async with dead(open_shop, Silent("sandbox"), "run.submitted") as (shop, task_id, ticker):
        assert await pass_on(shop)(task_id) == SOON
        assert await shop.states(task_id) == ["sandbox submitted"]
        ticker.advance(FOR + SOON)
        assert await pass_on(shop)(task_id) is None
        assert await error_of(shop, task_id) == f"{UNHEARD} (Unavailable)"


async def test_a_receipt_that_comes_after_all_is_passed_on_all_the_same(open_shop: OpenShop) -> None:
    """The submission was under way when the cancel was passed on: its own worker is alive, and brings the receipt."""

    class Slow(Fake):
        async def submit(self, job: Job) -> Accepted | Done:
            answer = await super().submit(job)
            await shop.house.finish.cancel(task_id, shop.account.id)
            assert await pass_on(shop)(task_id) is None
            assert await shop.states(task_id) == ["sandbox ambiguous"]
            return answer

    fake = Slow("sandbox")
    async with open_shop(fake) as shop:
        task_id = await shop.order()
        assert (await shop.walk(task_id)).state is State.CANCELED
        assert await shop.states(task_id) == ["sandbox submitted"]
        assert await pass_on(shop)(task_id) is None
        assert fake.jobs[0].canceled
        assert await shop.states(task_id) == ["sandbox canceled"]

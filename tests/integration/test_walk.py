"""The walk of one task: what a provider may answer, and what follows from it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.workshop import PRICE, OpenShop

from tessera.domain.errors import Failed, ProviderError, Rejected, Unavailable
from tessera.domain.task import Failure, Mode, Reason, State
from tessera.engine import faults
from tessera.engine.step import BUGS, RESENDS, UNKNOWN, HandBack
from tessera.kit.faults import Stumble
from tessera.providers.base import Accepted, Job, RemoteFile, Running
from tessera.providers.fake import Fake, FindingFake, accept, finish, picture, png, refuse, vanish
from tessera.testing.plugin import Passed
from tessera.testing.servers import Host
from tessera.testing.ticker import Ticker

CONTENT = Rejected("Your content was flagged", reason=Reason.CONTENT)
BROKE = Rejected("The provider's account has no funds", portable=True)
BUSY = Unavailable("busy")
FLUX = {"FLUX_MAX": "flux"}


# ---- success ----


@pytest.mark.parametrize("act", [accept(0.25, 0.5), finish(), accept()], ids=["steps", "at once", "one poll"])
async def test_a_task_that_succeeds_is_settled_and_its_files_are_ours(open_shop: OpenShop, act: object) -> None:
    fake = Fake("sandbox")
    fake.script(act)  # type: ignore[arg-type]
    async with open_shop(fake) as shop:
        before = await shop.balance()
        task = await shop.walk(await shop.order(count=3))
        assert (task.state, task.progress, task.failure) == (State.SUCCEEDED, 1.0, None)
        assert [asset.position for asset in task.outputs] == [0, 1, 2]
        assert [(asset.width, asset.height, asset.media_type) for asset in task.outputs] == [(8, 8, "image/png")] * 3
        assert await shop.stored(task) == [picture(task.request, index) for index in range(3)]
        assert await shop.states(task.id) == ["sandbox succeeded"]
        assert await shop.kinds(task.id) == ["hold", "settle"]
        assert await shop.balance() == before - 3 * PRICE
        assert await shop.house.database.pool.fetchval("SELECT facts ->> 'pictures' FROM attempts") == "3"
        await shop.check()


async def test_progress_is_written_as_it_comes_and_never_goes_back(open_shop: OpenShop) -> None:
    fake, holds, seen = Fake("sandbox"), [asyncio.Event() for _ in range(4)], []
    fake.script(accept(holds[0], 0.3, holds[1], 0.2, holds[2], 1.0, holds[3]))
    async with open_shop(fake) as shop:
        task_id = await shop.order()
        walk = asyncio.create_task(shop.walk(task_id))
        for hold in holds:
            await asyncio.wait_for(fake.polled.get(), 10)
            seen.append((await shop.task(task_id)).progress)
            hold.set()
        await walk
    assert seen == pytest.approx([0.0, 0.3, 0.3, 0.99])


async def test_a_provider_sees_the_request_its_model_and_one_key_for_the_attempt(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order(prompt="a red boat", count=2))
        (job,) = fake.submissions
        assert (job.task_id, job.model, job.request) == (task.id, "fake-image", task.request)
        assert (await shop.attempts(task.id))[0].idempotency_key == job.idempotency_key
        assert not job.workdir.exists(), "scratch space outlived the walk"


async def test_a_result_on_the_providers_host_is_fetched_with_its_headers(open_shop: OpenShop, host: Host) -> None:
    fake = Fake("sandbox")
    fake.script(accept(outputs=[RemoteFile(url=host.put("x.png", png(4, 5)), headers={"Authorization": "Key k"})]))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert await shop.stored(task) == [png(4, 5)]
        assert (await host.requests.next()).headers["Authorization"] == "Key k"


# ---- surely not accepted ----


async def test_unavailable_is_tried_again_with_growing_patience_and_a_new_key(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    fake.script(refuse(BUSY), refuse(BUSY), refuse(BUSY), accept())
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert task.state is State.SUCCEEDED
        assert await shop.states(task.id) == ["sandbox unavailable"] * 3 + ["sandbox succeeded"]
        assert shop.pauses.asked == [1, 2, 4]
        assert len({job.idempotency_key for job in fake.submissions}) == 4
        await shop.check()


async def test_a_providers_own_hint_lengthens_the_wait_within_reason(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    hints = [timedelta(seconds=17), timedelta(0), timedelta(days=1)]
    fake.script(*(refuse(Unavailable("later", retry_after=hint)) for hint in hints), accept())
    async with open_shop(fake) as shop:
        await shop.walk(await shop.order())
        assert shop.pauses.asked == [17, 2, 300]


async def test_the_next_provider_is_asked_when_the_first_stays_unavailable(open_shop: OpenShop) -> None:
    first, second = Fake("anton"), Fake("berta")
    first.script(*(refuse(BUSY) for _ in range(9)))
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task = await shop.walk(await shop.order(key=shop.live))
        assert task.state is State.SUCCEEDED
        assert await shop.states(task.id) == ["anton unavailable"] * 4 + ["berta succeeded"]


async def test_the_only_provider_is_asked_again_until_the_deadline(open_shop: OpenShop) -> None:
    fake, ticker = Fake("sandbox"), Ticker()
    fake.script(*(refuse(BUSY) for _ in range(200)))
    async with open_shop(fake, now=ticker) as shop:
        task_id = await shop.order()
        shop.pauses.then(100, fake._script.clear)
        task = await shop.walk(task_id)
        assert task.state is State.SUCCEEDED
        assert max(shop.pauses.asked) == 60
        assert len(fake.jobs) == 1


# ---- refusals, fallback ----


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CONTENT, Reason.CONTENT),
        (Rejected("bad size", reason=Reason.INPUT_INVALID), Reason.INPUT_INVALID),
        (Rejected("no"), Reason.PROVIDER),
        (Failed("it broke", reason=Reason.PROVIDER), Reason.PROVIDER),
        (Failed("flagged", reason=Reason.CONTENT), Reason.CONTENT),
    ],
    ids=["content", "input", "rejected", "failed", "content failed"],
)
async def test_a_final_no_ends_the_task_and_costs_nothing(
    open_shop: OpenShop, error: ProviderError, reason: Reason
) -> None:
    first, second = Fake("anton"), Fake("berta")
    first.script(refuse(error))
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task = await shop.walk(await shop.order(key=shop.live))
        assert task.state is State.FAILED
        assert task.failure is not None
        assert (task.failure.reason, task.failure.message) == (reason, str(error))
        assert await shop.balance(Mode.LIVE) == PRICE
        assert not second.submissions
        await shop.check()


async def test_a_cause_that_lies_with_the_provider_leads_to_the_next_one(open_shop: OpenShop) -> None:
    first, second = Fake("anton"), Fake("berta")
    first.script(refuse(BROKE))
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task = await shop.walk(await shop.order(key=shop.live))
        assert await shop.states(task.id) == ["anton rejected", "berta succeeded"]
        assert await shop.kinds(task.id) == ["hold", "settle"]


async def test_when_every_provider_has_said_no_the_last_word_counts(open_shop: OpenShop) -> None:
    first, second = Fake("anton"), Fake("berta")
    first.script(refuse(BROKE))
    second.script(refuse(Rejected("No funds here, either", portable=True)))
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task = await shop.walk(await shop.order(key=shop.live))
        assert task.failure is not None
        assert task.failure.message == "No funds here, either"
        assert await shop.states(task.id) == ["anton rejected", "berta rejected"]
        await shop.check()


FINAL = accept(0.5, failure=Failed("it broke"))


@pytest.mark.parametrize(
    ("act", "allowed", "states"),
    [
        (FINAL, True, ["anton failed", "flux succeeded"]),
        (FINAL, False, ["anton failed"]),
        (refuse(BROKE), True, ["anton rejected", "flux succeeded"]),
        (refuse(BROKE), False, ["anton rejected"]),
        (refuse(Rejected("no")), True, ["anton rejected", "flux succeeded"]),
        (refuse(CONTENT), True, ["anton rejected"]),
        (accept(failure=Failed("flagged", reason=Reason.CONTENT)), True, ["anton failed"]),
        (refuse(Rejected("bad", reason=Reason.INPUT_INVALID)), True, ["anton rejected"]),
        (accept(outputs=[]), True, ["anton failed", "flux succeeded"]),
        (vanish(accepted=True), True, ["anton ambiguous"]),
        (vanish(accepted=False), True, ["anton ambiguous"]),
    ],
    ids=[
        "failed",
        "failed, not allowed",
        "no funds",
        "no funds, not allowed",
        "rejected",
        "content rejected",
        "content failed",
        "bad input",
        "no outputs",
        "silent and accepted",
        "silent",
    ],
)
async def test_the_fallback_model_is_used_where_the_request_allows_it(
    open_shop: OpenShop, act: object, allowed: bool, states: list[str]
) -> None:
    first, second = Fake("anton"), Fake("flux", models=FLUX)
    first.script(act)  # type: ignore[arg-type]
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task = await shop.walk(await shop.order(key=shop.live, fallback="FLUX_MAX" if allowed else None))
        assert await shop.states(task.id) == states
        assert task.state is (State.SUCCEEDED if "succeeded" in states[-1] else State.FAILED)
        await shop.check()


async def test_a_result_that_we_cannot_store_is_no_reason_to_pay_another_provider(open_shop: OpenShop) -> None:
    first, second = Fake("anton"), Fake("flux", models=FLUX)
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task = await shop.walk(await shop.order(key=shop.live, fallback="FLUX_MAX"), output_bytes=10)
        assert await shop.states(task.id) == ["anton failed"]
        assert task.failure is not None
        assert task.failure.reason is Reason.STORAGE
        assert not second.submissions


async def test_several_upstream_models_of_one_provider_are_asked_in_turn(open_shop: OpenShop) -> None:
    fake = Fake("anton")
    fake.script(refuse(BROKE), refuse(BROKE), accept())
    routes = {"gpt4o-image": ["anton:big", "anton:middle", "anton:small"]}
    async with open_shop(fake, live_credits=PRICE, routes=routes) as shop:
        task = await shop.walk(await shop.order(key=shop.live))
        assert [job.model for job in fake.submissions] == ["big", "middle", "small"]
        assert task.state is State.SUCCEEDED


# ---- ambiguity ----


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_provider_that_honours_keys_is_sent_the_same_key_again(open_shop: OpenShop, accepted: bool) -> None:
    fake = Fake("sandbox", idempotent=True)
    fake.script(vanish(accepted=accepted))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert task.state is State.SUCCEEDED
        assert [len(fake.submissions), len(fake.jobs)] == [2, 1]
        assert len({job.idempotency_key for job in fake.submissions}) == 1
        assert await shop.states(task.id) == ["sandbox succeeded"]
        await shop.check()


@pytest.mark.parametrize(("accepted", "submissions"), [(True, 1), (False, 2)])
async def test_a_provider_that_can_be_asked_is_asked_first(
    open_shop: OpenShop, accepted: bool, submissions: int
) -> None:
    fake = FindingFake("sandbox")
    fake.script(vanish(accepted=accepted))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert task.state is State.SUCCEEDED
        assert [len(fake.questions), len(fake.submissions), len(fake.jobs)] == [1, submissions, 1]
        await shop.check()


@pytest.mark.parametrize("accepted", [True, False])
async def test_where_nobody_can_tell_the_task_fails_and_is_never_sent_again(
    open_shop: OpenShop, accepted: bool
) -> None:
    first, second = Fake("anton"), Fake("berta")
    first.script(vanish(accepted=accepted))
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task = await shop.walk(await shop.order(key=shop.live))
        assert task.failure is not None
        assert (task.failure.reason, task.failure.message) == (Reason.UNKNOWN, UNKNOWN)
        assert [len(first.submissions), len(second.submissions)] == [1, 0]
        assert await shop.balance(Mode.LIVE) == PRICE
        await shop.check()


async def test_an_operator_may_choose_to_send_again_all_the_same(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    fake.script(vanish(accepted=True))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order(), resend_ambiguous=True)
        assert task.state is State.SUCCEEDED
        assert len(fake.jobs) == 2


async def test_silence_is_not_repeated_for_ever(open_shop: OpenShop) -> None:
    fake = Fake("sandbox", idempotent=True)
    fake.script(*(vanish(accepted=False) for _ in range(9)))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert task.failure is not None
        assert task.failure.reason is Reason.UNKNOWN
        assert len(fake.submissions) == RESENDS


async def test_a_busy_answer_to_the_repetition_says_nothing_of_the_first(open_shop: OpenShop) -> None:
    first, second = Fake("anton", idempotent=True), Fake("berta")
    first.script(vanish(accepted=True), *(refuse(BUSY) for _ in range(6)))
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task = await shop.walk(await shop.order(key=shop.live))
        assert task.state is State.SUCCEEDED
        assert len({job.idempotency_key for job in first.submissions}) == 1
        assert [len(first.jobs), len(second.jobs)] == [1, 0]
        assert await shop.states(task.id) == ["anton succeeded"]


async def test_a_question_without_an_answer_is_asked_again_before_anything_is_sent(open_shop: OpenShop) -> None:
    fake = FindingFake("sandbox")
    fake.script(vanish(accepted=True))
    fake.silences.extend([BUSY] * 6)
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert task.state is State.SUCCEEDED
        assert [len(fake.questions), len(fake.submissions), len(fake.jobs)] == [7, 1, 1]


async def test_a_repetition_that_is_rejected_for_the_providers_reasons_leaves_the_first_in_doubt(
    open_shop: OpenShop,
) -> None:
    first, second = Fake("anton", idempotent=True), Fake("berta")
    first.script(vanish(accepted=True), refuse(BROKE))
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task = await shop.walk(await shop.order(key=shop.live))
        assert task.failure is not None
        assert task.failure.reason is Reason.UNKNOWN
        assert not second.submissions


# ---- a plug-in that is broken ----


class Broken(FindingFake):
    """Its code stumbles: each verb first does what is in ``bugs`` for it, and then what it should."""

    def __init__(self, name: str = "sandbox", **bugs: list[object]) -> None:
        super().__init__(name)
        self.bugs = bugs

    async def submit(self, job: Job) -> Any:
        answer = await super().submit(job)
        return self._stumble("submit", answer)

    async def find(self, job: Job) -> Any:
        return self._stumble("find", await super().find(job))

    async def poll(self, job: Job) -> Any:
        if self.bugs.get("poll"):
            self.polls.append(job.upstream_id or "")
            return self._stumble("poll", None)
        return await super().poll(job)

    def _stumble(self, verb: str, answer: object) -> object:
        bugs = self.bugs.get(verb)
        bug = bugs.pop(0) if bugs else answer
        if isinstance(bug, Exception):
            raise bug
        return bug


SENSELESS = [KeyError("status"), OSError("no route"), None, {"status": "running"}, TimeoutError()]
"""What a plug-in may raise or answer when it does not understand its own service."""


@pytest.mark.parametrize("bug", SENSELESS, ids=repr)
async def test_a_poll_that_breaks_a_few_times_is_like_one_that_is_not_answered(
    open_shop: OpenShop, bug: object
) -> None:
    fake = Broken(poll=[bug] * (BUGS - 1))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert (task.state, len(fake.submissions)) == (State.SUCCEEDED, 1)
        assert shop.pauses.asked == [2, 4, 8, 16]


async def test_only_bugs_in_a_row_are_counted(open_shop: OpenShop) -> None:
    bug, silence = KeyError("status"), Unavailable("busy")
    fake = Broken(poll=[*[bug] * (BUGS - 1), silence, *[bug] * (BUGS - 1), Running(), *[bug] * (BUGS - 1)])
    async with open_shop(fake) as shop:
        assert (await shop.walk(await shop.order())).state is State.SUCCEEDED


async def test_a_poll_that_goes_on_breaking_ends_the_task_and_costs_nothing(open_shop: OpenShop, host: Host) -> None:
    fake, other = Broken("anton", poll=[KeyError("status")] * 100), Fake("berta")
    async with open_shop(fake, other, live_credits=PRICE) as shop:
        url = host.put("a.png", png(8, 8, 1))
        task = await shop.walk(await shop.order(key=shop.live, images=(url,)))
        assert task.state is State.FAILED
        assert task.failure == Failure(Reason.PROVIDER, "The provider's answer could not be understood")
        assert (len(fake.polls), await shop.states(task.id)) == (BUGS, ["anton failed"])
        assert (task.epoch, len(host.requests.seen)) == (1, 1), "no claim anew, no input fetched anew"
        assert not other.submissions, "the first one has the job"
        await shop.check()


@pytest.mark.parametrize("bug", [*SENSELESS, Accepted(upstream_id=7)], ids=repr)  # type: ignore[arg-type]
async def test_a_submission_that_breaks_may_have_been_accepted(open_shop: OpenShop, bug: object) -> None:
    fake = Broken(submit=[bug])
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert task.state is State.SUCCEEDED
        assert [len(fake.questions), len(fake.submissions), len(fake.jobs)] == [1, 1, 1]


async def test_a_submission_that_breaks_where_nobody_can_be_asked_is_sent_once(open_shop: OpenShop) -> None:
    class Blind(Fake):
        async def submit(self, job: Job) -> Any:
            await super().submit(job)
            raise AttributeError("id")

    first, second = Blind("anton"), Fake("berta")
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task = await shop.walk(await shop.order(key=shop.live))
        assert task.failure is not None
        assert (task.failure.reason, task.epoch) == (Reason.UNKNOWN, 1)
        assert [len(first.submissions), len(second.submissions)] == [1, 0]
        await shop.check()


async def test_a_question_that_goes_on_breaking_ends_in_doubt(open_shop: OpenShop) -> None:
    fake = Broken(submit=[KeyError("id")], find=[7, KeyError("jobs"), []])
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert task.failure is not None
        assert (task.failure.reason, len(fake.submissions)) == (Reason.UNKNOWN, 1)


@pytest.mark.parametrize("place", ["run.calling", "run.called", "run.submitted"])
async def test_a_fault_beside_the_providers_code_is_not_the_providers(open_shop: OpenShop, place: faults.Place) -> None:
    async def stumble() -> None:
        raise Stumble("a test made this fail")

    async with open_shop(Fake("sandbox")) as shop:
        task_id = await shop.order()
        faults.arm(place, stumble)
        with pytest.raises(Stumble):
            await shop.walk(task_id)
        faults.disarm()
        assert (await shop.task(task_id)).state is State.RUNNING


# ---- polling, deadline ----


async def test_an_outage_while_polling_only_slows_the_asking_down(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    fake.script(accept(0.2, *([BUSY] * 7), 0.8))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert task.state is State.SUCCEEDED
        assert shop.pauses.asked == [0, 2, 4, 8, 16, 32, 60, 60, 0]
        assert [len(fake.submissions), len(fake.jobs)] == [1, 1]


async def test_an_outage_of_days_ends_no_task_before_its_deadline(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    fake.script(accept(*([BUSY] * 150)))
    async with open_shop(fake) as shop:
        assert (await shop.walk(await shop.order(), deadline=timedelta(days=7))).state is State.SUCCEEDED


async def test_the_deadline_ends_the_task_for_its_caller_and_a_late_success_still_counts(
    open_shop: OpenShop, passed: Passed
) -> None:
    fake, hold, ended = Fake("sandbox"), asyncio.Event(), passed("run.finished")
    fake.script(accept(hold))
    async with open_shop(fake) as shop:
        before = await shop.balance()
        task_id = await shop.order(callback="http://127.0.0.1:9/hook")
        walk = asyncio.create_task(shop.walk(task_id, deadline=timedelta(milliseconds=200)))
        await ended.next()
        task = await shop.task(task_id)
        assert task.failure is not None
        assert (task.state, task.failure.reason) == (State.FAILED, Reason.DEADLINE)
        assert await shop.balance() == before
        await shop.check()
        hold.set()
        task = await walk
        assert (task.state, task.failure) == (State.SUCCEEDED, None)
        assert len(await shop.stored(task)) == 1
        assert await shop.balance() == before, "a late success is free"
        assert [delivery.event for delivery in await shop.deliveries(task_id)] == ["task.failed", "task.succeeded"]
        await shop.check(late=True)


async def test_past_the_deadline_the_job_is_handed_back_ever_longer_and_in_the_end_nobody_asks(
    open_shop: OpenShop, passed: Passed
) -> None:
    fake, ticker, ended = Fake("sandbox"), Ticker(), passed("run.finished")
    hold = asyncio.Event()
    fake.script(accept(hold, *([0.5] * 50)))
    async with open_shop(fake, now=ticker) as shop:
        task_id = await shop.order()
        terms = {"deadline": timedelta(milliseconds=20), "late": timedelta(minutes=10)}
        walk = asyncio.create_task(shop.walk(task_id, **terms))
        await ended.next()
        ticker.advance(60)
        hold.set()
        with pytest.raises(HandBack) as back:
            await walk
        waits = [back.value.delay]
        while True:
            ticker.advance(waits[-1])
            try:
                task = await shop.walk(task_id, **terms)
                break
            except HandBack as again:
                waits.append(again.delay)
        assert waits == sorted(waits), "ever longer"
        assert len(waits) < 20
        assert task.failure is not None
        assert task.failure.reason is Reason.DEADLINE
        assert await shop.states(task_id) == ["sandbox ambiguous"]
        await shop.check()


async def test_time_in_the_queue_does_not_count(open_shop: OpenShop) -> None:
    fake, ticker = Fake("sandbox"), Ticker()
    async with open_shop(fake, now=ticker) as shop:
        task_id = await shop.order()
        ticker.advance(timedelta(hours=5))
        task = await shop.walk(task_id)
        assert task.state is State.SUCCEEDED
        assert task.started_at == ticker.now


# ---- inputs ----


async def test_inputs_reach_the_provider_as_files(open_shop: OpenShop, host: Host) -> None:
    fake, contents = Fake("sandbox"), []
    images = (host.put("a.png", png(6, 4)), host.put("b.png", png(3, 3, 9)))

    async def read() -> None:
        job = fake.submissions[0]
        contents.extend([file.path.read_bytes() for file in (*job.images, job.mask) if file])

    faults.arm("run.called", read)
    try:
        async with open_shop(fake) as shop:
            task = await shop.walk(await shop.order(images=images, mask=host.put("m.png", png(6, 4, 0))))
    finally:
        faults.disarm()
    assert task.state is State.SUCCEEDED
    assert contents == [png(6, 4), png(3, 3, 9), png(6, 4, 0)]
    assert [(file.width, file.height, file.media_type) for file in fake.submissions[0].images] == [
        (6, 4, "image/png"),
        (3, 3, "image/png"),
    ]


@pytest.mark.parametrize(
    ("body", "status", "reason", "message"),
    [
        (b"gone", 404, Reason.INPUT_UNREACHABLE, "Unable to download the image from the provided URL"),
        (b"oops", 500, Reason.INPUT_UNREACHABLE, "Unable to download the image from the provided URL"),
        (bytes(10_001), 200, Reason.INPUT_INVALID, "Image size exceeds maximum of 10000 bytes"),
        (b"%PDF-1.7 no picture", 200, Reason.INPUT_INVALID, "invalid_image_format"),
        (b"", 200, Reason.INPUT_INVALID, "invalid_image_format"),
        (png()[:20], 200, Reason.INPUT_INVALID, "invalid_image_format"),
        (png(101, 100), 200, Reason.INPUT_INVALID, "invalid_image_format"),
    ],
    ids=["missing", "broken", "large", "pdf", "empty", "cut", "pixels"],
)
async def test_an_input_that_cannot_be_used_ends_the_task_before_it_costs(
    open_shop: OpenShop, host: Host, body: bytes, status: int, reason: Reason, message: str
) -> None:
    fake = Fake("sandbox")
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order(images=(host.put("a.png", body, status=status),)))
        assert task.failure is not None
        assert task.failure.reason is reason
        assert message in task.failure.message
        assert not fake.submissions
        assert await shop.kinds(task.id) == ["hold", "release"]
        await shop.check()


async def test_a_mask_has_to_be_of_the_images_size(open_shop: OpenShop, host: Host) -> None:
    fake = Fake("sandbox")
    images, mask = (host.put("a.png", png(8, 8)),), host.put("m.png", png(8, 9))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order(images=images, mask=mask))
        assert task.failure is not None
        assert task.failure.reason is Reason.INPUT_INVALID
        assert "8x8 pixels; it is 8x9" in task.failure.message
        assert not fake.submissions


async def test_our_own_files_are_read_from_the_store_and_not_over_http(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    async with open_shop(fake) as shop:
        first = await shop.walk(await shop.order())
        link = shop.house.link(first.outputs[0])
        second = await shop.walk(await shop.order(images=(link,)))
        assert second.state is State.SUCCEEDED
        missing = shop.house.links.url("s/never-was.png")
        third = await shop.walk(await shop.order(images=(missing,)))
        assert third.failure is not None
        assert third.failure.reason is Reason.INPUT_UNREACHABLE


# ---- outputs ----


async def test_a_result_is_fetched_again_when_its_host_stumbles(open_shop: OpenShop, host: Host) -> None:
    fake, url = Fake("sandbox"), host.put("x.png", b"", status=503)
    fake.script(accept(outputs=[RemoteFile(url=url)]))
    async with open_shop(fake) as shop:
        shop.pauses.then(2, lambda: host.put("x.png", png()))
        task = await shop.walk(await shop.order())
        assert task.state is State.SUCCEEDED
        assert shop.pauses.asked == [1, 4]
        assert len(fake.jobs) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"gone", 404), (b"", 200), (bytes(10_001), 200), (png(200, 100), 200)],
    ids=["missing", "empty", "large", "pixels"],
)
async def test_a_result_that_cannot_be_kept_costs_nothing(
    open_shop: OpenShop, host: Host, body: bytes, status: int
) -> None:
    fake = Fake("sandbox")
    fake.script(accept(outputs=[RemoteFile(url=host.put("x.png", body, status=status))]))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert task.failure is not None
        assert task.failure.reason is Reason.STORAGE
        assert await shop.states(task.id) == ["sandbox failed"]
        await shop.check()


async def test_done_without_outputs_is_a_failure(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    fake.script(accept(outputs=[]))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order())
        assert task.failure is not None
        assert task.failure.reason is Reason.PROVIDER
        await shop.check()


# ---- odd words ----


@pytest.mark.parametrize("text", ["a NUL \0 in it", "half a pair \ud800 in it"])
async def test_whatever_a_provider_says_a_task_comes_to_its_end(open_shop: OpenShop, text: str) -> None:
    first, second = Fake("anton"), Fake("berta")
    odd = {"said": text, "kind": object, "number": float("nan"), text: [text]}
    first.script(refuse(Rejected(text, portable=True, detail=odd)))
    second.script(refuse(Failed(text, detail=odd)))
    async with open_shop(first, second, live_credits=PRICE) as shop:
        task = await shop.walk(await shop.order(key=shop.live))
        assert task.failure is not None
        assert task.failure.message.startswith(text[:6])
        assert await shop.states(task.id) == ["anton rejected", "berta failed"]
        kept = await shop.house.database.pool.fetch("SELECT detail ->> 'kind' FROM attempts WHERE error IS NOT NULL")
        assert [row[0] for row in kept] == ["<class 'object'>"] * 2


async def test_two_ends_are_told_where_two_were_asked_for(open_shop: OpenShop) -> None:
    fake = Fake("sandbox")
    fake.script(accept(callbacks=2))
    async with open_shop(fake) as shop:
        task = await shop.walk(await shop.order(callback="http://127.0.0.1:9/hook"))
        deliveries = await shop.deliveries(task.id)
        assert [delivery.event for delivery in deliveries] == ["task.succeeded"] * 2
        assert len({delivery.id for delivery in deliveries}) == 2


async def test_a_task_without_a_callback_url_tells_nobody(open_shop: OpenShop) -> None:
    async with open_shop(Fake("sandbox")) as shop:
        task = await shop.walk(await shop.order())
        assert await shop.deliveries(task.id) == []

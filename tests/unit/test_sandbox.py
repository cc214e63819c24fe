"""The sandbox as a provider: directives, time, failures, recovery; and the crew that draws for it."""

import asyncio
import contextlib
import itertools
import math
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tessera.domain.errors import Ambiguous, ConfigError, Failed, ProviderError, Rejected, Unavailable
from tessera.domain.task import ImageRequest, Reason
from tessera.kit.cpu import Crew, WorkLostError
from tessera.providers.base import Done, InputFile, Job, LocalFile, Provider, Running
from tessera.providers.sandbox import Sandbox, provider
from tessera.providers.sandbox.directives import KNOWN, Directives, Fault, UnknownDirectiveError, parse

SECOND = timedelta(seconds=1)


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2030, 1, 2, 3, 4, 5, 678_000, UTC))

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta) -> None:
        self.now += by


@dataclass(frozen=True)
class Surroundings:
    clock: Clock
    cpu: Crew
    environ: dict[str, str]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    crew = Crew(2)
    yield crew
    await crew.close()


@pytest.fixture
def sandbox(clock: Clock, crew: Crew) -> Sandbox:
    return Sandbox(clock, crew, duration=3 * SECOND)


def job(workdir: Path, prompt: str = "a lighthouse", **fields: object) -> Job:
    return Job(
        task_id="t1",
        idempotency_key="key-1",
        model="sandbox-image",
        request=ImageRequest(prompt=prompt, **fields),  # type: ignore[arg-type]
        workdir=workdir,
    )


async def submitted(sandbox: Sandbox, job: Job) -> Job:
    return replace(job, upstream_id=(await sandbox.submit(job)).upstream_id)


def contents(done: Done) -> list[bytes]:
    return [output.path.read_bytes() for output in done.outputs if isinstance(output, LocalFile)]


# Directives


@pytest.mark.parametrize(
    ("prompt", "rest", "wanted"),
    [
        ("a cat", "a cat", Directives()),
        ("  a\n cat ", "a\n cat", Directives()),
        ("a [sandbox: delay=20s] cat", "a cat", Directives(delay=20 * SECOND)),
        ("[sandbox:delay=500ms]a cat", "a cat", Directives(delay=SECOND / 2)),
        ("a cat [Sandbox : DELAY = 2 M ]", "a cat", Directives(delay=120 * SECOND)),
        ("[sandbox: delay=1.5s]", "", Directives(delay=1.5 * SECOND)),
        ("[sandbox: delay=999m]", "", Directives(delay=timedelta(hours=1))),
        ("[sandbox: delay=0s]", "", Directives(delay=timedelta(0))),
        ("[sandbox: hang]", "", Directives(hang=True)),
        ("[sandbox: callback=twice]", "", Directives(callbacks=2)),
        ("[sandbox: fail=400, delay=2s] x", "x", Directives(fault=Fault.CONTENT, delay=2 * SECOND)),
        ("[sandbox: fail=400] x [SANDBOX:fail=500]", "x", Directives(fault=Fault.BROKEN)),
        ("[sandbox: fail=Reject]", "", Directives(fault=Fault.REJECT)),
        ("[ sandbox :\n hang ,callback=twice ]", "", Directives(hang=True, callbacks=2)),
        ("a [red] sandbox: hang [sandbox] cat", "a [red] sandbox: hang [sandbox] cat", Directives()),
        ("an open [sandbox: hang", "an open [sandbox: hang", Directives()),
    ],
)
def test_a_directive_is_understood_and_taken_out_of_the_prompt(prompt: str, rest: str, wanted: Directives) -> None:
    assert parse(prompt) == (rest, wanted)


@pytest.mark.parametrize(
    "text",
    ["", "delay", "delay=", "delay=5", "delay=-1s", "delay=٣s", "fail=418", "hang=yes", "callback=3", "hang,", "boom"],
)
def test_an_unknown_directive_is_refused_with_a_list_of_the_known_ones(text: str) -> None:
    with pytest.raises(UnknownDirectiveError) as caught:
        parse(f"a cat [sandbox: {text}]")
    assert KNOWN in str(caught.value)


@given(st.text(alphabet="[]sandbox: =,hangdely0123m\n\x00é漢", max_size=60))
def test_any_prompt_is_parsed_or_refused_and_nothing_else(prompt: str) -> None:
    with contextlib.suppress(UnknownDirectiveError):
        rest, _ = parse(prompt)
        assert parse(rest)[0] == rest


# Submission


async def test_the_sandbox_is_a_provider(sandbox: Sandbox) -> None:
    seam: Provider = sandbox
    assert seam.manifest.name == "sandbox"
    assert seam.manifest.idempotent
    assert seam.manifest.operations >= {"image.generate", "image.edit"}
    assert seam.manifest.models == {"gpt4o-image": "sandbox-image", "*": "sandbox"}
    assert seam.manifest.environment == ()


async def test_the_same_key_gives_the_same_prefix_and_another_key_another(sandbox: Sandbox, tmp_path: Path) -> None:
    first, again = await sandbox.submit(job(tmp_path)), await sandbox.submit(job(tmp_path))
    other = await sandbox.submit(replace(job(tmp_path), idempotency_key="key-2"))
    assert first == again
    assert first.upstream_id.rpartition("-")[0] != other.upstream_id.rpartition("-")[0]
    assert "key-1" not in first.upstream_id


@pytest.mark.parametrize(
    ("prompt", "kind", "details"),
    [
        ("[sandbox: fail=429]", Unavailable, {"retry_after": SECOND}),
        ("[sandbox: fail=reject]", Rejected, {"portable": True, "reason": Reason.PROVIDER}),
        ("[sandbox: fail=ambiguous]", Ambiguous, {}),
        ("[sandbox: frobnicate]", Rejected, {"portable": False, "reason": Reason.INPUT_INVALID}),
    ],
)
async def test_a_submission_can_be_made_to_fail_every_time(
    sandbox: Sandbox, tmp_path: Path, prompt: str, kind: type[ProviderError], details: dict[str, object]
) -> None:
    for _ in range(2):
        with pytest.raises(kind) as caught:
            await sandbox.submit(job(tmp_path, prompt))
        assert {name: getattr(caught.value, name) for name in details} == details


async def test_a_ratio_that_is_none_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="ratio") as caught:
        await sandbox.submit(job(tmp_path, ratio="wide"))
    assert caught.value.reason is Reason.INPUT_INVALID


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0 cut"])
async def test_a_broken_input_is_refused_before_anything_is_promised(
    sandbox: Sandbox, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "input"
    path.write_bytes(content)
    file = InputFile(path=path, media_type="image/png", size=len(content))
    with pytest.raises(Rejected, match="invalid_image_format") as caught:
        await sandbox.submit(replace(job(tmp_path), files=(file,)))
    assert caught.value.reason is Reason.INPUT_INVALID


async def test_an_input_that_breaks_later_fails_the_job(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "input.png"
    Image.new("RGB", (30, 20)).save(path)
    file = InputFile(path=path, media_type="image/png", size=1)
    mine = await submitted(sandbox, replace(job(tmp_path), files=(file,)))
    path.write_bytes(b"gone bad")
    clock.forward(3 * SECOND)
    with pytest.raises(Failed, match="invalid_image_format") as caught:
        await sandbox.poll(mine)
    assert caught.value.reason is Reason.INPUT_INVALID


async def test_a_mask_without_a_picture_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    mask = InputFile(path=tmp_path / "mask.png", media_type="image/png", size=1, role="mask")
    with pytest.raises(Rejected, match="mask"):
        await sandbox.submit(replace(job(tmp_path), files=(mask,)))


# Time


async def test_progress_only_grows_and_the_next_question_is_never_late(
    sandbox: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    mine = await submitted(sandbox, job(tmp_path))
    end = clock.now + 3 * SECOND
    seen: list[float] = []
    while clock.now < end:
        answer = await sandbox.poll(mine)
        assert isinstance(answer, Running)
        assert timedelta(0) < answer.again <= min(SECOND / 2, end - clock.now)
        assert answer.progress is not None
        seen.append(answer.progress)
        clock.forward(timedelta(milliseconds=99))
    assert seen == sorted(seen)
    assert seen[0] == 0.0
    assert len(set(seen)) == len(seen)
    assert 0.9 < seen[-1] < 1


async def test_a_clock_that_went_back_is_no_harm(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    mine = await submitted(sandbox, job(tmp_path))
    clock.forward(-timedelta(hours=1))
    assert await sandbox.poll(mine) == Running(progress=0.0, again=SECOND / 2)


async def test_a_job_that_hangs_never_ends(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    mine = await submitted(sandbox, job(tmp_path, "[sandbox: hang]"))
    clock.forward(timedelta(days=3))
    answer = await sandbox.poll(mine)
    assert isinstance(answer, Running)
    assert answer.progress == 0.99


@pytest.mark.parametrize(
    ("directives", "seconds", "reason", "message"),
    [
        ("fail=400", 1.2, Reason.CONTENT, "Your content was flagged by OpenAI as violating content policies"),
        ("fail=451", 1.2, Reason.INPUT_UNREACHABLE, "Unable to download the image from the provided URL"),
        ("fail=500", 1.2, Reason.PROVIDER, "Failed to generate image"),
        ("fail=500, delay=10s", 10, Reason.PROVIDER, "Failed to generate image"),
    ],
)
async def test_a_verdict_comes_in_its_time(
    sandbox: Sandbox, clock: Clock, tmp_path: Path, directives: str, seconds: float, reason: Reason, message: str
) -> None:
    mine = await submitted(sandbox, job(tmp_path, f"x [sandbox: {directives}]"))
    clock.forward(timedelta(seconds=seconds, milliseconds=-1))
    before = await sandbox.poll(mine)
    assert isinstance(before, Running)
    assert before.progress is not None
    assert 0.39 < before.progress <= 0.4
    clock.forward(timedelta(milliseconds=1))
    for _ in range(2):
        with pytest.raises(Failed) as caught:
            await sandbox.poll(mine)
        assert (caught.value.reason, str(caught.value)) == (reason, message)


async def test_a_delay_replaces_the_duration(sandbox: Sandbox, clock: Clock, tmp_path: Path) -> None:
    mine = await submitted(sandbox, job(tmp_path, "x [sandbox: delay=20s]"))
    clock.forward(10 * SECOND)
    assert await sandbox.poll(mine) == Running(progress=0.5, again=SECOND / 2)


@pytest.mark.parametrize("strange", [None, "", "abc", "sbx-1-", "sbx-00-12x", "sbx-00-999999999999999999", "img_1-5"])
async def test_an_id_that_is_none_of_ours_fails(sandbox: Sandbox, tmp_path: Path, strange: str | None) -> None:
    with pytest.raises(Failed) as caught:
        await sandbox.poll(replace(job(tmp_path), upstream_id=strange))
    assert caught.value.reason is Reason.UNKNOWN


async def test_a_job_can_be_canceled(sandbox: Sandbox, tmp_path: Path) -> None:
    assert await sandbox.cancel(await submitted(sandbox, job(tmp_path)))


# Delivery


async def test_another_process_finishes_the_job_with_the_same_bytes(crew: Crew, clock: Clock, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    mine = await submitted(Sandbox(clock, crew), job(first, "blue hills [sandbox: callback=twice]", count=2))
    clock.forward(3 * SECOND)
    done = await Sandbox(clock, crew).poll(mine)
    again = await Sandbox(clock, crew).poll(replace(mine, workdir=second))
    assert isinstance(done, Done)
    assert isinstance(again, Done)
    assert done.callbacks == 2
    assert done.facts == again.facts
    assert contents(done) == contents(again)
    assert len(set(contents(done))) == 2
    assert not list(first.glob("*.part"))


async def test_with_no_duration_the_first_question_is_answered(crew: Crew, clock: Clock, tmp_path: Path) -> None:
    sandbox = Sandbox(clock, crew, duration=timedelta(0))
    done = await sandbox.poll(await submitted(sandbox, job(tmp_path, seed=7)))
    assert isinstance(done, Done)
    assert done.facts["seed"] == 7
    hanging = await sandbox.poll(await submitted(sandbox, job(tmp_path, "[sandbox: hang]")))
    assert isinstance(hanging, Running)


async def test_a_crew_that_is_gone_is_no_verdict(crew: Crew, clock: Clock, tmp_path: Path) -> None:
    sandbox = Sandbox(clock, crew, duration=timedelta(0))
    mine = await submitted(sandbox, job(tmp_path))
    await crew.close()
    with pytest.raises(Unavailable):
        await sandbox.poll(mine)


async def test_the_event_loop_answers_while_pictures_are_drawn(crew: Crew, clock: Clock, tmp_path: Path) -> None:
    sandbox = Sandbox(clock, crew, duration=timedelta(0))
    mine = await submitted(sandbox, job(tmp_path, ratio="3:2", count=4))
    beats: list[float] = []

    async def beat() -> None:
        while True:
            beats.append(time.perf_counter())
            await asyncio.sleep(0.005)

    heart = asyncio.create_task(beat())
    start = time.perf_counter()
    await sandbox.poll(mine)
    took = time.perf_counter() - start
    heart.cancel()
    gaps = sorted(later - sooner for sooner, later in itertools.pairwise(beats))
    # Drawn on the loop, one picture alone would be one gap; the median tells it from a machine that is merely busy.
    assert len(beats) > 10
    assert gaps[len(gaps) // 2] < took / 8


# The factory


@pytest.mark.parametrize(("text", "seconds"), [(None, 3.0), ("", 3.0), ("0", 0.0), (" 1.5 ", 1.5)])
async def test_the_duration_comes_from_the_environment(
    clock: Clock, crew: Crew, tmp_path: Path, text: str | None, seconds: float
) -> None:
    environ = {} if text is None else {"TESSERA_SANDBOX_SECONDS": text}
    sandbox = provider(Surroundings(clock, crew, environ))
    mine = await submitted(sandbox, job(tmp_path, "[sandbox: fail=500]"))
    clock.forward(timedelta(seconds=seconds) * 0.4)
    with pytest.raises(Failed):
        await sandbox.poll(mine)
    if seconds:
        clock.forward(-timedelta(milliseconds=2))
        assert isinstance(await sandbox.poll(mine), Running)


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
async def test_a_duration_that_is_none_is_a_setting_to_correct(clock: Clock, crew: Crew, text: str) -> None:
    with pytest.raises(ConfigError, match="TESSERA_SANDBOX_SECONDS"):
        provider(Surroundings(clock, crew, {"TESSERA_SANDBOX_SECONDS": text}))


# The crew


def heavy_modules() -> list[str]:
    """What a child has loaded after it can draw, of what it must not."""
    import tessera.providers.sandbox.render  # noqa: F401

    return [name for name in ("aiohttp", "asyncpg", "litestar", "numpy", "msgspec") if name in sys.modules]


def secrets_in_sight() -> str | None:
    return os.environ.get("OPENAI_API_KEY")


def die_once(marker: Path) -> str:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "second try"


def noisy() -> int:
    print("hello from a library that prints")
    return 7


def fail_oddly() -> None:
    class LocalError(Exception):
        pass

    raise LocalError("cannot be pickled")


async def test_a_child_answers_and_its_errors_come_home(crew: Crew) -> None:
    assert await crew.run(math.factorial, 20) == math.factorial(20)
    assert await crew.run(os.getpid) != os.getpid()
    with pytest.raises(ValueError, match="factorial") as caught:
        await crew.run(math.factorial, -1)
    assert "In a child process" in "".join(caught.value.__notes__)
    with pytest.raises(RuntimeError, match="LocalError: cannot be pickled"):
        await crew.run(fail_oddly)
    assert await crew.run(noisy) == 7


async def test_a_child_knows_neither_our_secrets_nor_our_modules(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert await crew.run(secrets_in_sight) is None
    assert await crew.run(heavy_modules) == []


async def test_work_survives_a_killed_child(tmp_path: Path) -> None:
    crew = Crew(1)
    before = await crew.run(os.getpid)
    os.kill(before, signal.SIGKILL)
    after = await crew.run(os.getpid)
    assert after != before
    assert await crew.run(die_once, tmp_path / "marker") == "second try"
    with pytest.raises(WorkLostError):
        await crew.run(os._exit, 3)
    assert await crew.run(math.factorial, 5) == 120
    await crew.close()


async def test_an_interrupt_at_the_terminal_does_not_reach_a_child() -> None:
    crew = Crew(1)
    child = await crew.run(os.getpid)
    os.kill(child, signal.SIGINT)
    os.kill(child, signal.SIGTERM)
    assert await crew.run(os.getpid) == child
    assert os.getsid(child) != os.getsid(0)
    await crew.close()


async def test_work_past_its_limit_is_stopped_and_not_tried_again() -> None:
    crew = Crew(1, limit=timedelta(milliseconds=700))
    await crew.run(os.getpid)
    start = time.perf_counter()
    with pytest.raises(WorkLostError, match="limit"):
        await crew.run(time.sleep, 60)
    assert time.perf_counter() - start < 30
    await crew.close()


async def test_closing_stops_busy_children_at_once() -> None:
    crew = Crew(1)
    child = await crew.run(os.getpid)
    work = asyncio.create_task(crew.run(time.sleep, 60))
    queued = asyncio.create_task(crew.run(math.factorial, 3))
    await asyncio.sleep(0)
    await asyncio.wait_for(crew.close(), 20)
    for task in (work, queued):
        with pytest.raises(WorkLostError):
            await task
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    with pytest.raises(WorkLostError):
        await crew.run(os.getpid)
    await crew.close()


async def test_a_caller_who_leaves_frees_his_turn() -> None:
    crew = Crew(1)
    child = await crew.run(os.getpid)
    working = asyncio.create_task(crew.run(time.sleep, 0.2))
    waiting = asyncio.create_task(crew.run(time.sleep, 60))
    await asyncio.sleep(0)
    working.cancel()
    waiting.cancel()
    assert await asyncio.wait_for(crew.run(os.getpid), 30) == child
    await crew.close()


async def test_an_idle_child_is_let_go() -> None:
    crew = Crew(1, linger=timedelta(milliseconds=1))
    child = await crew.run(os.getpid)
    with pytest.raises(ProcessLookupError):
        async with asyncio.timeout(20):
            while True:
                os.kill(child, 0)
                await asyncio.sleep(0.01)
    assert await crew.run(os.getpid) != child
    await crew.close()


async def test_never_more_children_than_the_crew_has_places() -> None:
    crew = Crew(2)
    pids = await asyncio.gather(*(crew.run(os.getpid) for _ in range(12)))
    assert len(set(pids)) <= 2
    await crew.close()

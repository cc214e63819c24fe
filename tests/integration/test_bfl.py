"""The Black Forest Labs provider against a strict simulator on loopback."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from tessera.domain.errors import Ambiguous, ConfigError, Failed, Rejected, Unavailable
from tessera.domain.task import ImageRequest, MusicRequest, Reason
from tessera.kit.clock import Clock
from tessera.kit.cpu import Crew
from tessera.kit.exchange import Exchange, Unanswered, Unsent, retry_after
from tessera.kit.outbound import Outbound, Policy
from tessera.providers import bfl, registry
from tessera.providers.base import Done, InputFile, Job, LocalFile, Provider, RemoteFile, Running
from tessera.providers.bfl import MANIFEST, BlackForestLabs, provider
from tessera.testing.provider_suite import JobMaker, ProviderSuite, World, paint
from tessera.testing.simulators.bfl import Simulator, colour

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Threads:
    """Work for the processor, in a thread: the tests need no other process."""

    async def run(self, call: Callable[..., Any], /, *args: Any) -> Any:
        return await asyncio.to_thread(call, *args)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    environ: Mapping[str, str]
    outbound: Outbound
    cpu: Any = field(default_factory=Threads)
    clock: Clock = lambda: NOW


class Time:
    """A clock to set, and a pause that only notes how long it was to be."""

    def __init__(self) -> None:
        self.now = NOW
        self.paused: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def sim(time: Time) -> AsyncIterator[Simulator]:
    async with Simulator(clock=time) as running:
        yield running


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound(Policy(allow_loopback=True))
    yield client
    await client.close()


@pytest.fixture
async def labs(sim: Simulator, outbound: Outbound, time: Time) -> AsyncIterator[BlackForestLabs]:
    made = BlackForestLabs(
        key=sim.key, base_url=sim.url, cpu=Threads(), clock=time, outbound=outbound, timeout=5.0, pause=time.pause
    )
    yield made
    await made.close()


def job(folder: Path, *, files: tuple[InputFile, ...] = (), **changes: Any) -> Job:
    folder.mkdir(exist_ok=True)
    urls = tuple(f"https://pictures.example/{file.path.name}" for file in files)
    return Job(
        task_id="0" * 32,
        idempotency_key="attempt-1",
        model="flux-kontext-pro",
        operation="image.edit" if files else "image.generate",
        request=replace(ImageRequest(prompt="a lighthouse at dusk", images=urls), **changes),
        workdir=folder,
        files=files,
    )


def picture_file(path: Path, picture: Image.Image, kind: str, media_type: str) -> InputFile:
    picture.save(path, kind)
    wide, high = picture.size
    return InputFile(path=path, media_type=media_type, size=path.stat().st_size, width=wide, height=high)


async def followed(labs: BlackForestLabs, job: Job) -> Done:
    job = replace(job, upstream_id=(await labs.submit(job)).upstream_id)
    while isinstance(answer := await labs.poll(job), Running):
        pass
    return answer


class TestTheSuite(ProviderSuite):
    @pytest.fixture
    def provider(self, labs: BlackForestLabs) -> BlackForestLabs:
        return labs

    @pytest.fixture
    def world(self, sim: Simulator) -> World:
        def next_time(*args: Any, **script: Any) -> Callable[[], Mapping[str, Any]]:
            def provoke() -> Mapping[str, Any]:
                sim.fail_next(*args, **script)
                return {}

            return provoke

        def moderated() -> Mapping[str, Any]:
            sim.end_next("Content Moderated")
            return {}

        return World(
            provoke={
                Rejected: next_time(status=403, detail=f"Invalid key {sim.key}"),
                Unavailable: next_time(status=429, detail=f"Slow down, {sim.key}"),
                Ambiguous: next_time(status=500, detail=sim.key),
                Failed: moderated,
            },
            secrets=(sim.key,),
        )

    async def test_an_edit_takes_a_mask(self, provider: Provider, make_job: JobMaker) -> None:
        """Kontext has none: it says so, and another provider of the route may be asked."""
        with pytest.raises(Rejected, match="no mask") as caught:
            await provider.submit(make_job(operation="image.edit", mask=True))
        assert caught.value.portable


# Submitting.


async def test_a_generation_is_one_post_in_their_words(sim: Simulator, labs: BlackForestLabs, tmp_path: Path) -> None:
    wanted = job(tmp_path / "w", ratio="21:9", format="jpeg", enhance=True, seed=7)
    done = await followed(labs, replace(wanted, model="flux-kontext-max"))

    assert sim.posts == 1
    (booked,) = sim.book
    assert booked.model == "flux-kontext-max"
    assert booked.fields == {
        "prompt": "a lighthouse at dusk",
        "aspect_ratio": "21:9",
        "output_format": "jpeg",
        "prompt_upsampling": True,
        "seed": 7,
    }
    assert booked.headers["x-key"] == sim.key
    assert booked.headers["content-type"] == "application/json"
    (output,) = done.outputs
    assert isinstance(output, RemoteFile)
    assert output.headers == {}, "our key is not shown where results lie"
    assert done.facts == {"model": "flux-kontext-max", "seed": 7, "duration": 4.5}


async def test_the_upstream_id_is_the_very_address_that_they_name(
    sim: Simulator, labs: BlackForestLabs, tmp_path: Path
) -> None:
    receipt = await labs.submit(job(tmp_path / "w"))
    assert receipt.upstream_id == f"{sim.url}/clusters/eu2/v1/get_result?id={sim.book[0].id}"


async def test_several_pictures_are_as_many_jobs_with_a_seed_each(
    sim: Simulator, labs: BlackForestLabs, tmp_path: Path
) -> None:
    done = await followed(labs, job(tmp_path / "w", count=3, seed=40))
    assert [booked.fields["seed"] for booked in sim.book] == [40, 41, 42]
    assert len({output.url for output in done.outputs if isinstance(output, RemoteFile)}) == 3


async def test_the_progress_of_several_is_their_mean(sim: Simulator, labs: BlackForestLabs, tmp_path: Path) -> None:
    mine = job(tmp_path / "w", count=2)
    mine = replace(mine, upstream_id=(await labs.submit(mine)).upstream_id)
    sim.book[0].pending = 0
    answer = await labs.poll(mine)
    assert isinstance(answer, Running)
    assert answer.progress == pytest.approx((1 + 0.5) / 2)
    assert isinstance(await labs.poll(mine), Done)


async def test_a_busy_moment_between_two_pictures_is_waited_out(
    sim: Simulator, labs: BlackForestLabs, time: Time, tmp_path: Path
) -> None:
    sim.fail_next(status=429, headers={"Retry-After": "3"}, after=1)
    sim.fail_next(status=503, headers={"Retry-After": "1"})
    receipt = await labs.submit(job(tmp_path / "w", count=2))
    assert len(receipt.upstream_id.split()) == len(sim.book) == 2
    assert sim.posts == 4
    assert time.paused == [3.0, 1.0]


async def test_a_busy_moment_before_the_first_is_for_the_engine(
    sim: Simulator, labs: BlackForestLabs, time: Time, tmp_path: Path
) -> None:
    sim.fail_next(status=429, headers={"Retry-After": "3"})
    with pytest.raises(Unavailable) as caught:
        await labs.submit(job(tmp_path / "w", count=2))
    assert caught.value.retry_after == timedelta(seconds=3)
    assert (sim.posts, sim.book, time.paused) == (1, [], [])


@pytest.mark.parametrize(
    ("script", "times", "billed"),
    [({"status": 402}, 1, 1), ({"status": 500}, 1, 1), ({"how": "drop"}, 1, 2), ({"status": 429}, 6, 1)],
    ids=["funds", "broken", "lost", "busy"],
)
async def test_a_job_that_was_taken_in_part_only_has_failed(
    *, sim: Simulator, labs: BlackForestLabs, tmp_path: Path, script: dict[str, Any], times: int, billed: int
) -> None:
    sim.fail_next(**script, times=times, after=1)
    with pytest.raises(Failed, match="took 1 of 2 pictures"):
        await labs.submit(job(tmp_path / "w", count=2))
    assert len(sim.book) == billed
    assert sim.posts == 1 + times


# Editing.


async def test_an_edit_sends_its_pictures_and_keeps_their_ratio(
    sim: Simulator, labs: BlackForestLabs, tmp_path: Path
) -> None:
    files = tuple(paint(tmp_path / f"{name}.png", (120, 60), name) for name in ("red", "green"))
    done = await followed(labs, job(tmp_path / "w", files=files, ratio="auto", format="webp"))
    (booked,) = sim.book
    assert "aspect_ratio" not in booked.fields
    sent = [base64.b64decode(booked.fields[name]) for name in ("input_image", "input_image_2")]
    assert sent == [file.path.read_bytes() for file in files]
    assert booked.size[0] / booked.size[1] == pytest.approx(2, rel=0.02)
    (output,) = done.outputs
    assert isinstance(output, RemoteFile)
    assert ".webp?" in output.url


async def test_a_picture_that_they_do_not_read_is_sent_as_png(
    sim: Simulator, labs: BlackForestLabs, tmp_path: Path
) -> None:
    source = picture_file(tmp_path / "x.gif", Image.new("RGB", (40, 30), "olive"), "GIF", "image/gif")
    await labs.submit(job(tmp_path / "w", files=(source,)))
    sent = sim.book[0].image()
    assert sent is not None
    assert (sent.format, sent.size) == ("PNG", (40, 30))


async def test_a_picture_that_is_too_large_for_them_is_made_smaller(
    sim: Simulator, labs: BlackForestLabs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bfl, "IMAGE_PIXELS", 100 * 100)
    monkeypatch.setattr(bfl, "SIDE", 64)
    source = picture_file(tmp_path / "x.png", Image.new("RGB", (200, 100), "olive"), "PNG", "image/png")
    await labs.submit(job(tmp_path / "w", files=(source,)))
    sent = sim.book[0].image()
    assert sent is not None
    assert sent.size == (64, 32)


async def test_the_work_can_be_done_in_another_process(sim: Simulator, outbound: Outbound, tmp_path: Path) -> None:
    crew = Crew(1)
    labs = provider(
        Surroundings(environ={"BFL_API_KEY": sim.key, "BFL_BASE_URL": sim.url}, outbound=outbound, cpu=crew)
    )
    try:
        done = await followed(labs, job(tmp_path / "w", files=(paint(tmp_path / "a.png"),), watermark="© me"))
        assert isinstance(done.outputs[0], LocalFile)
        (tmp_path / "x.gif").write_bytes(b"GIF89a, and then nothing")
        broken = InputFile(path=tmp_path / "x.gif", media_type="image/gif", size=24)
        with pytest.raises(Rejected, match="cannot be read as a picture") as caught:
            await labs.submit(job(tmp_path / "w2", files=(broken,)))
        assert caught.value.reason is Reason.INPUT_INVALID
    finally:
        await labs.close()
        await crew.close()
    assert sim.posts == 1


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
async def test_a_watermark_is_printed_here(sim: Simulator, labs: BlackForestLabs, tmp_path: Path, kind: str) -> None:
    done = await followed(labs, job(tmp_path / "w", watermark="© me", format=kind))
    (output,) = done.outputs
    assert isinstance(output, LocalFile)
    with Image.open(output.path) as opened:
        assert opened.format == kind.upper()
        picture = opened.convert("RGB")
    plain = Image.new("RGB", picture.size, colour(sim.book[0]))
    changed = ImageChops.difference(picture, plain).convert("L").point(lambda v: 255 if v > 40 else 0)
    right = changed.crop((picture.width // 2, 0, picture.width, picture.height // 8))
    assert right.getbbox() is not None
    assert changed.crop((0, picture.height // 4, picture.width, picture.height)).getbbox() is None


# What is refused before anything is sent.


@pytest.mark.parametrize(
    ("changes", "files", "words"),
    [
        ({"prompt": " "}, 0, "needs a prompt"),
        ({"ratio": "3:1"}, 0, "21:9 to 9:21, not 3:1"),
        ({"ratio": "1:3"}, 0, "21:9 to 9:21, not 1:3"),
        ({"ratio": "wide"}, 0, "not wide"),
        ({"ratio": "1:0"}, 0, "not 1:0"),
        ({"resolution": "4K"}, 0, "no size"),
        ({"width": 512, "height": 512}, 0, "no size"),
        ({}, 5, "up to 4 images, not 5"),
    ],
)
async def test_their_limits_are_told_without_asking_them(
    *, sim: Simulator, labs: BlackForestLabs, tmp_path: Path, changes: dict[str, Any], files: int, words: str
) -> None:
    inputs = (paint(tmp_path / "image.png"),) * files
    with pytest.raises(Rejected, match=words) as caught:
        await labs.submit(job(tmp_path / "w", files=inputs, **changes))
    assert (caught.value.reason, caught.value.portable) == (Reason.INPUT_INVALID, True)
    assert sim.posts == 0


async def test_another_kind_of_request_is_for_another_provider(
    sim: Simulator, labs: BlackForestLabs, tmp_path: Path
) -> None:
    with pytest.raises(Rejected) as caught:
        await labs.submit(replace(job(tmp_path / "w"), request=MusicRequest(prompt="x")))
    assert caught.value.portable
    assert sim.posts == 0


async def test_a_lost_input_file_is_our_own_trouble(sim: Simulator, labs: BlackForestLabs, tmp_path: Path) -> None:
    gone = replace(paint(tmp_path / "image.png"), path=tmp_path / "gone.png")
    with pytest.raises(Unavailable, match="nothing was sent"):
        await labs.submit(job(tmp_path / "w", files=(gone,)))
    assert sim.posts == 0


# Their answers to a submission, in ours.

WRONG_IMAGE = [{"type": "value_error", "loc": ["body", "input_image"], "msg": "not an image"}]
WRONG_PROMPT = [{"type": "value_error", "loc": ["body", "prompt"], "msg": "too long"}]


@pytest.mark.parametrize(
    ("status", "detail", "reason", "portable"),
    [
        (400, "Bad request", Reason.PROVIDER, False),
        (422, WRONG_IMAGE, Reason.INPUT_INVALID, False),
        (422, WRONG_PROMPT, Reason.PROVIDER, False),
        (422, [None, {"loc": []}, {"loc": "x"}], Reason.PROVIDER, False),
        (413, "Too large", Reason.INPUT_INVALID, False),
        (401, "No", Reason.PROVIDER, True),
        (403, "No", Reason.PROVIDER, True),
        (402, "Insufficient credits", Reason.PROVIDER, True),
        (404, "Not Found", Reason.PROVIDER, True),
        (307, "Elsewhere", Reason.PROVIDER, True),
    ],
)
async def test_a_refusal_is_final_and_says_whose_fault_it_is(
    *,
    sim: Simulator,
    labs: BlackForestLabs,
    tmp_path: Path,
    status: int,
    detail: object,
    reason: Reason,
    portable: bool,
) -> None:
    sim.fail_next(status=status, detail=detail, headers={"Location": "/v1/flux-kontext-pro"})
    with pytest.raises(Rejected) as caught:
        await labs.submit(job(tmp_path / "w"))
    assert (caught.value.reason, caught.value.portable) == (reason, portable)
    assert caught.value.detail["status"] == status
    assert sim.posts == 1
    assert sim.book == []


@pytest.mark.parametrize(
    ("script", "billed"),
    [
        ({"status": 500}, 0),
        ({"status": 502}, 0),
        ({"status": 503}, 0),
        ({"status": 408}, 0),
        ({"status": 409}, 0),
        ({"how": "drop"}, 1),
        ({"how": "garbage"}, 1),
        ({"how": "nameless"}, 1),
    ],
    ids=str,
)
async def test_without_a_usable_answer_the_outcome_is_unknown_and_nothing_is_sent_again(
    *, sim: Simulator, labs: BlackForestLabs, tmp_path: Path, script: dict[str, Any], billed: int
) -> None:
    sim.fail_next(**script)
    with pytest.raises(Ambiguous):
        await labs.submit(job(tmp_path / "w"))
    assert sim.posts == 1
    assert len(sim.book) == billed


async def test_an_answer_that_never_comes_is_ambiguous(sim: Simulator, outbound: Outbound, tmp_path: Path) -> None:
    labs = BlackForestLabs(
        key=sim.key, base_url=sim.url, cpu=Threads(), clock=lambda: NOW, outbound=outbound, timeout=0.3
    )
    sim.fail_next("stall")
    with pytest.raises(Ambiguous) as caught:
        await labs.submit(job(tmp_path / "w"))
    assert caught.value.detail == {"error": "TimeoutError"}
    assert len(sim.book) == 1
    await labs.close()


async def test_a_closed_port_is_unavailable(outbound: Outbound, tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    url = f"http://127.0.0.1:{port}"
    labs = BlackForestLabs(key="k", base_url=url, cpu=Threads(), clock=lambda: NOW, outbound=outbound)
    mine = job(tmp_path / "w")
    with pytest.raises(Unavailable, match="could not be reached"):
        await labs.submit(mine)
    with pytest.raises(Unavailable, match="could not be asked"):
        await labs.poll(replace(mine, upstream_id=f"{url}/v1/get_result?id=1"))
    await labs.close()


async def test_our_key_is_not_carried_to_a_stranger(sim: Simulator, labs: BlackForestLabs, tmp_path: Path) -> None:
    sim.fail_next("elsewhere")
    receipt = await labs.submit(job(tmp_path / "w"))
    assert receipt.upstream_id == f"{sim.url}/v1/get_result?id={sim.book[0].id}"


@pytest.mark.parametrize(
    ("base", "place", "ours"),
    [
        ("https://api.bfl.ai", "https://api.eu1.bfl.ai/v1/get_result?id=1", True),
        ("https://api.bfl.ai", "https://api.bfl.ai:443/v1/get_result?id=1", True),
        ("https://api.bfl.ai", "https://bfl.ai/x", True),
        ("https://api.bfl.ai", "http://api.bfl.ai/v1/get_result?id=1", False),
        ("https://api.bfl.ai", "https://api.bfl.ai:8443/x", False),
        ("https://api.bfl.ai", "https://bfl.ai.evil.example/x", False),
        ("https://api.bfl.ai", "https://evilbfl.ai/x", False),
        ("https://api.bfl.ai", "https://u:p@api.bfl.ai/x", False),
        ("https://api.bfl.ai", "https://api.bfl.ai/x https://evil.example", False),
        ("https://api.bfl.ai", "https://api.bfl.ai:port/x", False),
        ("https://api.bfl.ai", "no-such-job", False),
        ("http://127.0.0.1:81", "http://127.0.0.1:81/x", True),
        ("http://127.0.0.1:81", "http://127.0.0.1:82/x", False),
        ("http://127.0.0.1:81", "https://api.bfl.ai/x", False),
        ("https://relay.example", "https://api.bfl.ai/x", False),
    ],
)
async def test_only_their_own_hosts_are_asked(outbound: Outbound, base: str, place: str, ours: bool) -> None:
    labs = BlackForestLabs(key="k", base_url=base, cpu=Threads(), clock=lambda: NOW, outbound=outbound)
    assert labs._ours(place) is ours


# Asking after a job.


@pytest.mark.parametrize(
    ("verdict", "reason", "words"),
    [
        ("Request Moderated", Reason.CONTENT, "violating content policies"),
        ("Content Moderated", Reason.CONTENT, "violating content policies"),
        ("Error", Reason.PROVIDER, "could not make the picture"),
        ("Task not found", Reason.UNKNOWN, "does not know this job"),
    ],
)
async def test_their_verdict_is_a_failure_with_its_reason(
    *, sim: Simulator, labs: BlackForestLabs, tmp_path: Path, verdict: Any, reason: Reason, words: str
) -> None:
    sim.end_next(verdict)
    with pytest.raises(Failed, match=words) as caught:
        await followed(labs, job(tmp_path / "w"))
    assert caught.value.reason is reason


@pytest.mark.parametrize(("status", "wait"), [(500, None), (429, timedelta(seconds=9)), (403, None), (404, None)])
async def test_a_poll_without_an_answer_is_no_verdict(
    *, sim: Simulator, labs: BlackForestLabs, tmp_path: Path, status: int, wait: timedelta | None
) -> None:
    mine = job(tmp_path / "w")
    mine = replace(mine, upstream_id=(await labs.submit(mine)).upstream_id)
    sim.fail_poll(status, {"Retry-After": "9"} if wait else {})
    with pytest.raises(Unavailable) as caught:
        await labs.poll(mine)
    assert caught.value.retry_after == wait
    assert isinstance(await labs.poll(mine), Running), "the question was not lost"
    assert isinstance(await labs.poll(mine), Done)


@pytest.mark.parametrize("result", [None, {}, {"sample": None}, {"sample": "file:///etc/passwd"}, "x", ["y"]])
def test_an_end_without_a_picture_is_a_failure(result: object, outbound: None) -> None:
    labs = BlackForestLabs(key="k", base_url="https://api.bfl.ai", cpu=Threads(), clock=lambda: NOW, outbound=outbound)  # type: ignore[arg-type]
    with pytest.raises(Failed, match="without a picture"):
        labs._ready(result)


async def test_a_result_is_gone_after_ten_minutes(
    sim: Simulator, labs: BlackForestLabs, time: Time, tmp_path: Path
) -> None:
    mine = job(tmp_path / "w", watermark="x")
    mine = replace(mine, upstream_id=(await labs.submit(mine)).upstream_id)
    await labs.poll(mine)
    time.now += timedelta(minutes=10)
    with pytest.raises(Failed, match="no longer where") as caught:
        await labs.poll(mine)
    assert caught.value.reason is Reason.STORAGE


async def test_another_process_goes_on_with_a_job(sim: Simulator, labs: BlackForestLabs, tmp_path: Path) -> None:
    mine = job(tmp_path / "w", count=2)
    upstream_id = (await labs.submit(mine)).upstream_id
    sim.pending = 0
    for booked in sim.book:
        booked.pending = 0
    outbound = Outbound(Policy(allow_loopback=True))
    other = provider(Surroundings(environ={"BFL_API_KEY": sim.key, "BFL_BASE_URL": sim.url}, outbound=outbound))
    answer = await other.poll(replace(mine, workdir=tmp_path, upstream_id=upstream_id))
    assert isinstance(answer, Done)
    assert len(answer.outputs) == 2
    await other.close()
    await outbound.close()


async def test_there_is_no_way_to_stop_a_job(sim: Simulator, labs: BlackForestLabs, tmp_path: Path) -> None:
    assert await labs.cancel(job(tmp_path / "w")) is False
    assert sim.posts == 0


# Settings.


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "BFL_API_KEY is not set"),
        ({"BFL_API_KEY": " "}, "BFL_API_KEY is not set"),
        ({"BFL_API_KEY": "a b"}, "characters that no key has"),
        ({"BFL_API_KEY": "ké"}, "characters that no key has"),
        ({"BFL_API_KEY": "k", "BFL_BASE_URL": "api.bfl.ai"}, "BFL_BASE_URL"),
        ({"BFL_API_KEY": "k", "BFL_BASE_URL": "ftp://api.bfl.ai"}, "BFL_BASE_URL"),
        ({"BFL_API_KEY": "k", "BFL_BASE_URL": "https://u:p@api.bfl.ai"}, "BFL_BASE_URL"),
        ({"BFL_API_KEY": "k", "BFL_BASE_URL": "https://api.bfl.ai?x=1"}, "BFL_BASE_URL"),
    ],
)
async def test_a_wrong_setting_is_told_at_the_start(outbound: Outbound, environ: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        provider(Surroundings(environ=environ, outbound=outbound))
    assert "u:p" not in str(caught.value)


def test_it_is_found_by_its_entry_point_and_serves_the_models_of_the_family() -> None:
    found = dict(registry.discover())
    assert found["bfl"].manifest is MANIFEST
    assert MANIFEST.models["FLUX_MAX"] == "flux-kontext-max"
    assert {"flux-kontext-pro", "flux-kontext-max"} <= MANIFEST.models.keys()
    assert MANIFEST.environment == ("BFL_API_KEY",)
    assert not MANIFEST.idempotent


# The simulator is as strict as it says.


GOOD = {"prompt": "x", "aspect_ratio": "1:1", "output_format": "png", "prompt_upsampling": False}
PIXEL = BytesIO()
Image.new("RGB", (2, 2)).save(PIXEL, "PNG")
PIXEL_64 = base64.b64encode(PIXEL.getvalue()).decode()


@pytest.mark.parametrize(
    ("fields", "field_"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"aspect_ratio": "3:1"}, "aspect_ratio"),
        ({"aspect_ratio": "16/9"}, "aspect_ratio"),
        ({"output_format": "gif"}, "output_format"),
        ({"prompt_upsampling": None}, "prompt_upsampling"),
        ({"safety_tolerance": 7}, "safety_tolerance"),
        ({"safety_tolerance": 3, "input_image": PIXEL_64}, "safety_tolerance"),
        ({"seed": 1.5}, "seed"),
        ({"input_image": "aGk="}, "input_image"),
        ({"input_image_2": PIXEL_64}, "input_image"),
        ({"width": 1024}, "width"),
    ],
)
async def test_the_simulator_refuses_what_is_not_described(sim: Simulator, fields: dict[str, Any], field_: str) -> None:
    http = Exchange(timeout=5)
    headers = {"x-key": sim.key, "Content-Type": "application/json"}
    url = f"{sim.url}/v1/flux-kontext-pro"
    reply = await http.ask("POST", url, headers=headers, body=json.dumps({**GOOD, **fields}).encode())
    assert reply.status == 422
    assert reply.json()["detail"][0]["loc"] == ["body", field_]
    good = await http.ask("POST", url, headers=headers, body=json.dumps({**GOOD, "input_image": PIXEL_64}).encode())
    assert good.status == 200
    assert (await http.ask("POST", url, headers={}, body=b"{}")).status == 403
    assert (await http.ask("POST", f"{sim.url}/v1/flux-2-max", headers=headers, body=b"{}")).status == 404
    await http.close()


async def test_the_simulator_has_room_for_six_jobs_of_the_large_model(
    sim: Simulator, labs: BlackForestLabs, tmp_path: Path
) -> None:
    mine = replace(job(tmp_path / "w"), model="flux-kontext-max")
    places = [(await labs.submit(mine)).upstream_id for _ in range(6)]
    with pytest.raises(Unavailable):
        await labs.submit(mine)
    for _ in range(2):
        await labs.poll(replace(mine, upstream_id=places[0]))
    await labs.submit(mine)


# The client beneath.


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("Sun, 22 Nov 2026 12:01:30 GMT", 90.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2026 11:00:00", None),
        ("-3", 0.0),
        ("1e300", 86_400.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_to_wait_is_read_in_every_form(value: str | None, wait: float | None) -> None:
    found = retry_after(value, NOW)
    assert (None if found is None else found.total_seconds()) == wait


async def test_a_whole_answer_is_what_counts(tmp_path: Path) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    http = Exchange(timeout=5)
    with pytest.raises(Unanswered) as caught:
        await http.ask("GET", url, headers={})
    assert caught.value.cause == "ClientPayloadError"
    server.close()
    await server.wait_closed()
    with pytest.raises(Unsent):
        await http.ask("GET", url, headers={})
    with pytest.raises(Unsent):
        await http.ask("GET", "http://", headers={})
    with pytest.raises(OSError, match="gone"):
        await http.ask("POST", url, headers={}, body=tmp_path / "gone")
    await http.close()
    await http.close()
    with pytest.raises(RuntimeError):
        await http.ask("GET", url, headers={})

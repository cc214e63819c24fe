"""The OpenAI provider, its official SDK and all, against a strict simulator on loopback."""

import asyncio
import base64
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest
from PIL import Image

from tessera.domain.errors import Ambiguous, ConfigError, Failed, Rejected, Unavailable
from tessera.domain.task import ImageRequest, Reason
from tessera.kit.clock import Clock
from tessera.kit.cpu import Crew
from tessera.providers import openai_images, registry
from tessera.providers.base import Done, InputFile, Job, LocalFile
from tessera.providers.openai_images import MANIFEST, OpenAIImages, provider, unpack
from tessera.testing.provider_suite import ProviderSuite, World, paint, paint_mask
from tessera.testing.simulators.openai_images import MODELS, Simulator, colour

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Threads:
    """Work for the processor, in a thread: the tests need no other process."""

    async def run(self, call: Callable[..., Any], /, *args: Any) -> Any:
        return await asyncio.to_thread(call, *args)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    environ: Mapping[str, str]
    cpu: Any = field(default_factory=Threads)
    clock: Clock = lambda: NOW
    outbound: None = None


def environ(sim: Simulator, **more: str) -> dict[str, str]:
    return {"OPENAI_API_KEY": sim.key, "OPENAI_BASE_URL": sim.url, **more}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(clock=lambda: NOW) as running:
        yield running


@pytest.fixture
async def images(sim: Simulator) -> AsyncIterator[OpenAIImages]:
    made = provider(Surroundings(environ=environ(sim)))
    yield made
    await made.close()


def job(folder: Path, *, files: tuple[InputFile, ...] = (), mask: InputFile | None = None, **changes: Any) -> Job:
    folder.mkdir(exist_ok=True)
    urls = tuple(f"https://pictures.example/{file.path.name}" for file in files)
    return Job(
        task_id="0" * 32,
        idempotency_key="attempt-1",
        model="gpt-image-2.6-flare",
        request=replace(ImageRequest(prompt="a lighthouse at dusk", images=urls), **changes),
        workdir=folder,
        files=(*files, replace(mask, role="mask")) if mask else files,
    )


def picture_file(path: Path, picture: Image.Image, kind: str, media_type: str, **options: Any) -> InputFile:
    picture.save(path, kind, **options)
    return InputFile(path=path, media_type=media_type, size=path.stat().st_size)


def paths(done: object) -> list[Path]:
    assert isinstance(done, Done)
    return [output.path for output in done.outputs if isinstance(output, LocalFile)]


def opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture


class TestTheSuite(ProviderSuite):
    @pytest.fixture
    def provider(self, images: OpenAIImages) -> OpenAIImages:
        return images

    @pytest.fixture
    def world(self, sim: Simulator) -> World:
        def next_time(*args: Any, **script: Any) -> Callable[[], Mapping[str, Any]]:
            def provoke() -> Mapping[str, Any]:
                sim.fail_next(*args, **script)
                return {}

            return provoke

        echo = f"Incorrect API key provided: {sim.key}"
        return World(
            provoke={
                Rejected: next_time(status=401, code="invalid_api_key", message=echo),
                Unavailable: next_time(status=429, code=sim.key, message=echo),
                Ambiguous: next_time(status=500, param=sim.key, message=echo),
            },
            secrets=(sim.key,),
        )


# Generating.


async def test_a_generation_is_one_post_in_their_words(sim: Simulator, images: OpenAIImages, tmp_path: Path) -> None:
    done = await images.submit(replace(job(tmp_path / "w", ratio="3:2", count=2), model="gpt-image-2.5-sunburst"))

    assert sim.posts == 1
    (call,) = sim.book
    assert call.operation == "generate"
    assert call.fields == {
        "model": "gpt-image-2.5-sunburst",
        "prompt": "a lighthouse at dusk",
        "n": 2,
        "size": "1536x1024",
    }
    assert call.headers["idempotency-key"] == "attempt-1"
    pictures = [opened(path) for path in paths(done)]
    assert [picture.size for picture in pictures] == [(1536, 1024)] * 2
    assert [picture.getpixel((700, 500)) for picture in pictures] == [colour(call, 0), colour(call, 1)]


async def test_the_facts_are_tokens_model_and_their_request_id(images: OpenAIImages, tmp_path: Path) -> None:
    done = await images.submit(job(tmp_path / "w"))

    assert isinstance(done, Done)
    assert done.facts == {
        "model": "gpt-image-2.6-flare",
        "input_tokens": 6,
        "input_text_tokens": 6,
        "input_image_tokens": 0,
        "output_tokens": 1000,
        "output_text_tokens": 0,
        "output_image_tokens": 1000,
        "total_tokens": 1006,
        "request_id": "req_simulated_0001",
    }


async def test_only_the_pictures_stay_in_the_workdir(images: OpenAIImages, tmp_path: Path) -> None:
    done = await images.submit(job(tmp_path / "w", count=2))

    assert sorted((tmp_path / "w").iterdir()) == sorted(paths(done))


async def test_a_poll_has_nothing_to_ask_and_cancel_can_do_nothing(images: OpenAIImages, tmp_path: Path) -> None:
    with pytest.raises(Ambiguous):
        await images.poll(job(tmp_path / "w"))
    assert not await images.cancel(job(tmp_path / "w"))


# Editing.


async def test_several_images_go_in_order_and_leave_the_mask_out(
    sim: Simulator, images: OpenAIImages, tmp_path: Path
) -> None:
    colours = ["red", "green", "blue"]
    files = tuple(paint(tmp_path / f"{name}-secret-name.png", colour=name) for name in colours)
    done = await images.submit(job(tmp_path / "w", files=files, mask=paint_mask(tmp_path / "mask.png")))

    assert sim.posts == 1
    (call,) = sim.book
    assert call.operation == "edit"
    assert call.fields["model"] == "gpt-image-2.6-flare"
    assert call.mask is None
    assert [upload.name for upload in call.images] == ["image[]"] * 3
    assert [upload.filename for upload in call.images] == ["image-1.png", "image-2.png", "image-3.png"]
    assert [upload.content for upload in call.images] == [file.path.read_bytes() for file in files]
    assert len(paths(done)) == 1


async def test_black_is_edited_and_white_is_kept(sim: Simulator, images: OpenAIImages, tmp_path: Path) -> None:
    source = paint(tmp_path / "image.png", (96, 64), "teal")
    done = await images.submit(job(tmp_path / "w", files=(source,), mask=paint_mask(tmp_path / "mask.png", (96, 64))))

    (call,) = sim.book
    assert call.mask is not None
    with call.mask.open() as mask:
        alpha = mask.getchannel("A")
        assert mask.format == "PNG"
        assert mask.size == (96, 64)
    assert alpha.crop((0, 0, 48, 64)).getextrema() == (0, 0)
    assert alpha.crop((48, 0, 96, 64)).getextrema() == (255, 255)
    result = opened(paths(done)[0])
    assert result.getpixel((10, 10)) == colour(call, 0), "the black half was not edited"
    assert result.getpixel((1000, 10)) == (0, 128, 128), "the white half was touched"


def grey_scale() -> Image.Image:
    return Image.frombytes("L", (256, 2), bytes(range(256)) * 2)


def window() -> Image.Image:
    """White with a transparent left half."""
    sheet = Image.new("RGBA", (256, 2), "white")
    sheet.paste((255, 255, 255, 0), (0, 0, 128, 2))
    return sheet


@pytest.mark.parametrize(
    ("mask", "kind", "media_type"),
    [
        (grey_scale(), "PNG", "image/png"),
        (window(), "PNG", "image/png"),
        (window().convert("LA"), "PNG", "image/png"),
        (grey_scale().convert("RGB"), "WEBP", "image/webp"),
        (grey_scale().point(lambda level: 255 * (level > 127)).convert("1"), "PNG", "image/png"),
        (grey_scale().resize((512, 4), Image.Resampling.NEAREST), "PNG", "image/png"),
    ],
    ids=["grey", "transparent", "grey with alpha", "webp", "one bit", "other size"],
)
async def test_a_mask_of_any_kind_becomes_all_or_nothing_in_the_size_of_the_image(
    *, sim: Simulator, images: OpenAIImages, tmp_path: Path, mask: Image.Image, kind: str, media_type: str
) -> None:
    source = picture_file(tmp_path / "wide.png", Image.new("RGB", (256, 2), "teal"), "PNG", "image/png")
    options = {"lossless": True} if kind == "WEBP" else {}
    given = picture_file(tmp_path / "mask", mask, kind, media_type, **options)
    await images.submit(job(tmp_path / "w", files=(source,), mask=given))

    sent = sim.book[0].mask
    assert sent is not None
    with sent.open() as picture:
        assert picture.size == (256, 2)
        assert picture.getchannel("A").crop((0, 0, 256, 1)).tobytes() == bytes([0] * 128 + [255] * 128)


@pytest.mark.parametrize(
    ("kind", "media_type", "sent_type", "sent_name"),
    [
        ("PNG", "image/png", "image/png", "image-1.png"),
        ("WEBP", "image/webp", "image/webp", "image-1.webp"),
        ("JPEG", "image/jpeg", "image/jpeg", "image-1.jpg"),
        ("JPEG", "image/jfif", "image/jpeg", "image-1.jpg"),
        ("GIF", "image/gif", "image/png", "image-1.png"),
        ("BMP", "image/bmp", "image/png", "image-1.png"),
        ("TIFF", "image/tiff", "image/png", "image-1.png"),
    ],
)
async def test_an_image_goes_in_a_format_that_they_read(
    *, sim: Simulator, images: OpenAIImages, tmp_path: Path, kind: str, media_type: str, sent_type: str, sent_name: str
) -> None:
    source = picture_file(tmp_path / "source", Image.new("RGB", (40, 30), "olive"), kind, media_type)
    await images.submit(job(tmp_path / "w", files=(source,)))

    (upload,) = sim.book[0].images
    assert (upload.media_type, upload.filename) == (sent_type, sent_name)
    with upload.open() as picture:
        assert picture.size == (40, 30)
        red, green, blue = picture.convert("RGB").getpixel((5, 5))  # type: ignore[misc]
        assert abs(red - 128) < 4 and abs(green - 128) < 4 and blue < 4


@pytest.mark.parametrize("prompt", ["", " \n"])
async def test_images_without_words_get_a_neutral_prompt(
    sim: Simulator, images: OpenAIImages, tmp_path: Path, prompt: str
) -> None:
    await images.submit(job(tmp_path / "w", files=(paint(tmp_path / "image.png"),), prompt=prompt))

    assert sim.book[0].prompt == openai_images.NEUTRAL


async def test_the_work_can_be_done_in_another_process(sim: Simulator, tmp_path: Path) -> None:
    crew = Crew(1)
    images = provider(Surroundings(environ=environ(sim), cpu=crew))
    try:
        source, mask = paint(tmp_path / "image.png"), paint_mask(tmp_path / "mask.png")
        done = await images.submit(job(tmp_path / "w", files=(source,), mask=mask))
        assert opened(paths(done)[0]).size == (1024, 1024)

        (tmp_path / "text.png").write_text("no picture")
        broken = replace(mask, path=tmp_path / "text.png")
        with pytest.raises(Rejected, match="The mask cannot be read") as caught:
            await images.submit(job(tmp_path / "w2", files=(source,), mask=broken))
        assert caught.value.reason is Reason.INPUT_INVALID
    finally:
        await images.close()
        await crew.close()


# What is refused before anything is sent.


@pytest.mark.parametrize(
    ("changes", "files", "words"),
    [
        ({"prompt": "x" * 32_001}, 0, "32001 characters"),
        ({"prompt": " "}, 0, "A prompt or an image is needed"),
        ({"ratio": "16:9"}, 0, "pictures of 16:9"),
        ({"count": 11}, 0, "1 to 10 pictures"),
        ({"count": 0}, 0, "1 to 10 pictures"),
        ({}, 17, "up to 16 images"),
    ],
)
async def test_their_limits_are_told_without_asking_them(
    *, sim: Simulator, images: OpenAIImages, tmp_path: Path, changes: dict[str, Any], files: int, words: str
) -> None:
    inputs = (paint(tmp_path / "image.png"),) * files
    with pytest.raises(Rejected, match=words) as caught:
        await images.submit(job(tmp_path / "w", files=inputs, **changes))

    assert caught.value.reason is Reason.INPUT_INVALID
    assert caught.value.portable, "another provider may have other limits"
    assert sim.posts == 0


@pytest.mark.parametrize(("limit", "label"), [("MASK_BYTES", "The mask"), ("IMAGE_BYTES", "Image 1")])
async def test_a_file_that_is_too_large_is_refused(
    *, sim: Simulator, images: OpenAIImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, label: str
) -> None:
    monkeypatch.setattr(openai_images, limit, 50)
    source, mask = paint(tmp_path / "image.png"), paint_mask(tmp_path / "mask.png")
    with pytest.raises(Rejected, match=f"{label} has .* bytes") as caught:
        await images.submit(job(tmp_path / "w", files=(source,), mask=mask))

    assert caught.value.reason is Reason.INPUT_INVALID
    assert sim.posts == 0


@pytest.mark.parametrize(
    ("media_type", "content"),
    [("image/gif", b"GIF89a, and then nothing"), ("image/tiff", b"")],
)
async def test_an_image_that_cannot_be_read_is_refused(
    sim: Simulator, images: OpenAIImages, tmp_path: Path, media_type: str, content: bytes
) -> None:
    (tmp_path / "broken").write_bytes(content)
    broken = InputFile(path=tmp_path / "broken", media_type=media_type, size=len(content))
    with pytest.raises(Rejected, match="cannot be read as a picture") as caught:
        await images.submit(job(tmp_path / "w", files=(broken,)))

    assert caught.value.reason is Reason.INPUT_INVALID
    assert sim.posts == 0


async def test_a_picture_with_too_many_pixels_is_not_decoded(
    sim: Simulator, images: OpenAIImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_images, "PIXELS", 40 * 30 - 1)
    source = picture_file(tmp_path / "source", Image.new("RGB", (40, 30)), "BMP", "image/bmp")
    with pytest.raises(Rejected, match="up to 1,199 pixels"):
        await images.submit(job(tmp_path / "w", files=(source,)))
    assert sim.posts == 0


async def test_a_lost_input_file_is_our_own_trouble(sim: Simulator, images: OpenAIImages, tmp_path: Path) -> None:
    gone = replace(paint(tmp_path / "image.png"), path=tmp_path / "gone.png")
    with pytest.raises(Unavailable, match="nothing was sent"):
        await images.submit(job(tmp_path / "w", files=(gone,)))
    assert sim.posts == 0


# Their errors in ours.

Script = dict[str, Any]

REFUSALS: list[tuple[str, Script, Reason, bool]] = [
    ("blocked", {"how": "blocked"}, Reason.CONTENT, False),
    ("content policy", {"status": 400, "code": "content_policy_violation"}, Reason.CONTENT, False),
    ("quota by code", {"status": 429, "code": "insufficient_quota"}, Reason.PROVIDER, True),
    ("quota by type", {"status": 429, "type": "insufficient_quota"}, Reason.PROVIDER, True),
    ("bill", {"status": 400, "code": "billing_hard_limit_reached"}, Reason.PROVIDER, True),
    ("key", {"status": 401, "code": "invalid_api_key"}, Reason.PROVIDER, True),
    ("pay", {"status": 402}, Reason.PROVIDER, True),
    ("rights", {"status": 403}, Reason.PROVIDER, True),
    ("model gone", {"status": 404, "code": "model_not_found"}, Reason.PROVIDER, True),
    ("model refused", {"status": 400, "code": "invalid_value", "param": "model"}, Reason.PROVIDER, True),
    ("image", {"status": 400, "param": "image"}, Reason.INPUT_INVALID, False),
    ("second image", {"status": 400, "param": "image[1]"}, Reason.INPUT_INVALID, False),
    ("mask", {"status": 422, "param": "mask"}, Reason.INPUT_INVALID, False),
    ("size", {"status": 400, "param": "size"}, Reason.PROVIDER, False),
    ("no object", {"status": 422, "body": "nothing of theirs"}, Reason.PROVIDER, False),
    ("a list", {"status": 400, "body": '{"error": ["image"]}'}, Reason.PROVIDER, False),
    (
        "odd values",
        {"status": 400, "body": '{"error": {"code": {"a": 1}, "param": 7, "type": []}}'},
        Reason.PROVIDER,
        False,
    ),
    ("large", {"status": 413}, Reason.INPUT_INVALID, True),
    ("redirect", {"status": 307, "headers": {"Location": "/v1/models"}}, Reason.PROVIDER, True),
]


@pytest.mark.parametrize(("script", "reason", "portable"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS])
async def test_a_refusal_is_final_and_says_whose_fault_it_is(
    *, sim: Simulator, images: OpenAIImages, tmp_path: Path, script: Script, reason: Reason, portable: bool
) -> None:
    sim.fail_next(**script)
    with pytest.raises(Rejected) as caught:
        await images.submit(job(tmp_path / "w"))

    assert (caught.value.reason, caught.value.portable) == (reason, portable)
    assert caught.value.detail["status"] == script.get("status", 400)
    assert sim.posts == 1
    assert sim.book == []


async def test_a_flagged_content_is_told_in_known_words(sim: Simulator, images: OpenAIImages, tmp_path: Path) -> None:
    sim.fail_next("blocked")
    with pytest.raises(Rejected) as caught:
        await images.submit(job(tmp_path / "w"))

    assert str(caught.value) == "Your content was flagged by OpenAI as violating content policies"
    assert caught.value.detail["code"] == "moderation_blocked"
    assert caught.value.detail["request_id"] == "req_simulated_0001"


@pytest.mark.parametrize(
    ("status", "header", "wait"),
    [
        (429, "7", timedelta(seconds=7)),
        (429, "0.5", timedelta(seconds=0.5)),
        (429, "Sun, 22 Nov 2026 12:01:30 GMT", timedelta(seconds=90)),
        (429, "Sun, 22 Nov 2026 11:00:00 GMT", timedelta(0)),
        (429, "-3", timedelta(0)),
        (429, "1e300", timedelta(days=1)),
        (429, "nan", None),
        (429, "soon", None),
        (429, None, None),
        (503, "20", timedelta(seconds=20)),
    ],
)
async def test_too_many_requests_is_unavailable_for_as_long_as_they_say(
    *, sim: Simulator, images: OpenAIImages, tmp_path: Path, status: int, header: str | None, wait: timedelta | None
) -> None:
    headers = {"Retry-After": header} if header else {}
    sim.fail_next(status=status, code="rate_limit_exceeded", headers=headers)
    with pytest.raises(Unavailable) as caught:
        await images.submit(job(tmp_path / "w"))

    assert caught.value.retry_after == wait
    assert sim.posts == 1


@pytest.mark.parametrize(
    ("script", "billed"),
    [
        ({"status": 500}, 0),
        ({"status": 502, "body": "<html>Bad gateway</html>"}, 0),
        ({"status": 503}, 0),
        ({"status": 504}, 0),
        ({"status": 408}, 0),
        ({"status": 409}, 0),
        ({"how": "drop"}, 1),
        ({"how": "half"}, 1),
        ({"how": "garbage"}, 1),
        ({"how": "empty"}, 1),
    ],
    ids=["500", "502", "503 without a time", "504", "408", "409", "drop", "half", "garbage", "empty"],
)
@pytest.mark.parametrize("edit", [False, True], ids=["generate", "edit"])
async def test_without_a_whole_answer_the_outcome_is_unknown_and_nothing_is_sent_again(
    *, sim: Simulator, images: OpenAIImages, tmp_path: Path, script: Script, billed: int, edit: bool
) -> None:
    files = (paint(tmp_path / "image.png"),) if edit else ()
    sim.fail_next(**script)
    with pytest.raises(Ambiguous):
        await images.submit(job(tmp_path / "w", files=files))

    assert sim.posts == 1
    assert len(sim.book) == billed


GIF = base64.b64encode(b"GIF89a and so on").decode()


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        '{"data": null}',
        '{"data": {"b64_json": "aa"}}',
        '{"data": [17]}',
        '{"data": [{"url": "https://pictures.example/1.png"}]}',
        '{"data": [{"b64_json": null}]}',
        '{"data": [{"b64_json": ""}]}',
        '{"data": [{"b64_json": "%%%%"}]}',
        '{"data": [{"b64_json": "' + GIF + '"}]}',
        "\ud83d".encode("utf-8", "surrogatepass"),
    ],
)
def test_an_answer_of_another_shape_is_not_read(tmp_path: Path, body: str | bytes) -> None:
    answer = tmp_path / "answer.json"
    answer.write_bytes(body if isinstance(body, bytes) else body.encode())
    with pytest.raises(ValueError):
        unpack(answer, 1)
    assert list(tmp_path.iterdir()) == [answer]


def test_an_answer_is_read_again_as_it_was_read_before(tmp_path: Path) -> None:
    picture = base64.b64encode(paint(tmp_path / "picture.png").path.read_bytes()).decode()
    body = {"data": [{"b64_json": picture}] * 3, "usage": {"input_tokens": 3, "total_tokens": "many", "cost": 1}}
    (tmp_path / "answer.json").write_text(json.dumps(body))
    first, second = [unpack(tmp_path / "answer.json", 2) for _ in range(2)]

    assert first == second, "a worker that died over it is followed by another"
    assert [path.name for path in first.files] == ["output-1.png", "output-2.png"]
    assert first.usage == {"input_tokens": 3}


async def test_an_answer_that_never_comes_is_ambiguous(sim: Simulator, tmp_path: Path) -> None:
    images = provider(Surroundings(environ=environ(sim, TESSERA_OPENAI_TIMEOUT="0.5")))
    sim.fail_next("stall")
    with pytest.raises(Ambiguous) as caught:
        await images.submit(job(tmp_path / "w"))
    await asyncio.wait_for(sim.stalled.wait(), 5)

    assert caught.value.detail == {"error": "APITimeoutError", "cause": "ReadTimeout"}
    assert (sim.posts, len(sim.book)) == (1, 1)
    await images.close()


async def test_an_answer_that_trickles_ends_with_the_whole_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(openai_images, "CONNECT", 0.1)

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b" ")
            await asyncio.wait([asyncio.create_task(reader.read(65536))], timeout=0.05)
        writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    address, port = server.sockets[0].getsockname()
    settings = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"http://{address}:{port}", "TESSERA_OPENAI_TIMEOUT": "0.3"}
    images = provider(Surroundings(environ=settings))
    async with asyncio.timeout(5):
        with pytest.raises(Ambiguous):
            await images.submit(job(tmp_path / "w"))
    await images.close()
    server.close()


async def test_a_refused_connection_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as unused:  # bound, and listening to nobody
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        images = provider(Surroundings(environ={"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url}))
        with pytest.raises(Unavailable, match="could not be reached"):
            await images.submit(job(tmp_path / "w"))
        await images.close()


async def test_an_unknown_host_is_unavailable(tmp_path: Path) -> None:
    settings = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://nowhere.invalid/v1"}
    images = provider(Surroundings(environ=settings))
    with pytest.raises(Unavailable):
        await images.submit(job(tmp_path / "w"))
    await images.close()


async def test_a_failed_handshake_is_unavailable(sim: Simulator, tmp_path: Path) -> None:
    settings = environ(sim, OPENAI_BASE_URL=sim.url.replace("http:", "https:"))
    images = provider(Surroundings(environ=settings))
    with pytest.raises(Unavailable) as caught:
        await images.submit(job(tmp_path / "w"))
    assert caught.value.detail["cause"] == "ConnectError"
    await images.close()


async def test_fewer_pictures_than_asked_for_is_a_failure(sim: Simulator, images: OpenAIImages, tmp_path: Path) -> None:
    sim.fail_next("fewer")
    with pytest.raises(Failed, match="3 of 4"):
        await images.submit(job(tmp_path / "w", count=4))


async def test_a_raw_message_of_theirs_reaches_operators_only(
    sim: Simulator, images: OpenAIImages, tmp_path: Path
) -> None:
    sim.fail_next(status=400, param="size", message=f"org-123 may not, with {sim.key} " + "x" * 1000)
    with pytest.raises(Rejected) as caught:
        await images.submit(job(tmp_path / "w"))

    assert str(caught.value) == "OpenAI refused the request"
    message = caught.value.detail["message"]
    assert isinstance(message, str)
    assert "org-123" in message
    assert sim.key not in message
    assert len(message) == 300
    trace = "".join(format_exception(caught.value))
    assert "org-123" not in trace, "their words stand in every traceback"


# What leaves the house.


async def test_nothing_of_the_process_environment_is_sent(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "OPENAI_API_KEY": "sk-of-the-process",
        "OPENAI_ADMIN_KEY": "sk-admin-of-the-process",
        "OPENAI_ORG_ID": "org-of-the-process",
        "OPENAI_PROJECT_ID": "proj-of-the-process",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_CUSTOM_HEADERS": "X-Leak: of-the-process\nAuthorization: Bearer of-the-process",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    images = provider(Surroundings(environ=environ(sim)))
    await images.submit(job(tmp_path / "w"))
    await images.close()

    (call,) = sim.book
    assert "of-the-process" not in str(dict(call.headers))
    assert {name.lower() for name in call.headers} <= openai_images.KEPT_HEADERS


async def test_each_post_has_a_connection_of_its_own(sim: Simulator, images: OpenAIImages, tmp_path: Path) -> None:
    for number in range(3):
        await images.submit(job(tmp_path / f"w{number}"))
    assert len({call.port for call in sim.book}) == 3


# Settings.


def test_a_missing_sdk_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigError, match="make setup EXTRAS=openai"):
        provider(Surroundings(environ={"OPENAI_API_KEY": "k"}))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": "  "}, "OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": "sk-a\nb"}, "OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": "sk-ключ"}, "OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "api.example"}, "OPENAI_BASE_URL"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "ftp://api.example"}, "OPENAI_BASE_URL"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://me:pw@api.example"}, "OPENAI_BASE_URL"),
        ({"OPENAI_API_KEY": "k", "TESSERA_OPENAI_TIMEOUT": "long"}, "TESSERA_OPENAI_TIMEOUT"),
        ({"OPENAI_API_KEY": "k", "TESSERA_OPENAI_TIMEOUT": "0"}, "TESSERA_OPENAI_TIMEOUT"),
        ({"OPENAI_API_KEY": "k", "TESSERA_OPENAI_TIMEOUT": "nan"}, "TESSERA_OPENAI_TIMEOUT"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(settings: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        provider(Surroundings(environ=settings))
    assert not any(value.strip() in str(caught.value) for value in settings.values() if len(value.strip()) > 3)


def test_what_it_needs_is_known_before_it_is_made() -> None:
    factory: registry.Factory = provider
    assert factory.manifest is MANIFEST
    assert factory.manifest.environment == ("OPENAI_API_KEY",)


def test_every_model_of_the_manifest_is_one_that_they_serve() -> None:
    assert {MODELS[model].shutdown for model in MANIFEST.models.values()} == {None}

"""What the Market understands of a request, and how it tells of a task."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.unit.market_samples import CHATTING, EARLIER, GENERATING, HOST, NOON, PaperDesk, asset, minimal, task, value

from tessera.contract import catalog
from tessera.contract.catalog import Model
from tessera.contract.envelope import Envelope
from tessera.contract.market import UNKNOWN_MODEL, VOICES
from tessera.dialects import market_requests
from tessera.dialects.base import Call
from tessera.dialects.market import CHARACTER, VOICE, family, plain
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.task import (
    REQUESTS,
    Draft,
    Failure,
    ImageRequest,
    Line,
    Piece,
    Reason,
    SpeechRequest,
    State,
    Task,
    VideoRequest,
)
from tessera.kit.ids import part

AGREED = {
    "image.generate",
    "image.edit",
    "image.upscale",
    "image.background",
    "image.segment",
    "video.generate",
    "video.extend",
    "video.modify",
    "video.upscale",
    "video.talk",
    "speech.generate",
    "speech.dialogue",
    "speech.sound",
    "speech.isolate",
    "speech.transcribe",
}
FILM = asset("film.mp4", "video/mp4", seconds=8.0)
PICTURE = asset("picture.png", "image/png", width=64, height=64)


def body(model: str, given: Mapping[str, Any], **more: Any) -> bytes:
    return json.dumps({"model": model, "input": given, **more}).encode()


async def understood(model: str, given: Mapping[str, Any], *tasks: Task, **more: Any) -> Draft:
    return await family.parse(body(model, given, **more), PaperDesk(*tasks))


def earlier_for(model: Model) -> Task:
    """An earlier task of the kind that a model goes on from."""
    if "mask_indexs" in model.fields:
        return task(operation="image.segment", model="grok-imagine-image-2-0/segment-map", outputs=(PICTURE,))
    return task(outputs=(FILM if model.output.kind == "video" else PICTURE,))


# ---- every model ----


@pytest.mark.parametrize("model", GENERATING, ids=lambda model: model.id)
async def test_the_least_input_of_every_model_becomes_a_request_with_a_price(model: Model) -> None:
    draft = await understood(model.id, minimal(model), earlier_for(model))
    assert (draft.family, draft.model) == ("market", model.id)
    assert draft.operation in AGREED
    assert draft.operation in market_requests.could(model)
    assert isinstance(draft.request, REQUESTS[draft.operation.split(".")[0]])
    assert draft.price is not None and (draft.price > 0 or model.id.endswith("/segment-map"))
    assert draft.units["output"] == draft.request.count >= 1
    given = {url for url in draft.urls.values() if url.startswith(HOST)}
    assert {source.url for source in draft.request.sources()} <= given | {
        "https://files.test/out/film.mp4",
        "https://files.test/out/picture.png",
        f"{HOST}/source.png",
    }
    assert all(name.startswith("input.") for name in draft.urls)
    needed = {"video.talk": "audio", "video.modify": "video", "video.extend": "video", "video.upscale": "video"}
    if draft.operation in needed:
        assert needed[draft.operation] in {source.role for source in draft.request.sources()}
    if draft.operation in ("image.edit", "image.upscale", "image.background", "image.segment"):
        assert draft.request.sources()


@pytest.mark.parametrize("model", GENERATING, ids=lambda model: model.id)
async def test_a_missing_required_field_of_every_model_is_refused_by_its_name(model: Model) -> None:
    least = minimal(model)
    for name in model.input.get("required", ()):
        with pytest.raises(Invalid, match=f"^input.{name}: {name} is required$") as refused:
            await understood(model.id, {key: value for key, value in least.items() if key != name})
        assert refused.value.field == f"input.{name}"


@pytest.mark.parametrize("model", CHATTING, ids=lambda model: model.id)
async def test_a_chat_model_is_refused_with_the_path_that_serves_it(model: Model) -> None:
    assert model.endpoint is not None
    with pytest.raises(Invalid, match="is a chat model") as refused:
        await understood(model.id, {"messages": []})
    assert model.endpoint.path in str(refused.value)


async def test_an_operator_can_route_every_model_of_the_catalog() -> None:
    assert set(catalog.models()) <= family.models


# ---- which field means what ----

ONE, TWO, THREE = (f"{HOST}/{number}.png" for number in (1, 2, 3))
CLIP, SOUND = f"{HOST}/clip.mp4", f"{HOST}/sound.mp3"

IMAGES: list[tuple[str, dict[str, Any], str, ImageRequest]] = [
    ("z-image", {"prompt": " x ", "aspect_ratio": "16:9"}, "image.generate", ImageRequest(prompt="x", ratio="16:9")),
    (
        "bytedance/seedream",
        {"prompt": "x", "image_size": "portrait_16_9", "seed": 7},
        "image.generate",
        ImageRequest(prompt="x", ratio="9:16", seed=7),
    ),
    (
        "google/nano-banana",
        {"prompt": "x", "image_size": "4:3", "output_format": "jpeg"},
        "image.generate",
        ImageRequest(prompt="x", ratio="4:3", format="jpeg"),
    ),
    (
        "google/nano-banana",
        {"prompt": "x", "image_size": "4:3", "aspect_ratio": "auto"},
        "image.generate",
        ImageRequest(prompt="x"),
    ),
    (
        "nano-banana-2",
        {"prompt": "x", "image_input": [ONE, TWO], "resolution": "4K", "output_format": "jpg"},
        "image.edit",
        ImageRequest(prompt="x", ratio="auto", images=(ONE, TWO), resolution="4K", format="jpeg"),
    ),
    (
        "ideogram/character-edit",
        {"prompt": "x", "image_url": ONE, "mask_url": TWO, "reference_image_urls": [THREE], "num_images": 2},
        "image.edit",
        ImageRequest(prompt="x", ratio="auto", images=(ONE, THREE), mask=TWO, count=2),
    ),
    (
        "seedream/5-pro-text-to-image",
        {"prompt": "cat", "aspect_ratio": "3:2", "quality": "high"},
        "image.generate",
        ImageRequest(prompt="cat", ratio="3:2", resolution="4K"),
    ),
    (
        "qwen/text-to-image",
        {"prompt": "x", "negative_prompt": "rain", "seed": "12"},
        "image.generate",
        ImageRequest(prompt="x", negative="rain", seed=12),
    ),
    (
        "flux1-kontext",
        {"prompt": "x", "prompt_upsampling": True, "watermark": "ours"},
        "image.generate",
        ImageRequest(prompt="x", ratio="16:9", enhance=True, watermark="ours", format="jpeg"),
    ),
    (
        "4o-image-api",
        {"prompt": "x", "size": "3:2", "files_url": [ONE], "maskUrl": TWO, "nVariants": "2"},
        "image.edit",
        ImageRequest(prompt="x", ratio="3:2", images=(ONE,), mask=TWO, count=2),
    ),
    (
        "topaz/image-upscale",
        {"image_url": ONE, "upscale_factor": "4"},
        "image.upscale",
        ImageRequest(prompt="", ratio="auto", images=(ONE,), scale=4.0),
    ),
    (
        "recraft/remove-background",
        {"image": ONE},
        "image.background",
        ImageRequest(prompt="", ratio="auto", images=(ONE,)),
    ),
    (
        "omnihuman-1-5/subject-detection",
        {"image_url": ONE},
        "image.segment",
        ImageRequest(prompt="", ratio="auto", images=(ONE,)),
    ),
    ("google/imagen4", {"prompt": "x", "seed": "a word"}, "image.generate", ImageRequest(prompt="x")),
]
VIDEOS: list[tuple[str, dict[str, Any], str, VideoRequest]] = [
    (
        "wan/2-7-text-to-video",
        {"prompt": "x", "ratio": "9:16", "duration": "8", "audio_url": SOUND, "watermark": True},
        "video.generate",
        VideoRequest(
            prompt="x", ratio="9:16", resolution="1080p", seconds=8, audio=SOUND, watermark=market_requests.MARK
        ),
    ),
    (
        "kling/v2-1-pro",
        {"prompt": "x", "image_url": ONE, "tail_image_url": TWO, "negative_prompt": "rain"},
        "video.generate",
        VideoRequest(prompt="x", ratio="auto", first=ONE, last=TWO, negative="rain"),
    ),
    (
        "pixverse-v6/transition",
        {
            "prompt": "cat",
            "first_frame_image_url": ONE,
            "last_frame_image_url": TWO,
            "quality": "540p",
            "duration": 3,
            "generate_audio_switch": True,
        },
        "video.generate",
        VideoRequest(prompt="cat", ratio="auto", resolution="540p", seconds=3, first=ONE, last=TWO),
    ),
    (
        "bytedance/seedance-1.5-pro",
        {"prompt": "cat", "aspect_ratio": "1:1", "duration": 4, "input_urls": [ONE, TWO]},
        "video.generate",
        VideoRequest(prompt="cat", ratio="1:1", seconds=4, first=ONE, last=TWO, sound=False),
    ),
    (
        "bytedance/seedance-2",
        {"prompt": "cat", "reference_image_urls": [ONE, TWO], "duration": -1, "aspect_ratio": "adaptive"},
        "video.generate",
        VideoRequest(prompt="cat", ratio="auto", references=(ONE, TWO)),
    ),
    (
        "bytedance/seedance-2",
        {"prompt": "cat", "reference_video_urls": [CLIP], "reference_audio_urls": [SOUND], "generate_audio": False},
        "video.modify",
        VideoRequest(prompt="cat", video=CLIP, audio=SOUND, sound=False),
    ),
    (
        "veo-3-1",
        {"prompt": "x", "image_urls": [ONE, TWO], "aspect_ratio": "Auto"},
        "video.generate",
        VideoRequest(prompt="x", ratio="auto", seconds=8, first=ONE, last=TWO),
    ),
    (
        "veo-3-1",
        {"prompt": "x", "image_urls": [ONE], "generation_type": "REFERENCE_2_VIDEO", "resolution": "4k"},
        "video.generate",
        VideoRequest(prompt="x", ratio="16:9", seconds=8, resolution="4k", references=(ONE,)),
    ),
    (
        "grok-imagine/image-to-video",
        {"prompt": "@image1 meets @image2", "image_urls": [ONE, TWO], "task_id": EARLIER},
        "video.generate",
        VideoRequest(prompt="@image1 meets @image2", resolution="480p", seconds=6, references=(ONE, TWO)),
    ),
    (
        "grok-imagine/image-to-video",
        {"image_urls": [ONE], "duration": "10"},
        "video.generate",
        VideoRequest(resolution="480p", seconds=10, first=ONE),
    ),
    (
        "gemini-omni-video",
        {"prompt": "x", "duration": 6, "image_urls": [ONE], "video_list": [{"url": CLIP, "start": 0, "ends": 4}]},
        "video.modify",
        VideoRequest(prompt="x", ratio="auto", seconds=6, references=(ONE,), video=CLIP),
    ),
    (
        "wan/2-7-image-to-video",
        {"prompt": "x", "first_clip_url": CLIP, "duration": 4},
        "video.extend",
        VideoRequest(prompt="x", ratio="auto", resolution="1080p", seconds=4, video=CLIP),
    ),
    (
        "kling-3.0/video",
        {
            "prompt": "x",
            "sound": True,
            "duration": "5",
            "mode": "4k",
            "multi_shots": True,
            "multi_prompt": [{"prompt": "a", "duration": 2}, {"prompt": "b", "duration": 3}],
            "kling_elements": [
                {"name": "cat", "description": "a cat", "element_input_urls": [ONE, TWO]},
                {"name": "dog", "description": "a dog", "element_input_urls": [CLIP]},
            ],
        },
        "video.generate",
        VideoRequest(prompt="x\na\nb", resolution="4k", references=(ONE, TWO)),
    ),
    (
        "sora-2-pro-storyboard",
        {"shots": [{"Scene": "a", "duration": 4}, {"Scene": "b", "duration": 6}], "aspect_ratio": "portrait"},
        "video.generate",
        VideoRequest(prompt="a\nb", ratio="9:16", seconds=15),
    ),
    (
        "infinitalk/from-audio",
        {"prompt": "x", "image_url": ONE, "audio_url": SOUND, "resolution": "720p", "seed": 10_000},
        "video.talk",
        VideoRequest(prompt="x", ratio="auto", seconds=10, first=ONE, audio=SOUND, seed=10_000),
    ),
    (
        "wan/2-2-animate-move",
        {"video_url": CLIP, "image_url": ONE},
        "video.modify",
        VideoRequest(ratio="auto", resolution="480p", references=(ONE,), video=CLIP),
    ),
    (
        "wan/2-2-a14b-speech-to-video-turbo",
        {"prompt": "x", "image_url": ONE, "audio_url": SOUND, "num_frames": 120, "frames_per_second": 30},
        "video.talk",
        VideoRequest(prompt="x", ratio="auto", resolution="480p", seconds=4, first=ONE, audio=SOUND),
    ),
    (
        "topaz/video-upscale",
        {"video_url": CLIP, "upscale_factor": 4},
        "video.upscale",
        VideoRequest(ratio="auto", resolution="1080p", scale=4.0, video=CLIP),
    ),
    (
        "pixverse-v6/reference-to-video",
        {
            "prompt": "@a runs",
            "image_references": [{"image_url": ONE, "ref_name": "a"}],
            "aspect_ratio": "1:1",
            "quality": "720p",
            "duration": 5,
        },
        "video.generate",
        VideoRequest(prompt="@a runs", ratio="1:1", references=(ONE,), sound=False),
    ),
]
SPEECH: list[tuple[str, dict[str, Any], str, SpeechRequest]] = [
    (
        "elevenlabs/text-to-speech-turbo-2-5",
        {"text": "Good evening", "voice": "Rachel", "speed": 1.1, "language_code": "en"},
        "speech.generate",
        SpeechRequest(
            lines=(Line(text="Good evening", voice="Rachel"),),
            voice="Rachel",
            language="en",
            speed=1.1,
            format="mp3_44100_128",
        ),
    ),
    (
        "elevenlabs/text-to-dialogue-v3",
        {"dialogue": [{"text": "Hi", "voice": "Rachel"}, {"text": "Ho", "voice": "Brian"}]},
        "speech.dialogue",
        SpeechRequest(lines=(Line(text="Hi", voice="Rachel"), Line(text="Ho", voice="Brian")), format="mp3_44100_128"),
    ),
    (
        "google/gemini-3-8-flash-tts",
        {
            "speakers": [{"speaker_id": "a", "voice_name": "Kore"}, {"speaker_id": "b", "voice_name": "Puck"}],
            "dialogue_turns": [{"speaker_id": "b", "text": "Hi"}, {"speaker_id": "a", "text": "Ho"}],
        },
        "speech.dialogue",
        SpeechRequest(lines=(Line(text="Hi", voice="Puck"), Line(text="Ho", voice="Kore")), format="pcm_24000"),
    ),
    (
        "elevenlabs/sound-effect-v2",
        {"text": "rain", "duration_seconds": "2.5", "loop": True, "output_format": "opus_48000_64"},
        "speech.sound",
        SpeechRequest(prompt="rain", seconds=2.5, loop=True, format="opus_48000_64"),
    ),
    (
        "elevenlabs/audio-isolation",
        {"audio_url": SOUND},
        "speech.isolate",
        SpeechRequest(audio=SOUND, format="mp3_44100_128"),
    ),
    (
        "elevenlabs/speech-to-text",
        {"audio_url": SOUND, "language_code": "de"},
        "speech.transcribe",
        SpeechRequest(audio=SOUND, language="de"),
    ),
]


@pytest.mark.parametrize(("model", "given", "operation", "request_"), [*IMAGES, *VIDEOS, *SPEECH])
async def test_an_input_is_understood(model: str, given: dict[str, Any], operation: str, request_: object) -> None:
    draft = await understood(model, given)
    assert (draft.operation, draft.request) == (operation, request_)


async def test_the_callers_addresses_are_named_by_their_fields() -> None:
    given = {"prompt": "x", "image_urls": [ONE, TWO], "sound": False, "duration": "5", "mode": "std"}
    more = {"kling_elements": [{"name": "c", "description": "d", "element_input_urls": [THREE]}], "multi_shots": False}
    draft = await understood("kling-3.0/video", {**given, **more}, callBackUrl="https://client.test/hook?job=1")
    assert draft.urls == {
        "input.image_urls[0]": ONE,
        "input.image_urls[1]": TWO,
        "input.kling_elements[0].element_input_urls[0]": THREE,
        "callBackUrl": "https://client.test/hook?job=1",
    }


Z = {"prompt": "x", "aspect_ratio": "1:1"}
HOOK = "https://client.test/hook"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"callBackUrl": HOOK}, HOOK),
        ({"callBackUrl": ""}, None),
        ({"callBackUrl": None}, None),
        ({"callbackUrl": HOOK}, HOOK),
        ({"callBackUrl": "", "callbackUrl": HOOK}, HOOK),
        ({"input": {**Z, "callBackUrl": HOOK}}, HOOK),
        ({}, None),
    ],
)
async def test_a_callback_is_found_where_clients_put_it(sent: dict[str, Any], expected: str | None) -> None:
    draft = await family.parse(json.dumps({"model": "z-image", "input": Z, **sent}).encode(), PaperDesk())
    assert draft.callback_url == expected


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"model": "z-imag", "input": Z}, UNKNOWN_MODEL),
        ({"input": Z}, "model: is required"),
        ({"model": 5, "input": Z}, "model: must be a string"),
        ({"model": "z-image"}, "input.prompt: prompt is required"),
        ({"model": "z-image", "input": None}, "input.prompt: prompt is required"),
        ({"model": "z-image", "input": "x"}, "input: must be an object"),
        ({"model": "z-image", "input": Z, "callBackUrl": 5}, "callBackUrl: must be a string"),
    ],
)
async def test_a_request_that_is_none_is_refused(sent: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as refused:
        await family.parse(json.dumps(sent).encode(), PaperDesk())
    assert str(refused.value) == words


async def test_an_alias_is_the_model_and_stays_an_alias_on_record() -> None:
    draft = await understood("custom_flux_kontext", {"prompt": "x"})
    assert draft.model == "flux1-kontext"
    record = family.record(task(model=draft.model, params=draft.params), PaperDesk().link, NOON)
    assert record.model == "custom_flux_kontext"


# ---- earlier tasks ----

FILM_LINK, PICTURE_LINK = "https://files.test/out/film.mp4", "https://files.test/out/picture.png"


@pytest.mark.parametrize("prefix", ["", "task_", "veo_task_", "task_grok_"])
async def test_the_film_of_an_earlier_task_is_gone_on_with(prefix: str) -> None:
    draft = await understood("veo/extend", {"task_id": prefix + EARLIER, "prompt": "on"}, task(outputs=(FILM,)))
    assert isinstance(draft.request, VideoRequest)
    assert (draft.parent, draft.request.video, draft.operation) == (EARLIER, FILM_LINK, "video.extend")


async def test_a_cover_is_not_taken_for_the_film_nor_the_film_for_a_cover() -> None:
    both = task(operation="video.extend", outputs=(asset("segment.mp4", "video/mp4"), FILM, PICTURE))
    draft = await understood("runway/extend-ai-video", {"task_id": EARLIER, "prompt": "on", "quality": "720p"}, both)
    assert isinstance(draft.request, VideoRequest)
    assert draft.request.video == FILM_LINK
    draft = await understood("grok-imagine/image-to-video", {"task_id": EARLIER}, both)
    assert isinstance(draft.request, VideoRequest)
    assert (draft.request.first, draft.request.video) == (PICTURE_LINK, None)


async def test_of_an_extension_the_whole_is_gone_on_with_and_shown() -> None:
    extended = task(operation="video.extend", outputs=(asset("segment.mp4", "video/mp4"), FILM))
    draft = await understood("veo/get-4k-video", {"task_id": EARLIER}, extended)
    assert isinstance(draft.request, VideoRequest)
    assert (draft.request.video, draft.request.resolution) == (FILM_LINK, "4k")
    record = family.record(extended, PaperDesk().link, NOON)
    assert json.loads(record.resultJson) == {"resultUrls": [FILM_LINK]}


async def test_a_picture_of_an_earlier_task_becomes_the_first_frame() -> None:
    pictures = tuple(asset(f"{index}.png", "image/png") for index in range(6))
    draft = await understood("grok-imagine/image-to-video", {"task_id": EARLIER, "index": 3}, task(outputs=pictures))
    assert isinstance(draft.request, VideoRequest)
    assert (draft.request.first, draft.parent) == ("https://files.test/out/3.png", EARLIER)


@pytest.mark.parametrize(
    ("indexes", "mask"), [([1], "https://files.test/out/1.png"), ([0, 1], None)], ids=["one", "several"]
)
async def test_the_segments_of_a_picture_are_edited(indexes: list[int], mask: str | None) -> None:
    masks = tuple(asset(f"{index}.png", "image/png") for index in range(2))
    segmented = task(operation="image.segment", model="grok-imagine-image-2-0/segment-map", outputs=masks)
    for model in ("grok-imagine-image-2-0/segment-edit", "grok-imagine-image-2-0/image-edit"):
        given = {"prompt": "red", "task_id": EARLIER, "mask_indexs": indexes}
        draft = await understood(model, given, segmented)
        assert draft.model == "grok-imagine-image-2-0/segment-edit"
        assert draft.request == ImageRequest(prompt="red", ratio="auto", images=(f"{HOST}/source.png",), mask=mask)


NOT_USABLE: list[tuple[str, dict[str, Any], Task | None, str]] = [
    ("veo/extend", {"prompt": "x"}, None, "input.task_id: there is no such task"),
    (
        "veo/extend",
        {"prompt": "x"},
        task(state=State.RUNNING, outputs=()),
        "input.task_id: the task has not succeeded",
    ),
    ("veo/extend", {"prompt": "x"}, task(outputs=()), "input.task_id: the task has no result 0"),
    ("veo/get-4k-video", {"index": 3}, task(), "input.task_id: the task has no result 3"),
    ("veo/extend", {"prompt": "x"}, task(outputs=(PICTURE,)), "input.task_id: the result of the task is no film"),
    ("grok-imagine/image-to-video", {}, task(), "input.task_id: the result of the task is a film"),
    (
        "grok-imagine-image-2-0/segment-edit",
        {"prompt": "x", "mask_indexs": [0]},
        task(outputs=(PICTURE,)),
        "input.task_id: must be a task of grok-imagine-image-2-0/segment-map",
    ),
    (
        "grok-imagine-image-2-0/segment-edit",
        {"prompt": "x", "mask_indexs": [1]},
        task(operation="image.segment", outputs=(PICTURE,)),
        "input.mask_indexs: the task has 1 segments",
    ),
    ("veo/extend", {"prompt": "x"}, task(outputs=(replace(FILM, purged_at=NOON),)), "input.task_id: "),
]


@pytest.mark.parametrize(("model", "given", "earlier", "words"), NOT_USABLE)
async def test_an_earlier_task_that_cannot_be_used_is_refused(
    model: str, given: dict[str, Any], earlier: Task | None, words: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await understood(model, {"task_id": EARLIER, **given}, *([earlier] if earlier else []))
    assert str(refused.value).startswith(words)


async def test_what_lies_here_is_paid_by_its_own_length() -> None:
    given = {"prompt": "cat", "reference_video_urls": [FILM_LINK], "duration": 5}
    draft = await understood("bytedance/seedance-2", given, task(outputs=(FILM,)))
    assert draft.price == 25_000 * (5 + 8)
    given = {"video_url": FILM_LINK, "audio_url": SOUND, "mode": "lite"}
    draft = await understood("volcengine/video-to-video-lip-sync", given, task(outputs=(FILM,)))
    assert (draft.price, draft.units) == (8_000 * 8, {"output": 1, "second": 8})


def test_an_id_is_read_with_and_without_the_prefix_of_the_samples() -> None:
    assert plain(EARLIER) == plain(f"task_{EARLIER}") == plain(f"veo_task_{EARLIER}") == EARLIER
    assert plain("task_12345678") == "task_12345678"


# ---- records and callbacks ----

LINK = PaperDesk().link
SENT = '{"model":"z-image","callBackUrl":"https://client.test/hook","input":{"prompt":"x","aspect_ratio":"1:1"}}'
SHOWN = (
    '{"input":"{\\"aspect_ratio\\":\\"1:1\\",\\"prompt\\":\\"x\\"}",'
    '"callBackUrl":"https://client.test/hook","model":"z-image"}'
)
MADE = 1780315200000
DRAWN = task(
    model="z-image",
    operation="image.generate",
    params=SENT,
    callback_url="https://client.test/hook",
    price=800,
    outputs=(PICTURE,),
)
OPEN = {"completed_at": None, "outputs": (), "progress": 0.0}
FAILURE = Failure(Reason.CONTENT, "The prompt was refused.")


def recorded(task: Task) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(msgspec.json.encode(family.record(task, LINK, NOON)))
    return found


def test_the_record_of_a_waiting_task() -> None:
    assert recorded(replace(DRAWN, state=State.WAITING, started_at=None, **OPEN)) == {  # type: ignore[arg-type]
        "taskId": EARLIER,
        "model": "z-image",
        "state": "waiting",
        "param": SHOWN,
        "resultJson": "",
        "failCode": None,
        "failMsg": None,
        "costTime": None,
        "completeTime": None,
        "createTime": MADE,
        "creditsConsumed": 0,
        "operationType": "z-image",
        "successFlag": 0,
        "paramJson": SHOWN,
        "updateTime": MADE,
        "progress": 0,
    }


def test_the_record_of_a_running_task() -> None:
    shown = recorded(replace(DRAWN, state=State.RUNNING, **{**OPEN, "progress": 0.5}))  # type: ignore[arg-type]
    assert (shown["state"], shown["successFlag"], shown["progress"], shown["resultJson"]) == ("generating", 0, 50, "")


def test_the_record_of_a_task_that_has_succeeded_keeps_the_recorded_order_of_keys() -> None:
    shown = recorded(DRAWN)
    assert list(shown)[:15] == [
        "taskId",
        "model",
        "state",
        "param",
        "resultJson",
        "failCode",
        "failMsg",
        "costTime",
        "completeTime",
        "createTime",
        "creditsConsumed",
        "operationType",
        "response",
        "successFlag",
        "paramJson",
    ]
    assert shown["resultJson"] == f'{{"resultUrls":["{PICTURE_LINK}"]}}'
    assert shown["response"] == {"resultUrls": [PICTURE_LINK]}
    assert (shown["costTime"], shown["completeTime"], shown["creditsConsumed"]) == (8, MADE + 8000, 0.8)
    assert (shown["successFlag"], shown["progress"], shown["failCode"]) == (1, 100, None)


FAILS = [
    (Reason.CONTENT, "400"),
    (Reason.INPUT_INVALID, "422"),
    (Reason.INPUT_UNREACHABLE, "422"),
    (Reason.DEADLINE, "408"),
    (Reason.PROVIDER, "500"),
    (Reason.UNAVAILABLE, "500"),
    (Reason.UNKNOWN, "500"),
    (Reason.STORAGE, "500"),
    (Reason.CANCELED, "499"),
]


@pytest.mark.parametrize(("reason", "code"), FAILS)
def test_the_record_of_a_task_that_has_failed(reason: Reason, code: str) -> None:
    state = State.CANCELED if reason is Reason.CANCELED else State.FAILED
    shown = recorded(replace(DRAWN, state=state, outputs=(), failure=Failure(reason, "No.")))
    assert (shown["state"], shown["failCode"], shown["failMsg"]) == ("fail", code, "No.")
    assert (shown["resultJson"], shown["creditsConsumed"], shown["successFlag"]) == ("", 0, 3)
    assert "response" not in shown


RESULTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("veo-3-1", {"outputs": (FILM,)}, {"resultUrls": [FILM_LINK]}),
    (
        "bytedance/seedance-2",
        {
            "outputs": (FILM, asset("first.png", "image/png"), asset("last.png", "image/png")),
            "pieces": (Piece(files={"video": 0, "first": 1, "last": 2}),),
        },
        {
            "resultUrls": [FILM_LINK],
            "firstFrameUrl": "https://files.test/out/first.png",
            "lastFrameUrl": "https://files.test/out/last.png",
        },
    ),
    (
        "sora-2-text-to-video",
        {"outputs": (FILM, asset("mark.mp4", "video/mp4")), "pieces": (Piece(files={"video": 0, "watermark": 1}),)},
        {"resultUrls": [FILM_LINK], "resultWaterMarkUrls": ["https://files.test/out/mark.mp4"]},
    ),
    (
        "elevenlabs/speech-to-text",
        {"outputs": (), "pieces": (Piece(facts={"text": "Hi", "language_code": "eng"}),)},
        {"resultObject": {"text": "Hi", "language_code": "eng"}},
    ),
    (
        "grok-imagine-image-2-0/segment-map",
        {"outputs": (PICTURE, PICTURE), "pieces": (Piece(files={"mask": 0}, facts={"name": "cat"}),)},
        {
            "resultObject": {
                "segments": [
                    {"maskUrl": PICTURE_LINK, "name": "cat", "index": 0},
                    {"maskUrl": PICTURE_LINK, "name": "segment 1", "index": 1},
                ]
            }
        },
    ),
    (
        "omnihuman-1-5/subject-detection",
        {"outputs": (PICTURE,)},
        {"resultObject": {"mask_urls": [PICTURE_LINK]}},
    ),
    ("omnihuman-1-5/human-identification", {"outputs": (PICTURE,)}, {"resultObject": {"subject_status": 1}}),
    ("omnihuman-1-5/human-identification", {"outputs": ()}, {"resultObject": {"subject_status": 0}}),
    ("sora-2-characters", {"outputs": (FILM,)}, {"resultObject": {"character_id": part(EARLIER, 0)}}),
    (
        "sora-2-characters",
        {"outputs": (FILM,), "pieces": (Piece(facts={"character_id": "theirs"}),)},
        {"resultObject": {"character_id": "theirs"}},
    ),
]


@pytest.mark.parametrize(("model", "made", "result"), RESULTS)
def test_a_result_is_told_in_the_way_of_its_kind(model: str, made: dict[str, Any], result: dict[str, Any]) -> None:
    done = task(model=model, params=json.dumps({"model": model, "input": {}}), **made)
    assert json.loads(recorded(done)["resultJson"]) == recorded(done)["response"] == result
    told = family.callback(done, LINK)
    assert json.loads(told.data.resultJson) == result


def test_every_kind_of_result_in_the_catalog_can_be_told() -> None:
    for model in GENERATING:
        done = task(model=model.id, params=json.dumps({"model": model.id}), outputs=(PICTURE,))
        assert set(recorded(done)["response"]) <= {"resultUrls", "resultObject"}
        assert (model.output.place == "resultObject") == ("resultObject" in recorded(done)["response"])


def test_the_callback_of_a_success() -> None:
    assert json.loads(msgspec.json.encode(family.callback(DRAWN, LINK))) == {
        "code": 200,
        "msg": "Playground task completed successfully.",
        "data": {
            "taskId": EARLIER,
            "model": "z-image",
            "state": "success",
            "param": SHOWN,
            "resultJson": f'{{"resultUrls":["{PICTURE_LINK}"]}}',
            "failCode": None,
            "failMsg": None,
            "costTime": 8,
            "createTime": MADE,
            "completeTime": MADE + 8000,
            "updateTime": MADE + 8000,
            "creditsConsumed": 0.8,
            "consumeCredits": 0.8,
        },
    }


def test_the_callback_of_a_failure() -> None:
    told = family.callback(replace(DRAWN, state=State.FAILED, outputs=(), failure=FAILURE), LINK)
    assert (told.code, told.msg) == (501, "Playground task failed.")
    assert (told.data.state, told.data.resultJson, told.data.failCode) == ("fail", None, "400")
    assert (told.data.failMsg, told.data.creditsConsumed) == ("The prompt was refused.", 0)


# ---- reading ----


async def ask(desk: PaperDesk, **query: str) -> object:
    return await family.read(Call(query={name: [value] for name, value in query.items()}), desk)


async def test_a_record_is_read_by_its_id_and_nothing_else_is() -> None:
    assert await ask(PaperDesk(DRAWN), taskId=EARLIER) == family.record(DRAWN, LINK, NOON)
    assert await ask(PaperDesk(DRAWN), taskId=f"task_{EARLIER}") == family.record(DRAWN, LINK, NOON)
    assert await ask(PaperDesk(DRAWN)) == Envelope(400, "taskId parameter is required")
    for other in ((), (replace(DRAWN, family="veo"),), (replace(DRAWN, model=VOICE),)):
        with pytest.raises(NotFound, match=r"^recordInfo is null$"):
            await ask(PaperDesk(*other), taskId=EARLIER)


# ---- voices and characters ----

SAMPLE = asset("sample.mp3", "audio/mpeg")
SPOKEN = task(model=VOICE, operation="speech.generate", params="{}", outputs=(SAMPLE,))
PORTRAYED = task(
    model=CHARACTER, operation="image.edit", params="{}", outputs=(PICTURE, asset("body.png", "image/png"))
)


async def test_a_voice_is_a_task_that_speaks_its_sample() -> None:
    desk = PaperDesk()
    sent = {"audio_id": "achernar", "name": "Narrator A", "voice_description": "Warm", "example_dialogue": "Evening"}
    made = await family.voice(Call(body=json.dumps(sent).encode()), desk)
    assert msgspec.to_builtins(made) == {"audioId": EARLIER, "kieAudioId": EARLIER, "name": "Narrator A"}
    (draft,) = desk.drafts
    assert (draft.operation, draft.model, draft.price) == ("speech.generate", VOICE, 1000)
    assert draft.request == SpeechRequest(
        prompt="Warm", lines=(Line(text="Evening", voice="achernar"),), voice="achernar"
    )
    assert len(VOICES) == 30


async def test_a_character_is_a_task_that_makes_its_portraits() -> None:
    desk = PaperDesk(PORTRAYED)
    sent = {"description": "A tall woman", "image_urls": [ONE], "character_name": "Jo"}
    made = await family.character(Call(body=json.dumps(sent).encode()), desk)
    assert msgspec.to_builtins(made) == {
        "characterId": EARLIER,
        "characterName": "Jo",
        "imageUrl": PICTURE_LINK,
        "bodyImageUrl": "https://files.test/out/body.png",
    }
    (draft,) = desk.drafts
    assert draft.request == ImageRequest(prompt="A tall woman", ratio="auto", count=2, images=(ONE,))
    assert draft.urls == {"image_urls[0]": ONE}


async def test_a_character_that_could_not_be_made_is_told_at_once() -> None:
    desk = PaperDesk(replace(PORTRAYED, state=State.FAILED, outputs=(), failure=FAILURE))
    sent = {"descriptions": "A tall woman", "image_urls": [ONE]}
    answer = await family.character(Call(body=json.dumps(sent).encode()), desk)
    assert answer == Envelope(501, "The prompt was refused.")


async def test_a_character_that_takes_long_is_answered_without_its_pictures() -> None:
    desk = PaperDesk(replace(PORTRAYED, state=State.RUNNING, outputs=(), completed_at=None))
    sent = {"descriptions": "A tall woman", "image_urls": [ONE]}
    answer = await family.character(Call(body=json.dumps(sent).encode()), desk)
    assert json.loads(msgspec.json.encode(answer)) == {"characterId": EARLIER, "characterName": ""}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("voice", {"name": "A"}, "audio_id: is required"),
    ("voice", {"audio_id": "bob", "name": "A"}, "audio_id: must be one of achernar"),
    ("voice", {"audio_id": "kore"}, "name: is required"),
    ("voice", {"audio_id": "kore", "name": "x" * 211}, "name: "),
    ("voice", {"audio_id": "kore", "name": "x", "example_dialogue": "x" * 121}, "example_dialogue: "),
    ("character", {"image_urls": [ONE]}, "descriptions: is required"),
    ("character", {"descriptions": "x", "image_urls": []}, "image_urls: "),
    ("character", {"descriptions": "x", "image_urls": [ONE, TWO, THREE]}, "image_urls: "),
    ("character", {"descriptions": "x"}, "image_urls: is required"),
    ("character", {"descriptions": "x", "image_urls": [ONE], "audio_ids": ["n"]}, "audio_ids[0]: there is no such"),
]


@pytest.mark.parametrize(("call", "sent", "words"), WRONG)
async def test_a_wrong_voice_or_character_is_refused_by_its_field(call: str, sent: dict[str, Any], words: str) -> None:
    desk = PaperDesk()
    with pytest.raises(Invalid) as refused:
        await getattr(family, call)(Call(body=json.dumps(sent).encode()), desk)
    assert str(refused.value).startswith(words)
    assert not desk.drafts


async def test_voices_and_characters_are_used_by_their_ids() -> None:
    given = {"prompt": "x", "duration": "4"}
    draft = await understood("gemini-omni-video", {**given, "audio_ids": [EARLIER]}, SPOKEN)
    assert draft.request == VideoRequest(prompt="x", seconds=4, audio="https://files.test/out/sample.mp3")
    draft = await understood("gemini-omni-video", {**given, "character_ids": [EARLIER]}, PORTRAYED)
    assert isinstance(draft.request, VideoRequest)
    assert draft.request.references == (PICTURE_LINK, "https://files.test/out/body.png")


@pytest.mark.parametrize(
    ("field", "earlier", "words"),
    [
        ("audio_ids", None, "input.audio_ids[0]: there is no such voice"),
        ("audio_ids", PORTRAYED, "input.audio_ids[0]: there is no such voice"),
        ("character_ids", SPOKEN, "input.character_ids[0]: there is no such character"),
        (
            "audio_ids",
            replace(SPOKEN, state=State.FAILED, outputs=(), failure=FAILURE),
            "input.audio_ids[0]: it is not ready; make it again",
        ),
    ],
)
async def test_an_unknown_voice_or_character_is_refused(field: str, earlier: Task | None, words: str) -> None:
    given = {"prompt": "x", "duration": "4", field: [EARLIER]}
    with pytest.raises(Invalid) as refused:
        await understood("gemini-omni-video", given, *([earlier] if earlier else []))
    assert str(refused.value) == words


def test_the_time_that_a_task_took_is_told_in_whole_seconds() -> None:
    odd = replace(DRAWN, completed_at=NOON + timedelta(milliseconds=1499))
    assert recorded(odd)["costTime"] == 1


# ---- addresses that are no addresses, numbers that are no numbers ----


@pytest.mark.parametrize("address", ["http://[", "http://\u2100.com", "http://a]b/c.mp4"])
async def test_what_is_no_address_is_left_for_the_guard_to_refuse(address: str) -> None:
    draft = await understood("bytedance/seedance-2", {"prompt": "A boat", "reference_image_urls": [address]})
    assert draft.urls == {"input.reference_image_urls[0]": address}


LONG = "9" * 400


@pytest.mark.parametrize(
    ("model", "given", "field"),
    [
        ("grok-imagine/text-to-video", {"duration": "00000000000000000001"}, "input.duration"),
        ("grok-imagine/text-to-video", {"duration": "\u0665"}, "input.duration"),
        ("grok-imagine/text-to-video", {"duration": LONG}, "input.duration"),
        ("grok-imagine/text-to-video", {"duration": "0" * 9000 + "5"}, "input.duration"),
        ("grok-imagine/text-to-video", {"duration": "1" * 9000}, "input.duration"),
        ("bytedance/seedance-1.5-pro", {"duration": "3"}, "input.duration"),
        ("bytedance/seedance-1.5-pro", {"duration": LONG}, "input.duration"),
        ("kling-3.0-omni/transformation", {"duration": LONG}, "input.duration"),
        ("kling-3.0-omni/transformation", {"duration": 3601}, "input.duration"),
    ],
)
async def test_a_length_keeps_to_its_bounds_however_it_is_written(
    model: str, given: dict[str, Any], field: str
) -> None:
    least = minimal(catalog.models()[model])
    with pytest.raises(Invalid) as refused:
        await understood(model, {**least, **given})
    assert refused.value.field == field


async def test_zeros_before_a_length_are_nothing() -> None:
    draft = await understood("grok-imagine/text-to-video", {"prompt": "x", "duration": "000000000000000000000010"})
    assert draft.units["second"] == 10


# ---- every address is known ----

LIKE_AN_ADDRESS = re.compile(r"(url|urls|image|image_input|frame|video|voice)$", re.IGNORECASE)
NO_ADDRESSES = {
    "voice": "the name of a voice",
    "dialogue[].voice": "the name of a voice",
}
USED = {
    *market_requests.PICTURES,
    *market_requests.REFERENCES,
    *market_requests.FIRST,
    *market_requests.LAST,
    *market_requests.MASK,
    *market_requests.FILM,
    *market_requests.AUDIO,
}


def texts(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """The fields in it that can be an address: texts that are one by their format, their pattern or their name."""
    for each in (schema, *schema.get("anyOf", ())):
        if "items" in each:
            yield from texts(each["items"], f"{path}[]")
        for name, inner in each.get("properties", {}).items():
            yield from texts(inner, f"{path}.{name}")
        plain = path.removesuffix("[]")
        told = each.get("format") == "uri" or "://" in each.get("pattern", "")
        if "string" in each.get("type", ()) and "enum" not in each and (told or LIKE_AN_ADDRESS.search(plain)):
            yield plain


def test_every_address_of_the_catalog_is_used_or_known_not_to_be() -> None:
    found = {path for model in GENERATING for name, schema in model.fields.items() for path in texts(schema, name)}
    assert found - set(NO_ADDRESSES) == USED | set(market_requests.UNUSED)
    assert set(NO_ADDRESSES) < found
    assert not USED & set(market_requests.UNUSED)


@pytest.mark.parametrize("name", market_requests.UNUSED)
async def test_an_address_that_is_not_used_is_guarded_like_the_others(name: str) -> None:
    outer, _, inner = name.partition("[].")
    model = next(model for model in GENERATING if outer in model.fields)
    schema = model.fields[outer]
    inside = "http://127.0.0.1/x.mp3"
    wanted = schema["items"]["properties"] if inner else {outer: schema}
    leaf = [inside] * wanted[inner or outer].get("minItems", 1) if "items" in wanted[inner or outer] else inside
    entry = {each: value(each, wanted[each]) for each in schema["items"].get("required", ())} if inner else {}
    given = {outer: [{**entry, inner: leaf}] if inner else leaf}
    draft = await understood(model.id, {**minimal(model), **given})
    assert inside in draft.urls.values()
    assert inside not in {source.url for source in draft.request.sources()}


# ---- patience, and whose film it is ----


class Waiting(PaperDesk):
    """A desk at which every task but the last takes all the time there is, and is ready then; that one is not."""

    async def done(self, task_id: str, within: timedelta) -> Task:
        self.now += within
        found = self.tasks[task_id]
        return found if found is list(self.tasks.values())[-1] else replace(found, state=State.SUCCEEDED)


async def test_the_voices_of_a_request_are_waited_for_together() -> None:
    voices = [replace(SPOKEN, id=f"{number:032}", state=State.RUNNING) for number in range(3)]
    desk = Waiting(*voices)
    given = {"prompt": "A boat", "duration": "4", "audio_ids": [each.id for each in voices]}
    with pytest.raises(Invalid, match="it is not ready"):
        await family.parse(body("gemini-omni-video", given), desk)
    assert desk.now == NOON + timedelta(seconds=60)


EXTENDED = task(
    operation="video.extend",
    request=VideoRequest(prompt="x", seconds=8),
    outputs=(asset("piece.mp4", "video/mp4"), asset("whole.mp4", "video/mp4")),
)


@pytest.mark.parametrize(
    ("family_name", "index", "name"),
    [
        ("market", {}, "whole"),
        ("market", {"index": 0}, "whole"),
        ("veo", {}, "whole"),
        ("veo", {"index": 0}, "piece"),
        ("veo", {"index": 1}, "whole"),
    ],
)
async def test_the_films_of_an_extension_are_counted_as_its_family_shows_them(
    family_name: str, index: dict[str, int], name: str
) -> None:
    given = {"taskId": EARLIER, **index}
    draft = await understood("veo/get-1080p-video", given, replace(EXTENDED, family=family_name))
    assert isinstance(draft.request, VideoRequest)
    assert draft.request.video == f"https://files.test/out/{name}.mp4"


async def test_an_extension_of_the_market_has_one_film() -> None:
    with pytest.raises(Invalid, match="the task has no result 1"):
        await understood("veo/get-1080p-video", {"taskId": EARLIER, "index": 1}, EXTENDED)


async def test_a_file_that_says_it_is_next_to_nothing_is_paid_as_a_second() -> None:
    tiny = replace(FILM, seconds=0.0001)
    link = f"https://files.test/{tiny.key}"
    model = catalog.models()["topaz/video-upscale"]
    draft = await understood(model.id, {"video_url": link}, task(outputs=(tiny,)))
    one = await understood(model.id, {"video_url": link}, task(outputs=(replace(tiny, seconds=1.0),)))
    assert draft.price == one.price
    assert draft.price

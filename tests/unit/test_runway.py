"""The dialect of Runway: bodies in, records and callbacks out."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.videos import (
    FILM,
    HOOK,
    OVER,
    PICTURE,
    TASK,
    TASK_ID,
    UUID,
    Counter,
    call,
    done,
    failed,
    file,
    link,
    running,
    wire,
)

from tessera.dialects.runway import Runway
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.task import Reason, Task, VideoRequest
from tessera.kit.ids import part
from tessera.testing.ticker import NOON

RUNWAY = Runway()
TRAM = {"prompt": "A tram", "duration": 5, "quality": "720p", "aspectRatio": "16:9"}
BASE = replace(
    TASK,
    family="runway",
    model="runway",
    params=json.dumps(TRAM),
    request=VideoRequest(prompt="A tram", ratio="4:3", cover=True),
)
DONE = done(BASE, "tram.mp4", "tram.png")
LONGER = replace(BASE, operation="video.extend", parent="before", params='{"taskId":"before"}')
KEPT = timedelta(days=14)


def body(**fields: object) -> bytes:
    return json.dumps({name: value for name, value in (TRAM | fields).items() if value != "absent"}).encode()


# ---- generate ----


@pytest.mark.parametrize(
    ("fields", "understood", "price"),
    [
        ({}, {}, 12_000),
        ({"quality": "1080p"}, {"resolution": "1080p"}, 30_000),
        ({"duration": 10}, {"seconds": 10}, 30_000),
        ({"duration": "10"}, {"seconds": 10}, 30_000),
        ({"duration": "5", "quality": "1080p"}, {"resolution": "1080p"}, 30_000),
        ({"duration": 5.0}, {}, 12_000),
        ({"imageUrl": ""}, {}, 12_000),
        ({"imageUrl": PICTURE}, {"first": PICTURE, "ratio": "auto"}, 12_000),
        ({"imageUrl": PICTURE, "aspectRatio": "absent"}, {"first": PICTURE, "ratio": "auto"}, 12_000),
        ({"imageUrl": PICTURE, "aspectRatio": "2.39:1"}, {"first": PICTURE, "ratio": "auto"}, 12_000),
        ({"aspectRatio": "3:4"}, {"ratio": "3:4"}, 12_000),
        ({"waterMark": "mine"}, {"watermark": "mine"}, 12_000),
        ({"waterMark": "", "watermark": "mine"}, {"watermark": "mine"}, 12_000),
        ({"prompt": "x" * 1800}, {"prompt": "x" * 1800}, 12_000),
        ({"duration": "absent", "quality": "absent", "model": "runway-duration-5-generate"}, {}, 12_000),
        ({"duration": "absent", "model": "runway-duration-10-generate"}, {"seconds": 10}, 30_000),
        ({"expandPrompt": True, "uid": 7, "run_id": None}, {}, 12_000),
    ],
)
def test_a_good_body_becomes_a_request(fields: dict[str, object], understood: dict[str, Any], price: int) -> None:
    draft = RUNWAY.parse(body(**fields))
    assert draft.request == replace(VideoRequest(prompt="A tram", cover=True), **understood)
    assert (draft.family, draft.operation, draft.model, draft.price) == ("runway", "video.generate", "runway", price)
    assert draft.units == {"output": 1, "second": understood.get("seconds", 5)}


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"prompt": ""}, "prompt", "is required"),
        ({"prompt": "x" * 1801}, "prompt", "at most 1800 characters, got 1801"),
        ({"duration": "absent"}, "duration", "is required"),
        ({"duration": "absent", "model": "gen4"}, "duration", "is required"),
        ({"duration": 8}, "duration", "must be one of 5, 10"),
        ({"duration": "five"}, "duration", "must be one of 5, 10"),
        ({"duration": -5}, "duration", "must be one of 5, 10"),
        ({"quality": "absent"}, "quality", "is required"),
        ({"quality": "4k"}, "quality", "must be one of 720p, 1080p"),
        ({"duration": 10, "quality": "1080p"}, "quality", "1080p is only available for 5 second videos"),
        ({"aspectRatio": "absent"}, "aspectRatio", "is required unless there is an imageUrl"),
        ({"aspectRatio": "", "imageUrl": ""}, "aspectRatio", "is required unless there is an imageUrl"),
        ({"aspectRatio": "21:9"}, "aspectRatio", "must be one of 16:9, 4:3, 1:1, 3:4, 9:16"),
        ({"waterMark": "x" * 201}, "waterMark", "at most 200 characters"),
        ({"imageUrl": [PICTURE]}, "imageUrl", "must be a string"),
    ],
)
def test_a_refusal_names_the_field_and_the_rule(fields: dict[str, object], field: str, rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        RUNWAY.parse(body(**fields))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert rule in str(caught.value)


def test_every_url_of_the_caller_is_listed_by_its_field() -> None:
    draft = RUNWAY.parse(body(imageUrl=PICTURE, callBackUrl=HOOK))
    assert draft.urls == {"imageUrl": PICTURE, "callBackUrl": HOOK}
    assert draft.callback_url == HOOK


# ---- record and callback ----


async def shown(task: Task, **more: Any) -> Any:
    return wire(await RUNWAY.show(call(taskId=task.id), Counter(**more).has(task)))


async def test_a_task_on_the_wire_in_every_state() -> None:
    waiting = {
        "taskId": TASK_ID,
        "parentTaskId": "",
        "generateParam": {"prompt": "A tram", "imageUrl": "", "expandPrompt": False},
        "state": "wait",
        "generateTime": "2026-11-22 12:00:00",
        "videoInfo": None,
        "failCode": None,
        "failMsg": "",
        "expireFlag": 0,
    }
    assert await shown(BASE) == waiting
    assert await shown(replace(BASE, started_at=OVER)) == waiting | {"state": "queueing"}
    assert await shown(running(BASE)) == waiting | {"state": "generating"}
    over = waiting | {"generateTime": "2026-11-22 12:01:05"}
    assert await shown(failed(BASE)) == over | {"state": "fail", "failCode": 500, "failMsg": "It failed"}
    video = {
        "videoId": part(TASK_ID, 0),
        "taskId": TASK_ID,
        "videoUrl": "https://files.example.net/s/tram.mp4",
        "imageUrl": "https://files.example.net/s/tram.png",
    }
    assert await shown(DONE) == over | {"state": "success", "videoInfo": video}
    del video["imageUrl"]
    assert await shown(done(BASE, "tram.mp4")) == over | {"state": "success", "videoInfo": video}


async def test_the_parameters_are_shown_as_they_were_sent() -> None:
    sent = RUNWAY.parse(body(imageUrl=PICTURE, expandPrompt=True))
    task = replace(BASE, params=sent.params, request=sent.request)
    record = await shown(task)
    assert record["generateParam"] == {"prompt": "A tram", "imageUrl": PICTURE, "expandPrompt": True}


async def test_an_extension_shows_its_parent_and_the_whole() -> None:
    record = await shown(done(LONGER, "piece.mp4", "whole.mp4", "cover.png"))
    assert record["parentTaskId"] == "before"
    assert record["videoInfo"]["videoUrl"] == "https://files.example.net/s/whole.mp4"
    assert record["videoInfo"]["imageUrl"] == "https://files.example.net/s/cover.png"


async def test_a_record_says_when_its_days_are_over() -> None:
    assert (await shown(DONE, now=NOON + KEPT))["expireFlag"] == 0
    assert (await shown(DONE, now=NOON + KEPT + timedelta(seconds=1)))["expireFlag"] == 1
    assert (await shown(replace(DONE, outputs=(file("gone.mp4", purged_at=OVER),))))["expireFlag"] == 1


async def test_a_record_is_found_by_its_id_in_both_spellings() -> None:
    desk = Counter().has(DONE)
    for given in (TASK_ID, UUID, UUID.upper(), f" {UUID} "):
        assert (await RUNWAY.show(call(taskId=given), desk)).taskId == TASK_ID


async def test_a_task_of_aleph_is_shown_and_one_of_another_family_is_not() -> None:
    aleph = replace(DONE, family="aleph", operation="video.modify", params='{"expandPrompt": "x"}')
    record = await shown(replace(aleph, request=VideoRequest(prompt="Paint it", video=FILM, references=(PICTURE,))))
    assert record["generateParam"] == {"prompt": "Paint it", "imageUrl": PICTURE, "expandPrompt": False}
    assert (record["state"], record["videoInfo"]["videoUrl"]) == ("success", "https://files.example.net/s/tram.mp4")
    with pytest.raises(NotFound, match="The record does not exist"):
        await shown(replace(DONE, family="veo"))
    with pytest.raises(NotFound, match="The record does not exist"):
        await RUNWAY.show(call(taskId="nothing"), Counter())


REFUSED = "The request was refused for inappropriate content: caught by the AI moderator."
FAILURES: list[tuple[Task, int, str]] = [
    (failed(BASE, Reason.CONTENT), 400, REFUSED),
    (failed(BASE, Reason.INPUT_INVALID), 400, "It failed"),
    (failed(BASE, Reason.INPUT_UNREACHABLE), 400, "It failed"),
    (
        failed(replace(BASE, request=VideoRequest(prompt="A tram", first=PICTURE)), Reason.INPUT_UNREACHABLE),
        400,
        "Unable to download the image from the provided imageUrl",
    ),
    (failed(BASE, Reason.PROVIDER), 500, "It failed"),
    (failed(BASE, Reason.DEADLINE), 500, "It failed"),
    (failed(BASE, Reason.CANCELED), 499, "It failed"),
]


@pytest.mark.parametrize(("task", "code", "words"), FAILURES)
async def test_a_failure_on_record_and_callback(task: Task, code: int, words: str) -> None:
    record = await shown(task)
    assert (record["state"], record["failCode"], record["failMsg"]) == ("fail", code, words)
    blank = {"video_id": "", "video_url": "", "image_url": ""}
    assert wire(RUNWAY.callback(task, link)) == {
        "code": code,
        "msg": words,
        "data": {"task_id": TASK_ID, "taskId": TASK_ID, **blank},
    }
    longer = replace(task, operation="video.extend")
    assert wire(RUNWAY.callback(longer, link))["data"] == {"task_id": TASK_ID, "taskId": TASK_ID}


def test_the_callback_of_a_success() -> None:
    assert wire(RUNWAY.callback(DONE, link)) == {
        "code": 200,
        "msg": "All generated successfully.",
        "data": {
            "task_id": TASK_ID,
            "taskId": TASK_ID,
            "video_id": part(TASK_ID, 0),
            "video_url": "https://files.example.net/s/tram.mp4",
            "image_url": "https://files.example.net/s/tram.png",
        },
    }
    assert wire(RUNWAY.callback(done(BASE, "tram.mp4"), link))["data"]["image_url"] == ""


# ---- extend ----


async def extend(desk: Counter, **fields: object) -> Any:
    sent = {"taskId": TASK_ID, "prompt": "It stops", "quality": "1080p", **fields}
    return wire(await RUNWAY.extend(call(sent), desk))


async def test_an_extension_goes_on_from_the_video_in_its_ratio() -> None:
    desk = Counter().has(DONE)
    assert await extend(desk, taskId=UUID, waterMark="mine", callBackUrl=HOOK, imageUrl=3) == {"taskId": "child1"}
    (draft,) = desk.drafts
    assert draft.request == VideoRequest(
        prompt="It stops",
        seconds=5,
        ratio="4:3",
        resolution="1080p",
        video="https://files.example.net/s/tram.mp4",
        cover=True,
        watermark="mine",
    )
    assert (draft.operation, draft.price, draft.parent) == ("video.extend", 30_000, TASK_ID)
    assert (draft.callback_url, draft.urls) == (HOOK, {"callBackUrl": HOOK})


async def test_an_extension_of_an_extension_goes_on_from_the_whole() -> None:
    desk = Counter().has(done(LONGER, "piece.mp4", "whole.mp4", "cover.png"))
    await extend(desk)
    (draft,) = desk.drafts
    assert isinstance(draft.request, VideoRequest)
    assert draft.request.video == "https://files.example.net/s/whole.mp4"


@pytest.mark.parametrize(
    ("task", "fields", "words"),
    [
        (DONE, {"quality": None}, "quality: must be one of 720p, 1080p"),
        (DONE, {"prompt": " "}, "prompt: is required"),
        (DONE, {"prompt": "x" * 1801}, "prompt: at most 1800 characters, got 1801"),
        (running(BASE), {}, "record status is not success"),
        (failed(BASE), {}, "record status is not success"),
        (
            replace(DONE, outputs=(file("gone.mp4", purged_at=OVER),)),
            {},
            "taskId: the video of this task is not kept any more (Temporarily supports records within 14 days); "
            "generate it again, then extend the new one",
        ),
    ],
)
async def test_an_extension_that_cannot_be_is_refused(task: Task, fields: dict[str, Any], words: str) -> None:
    desk = Counter().has(task)
    with pytest.raises(Invalid) as caught:
        await extend(desk, **fields)
    assert str(caught.value) == words
    assert desk.drafts == []


async def test_what_is_no_runway_task_of_the_caller_cannot_be_extended() -> None:
    for desk in (Counter(), Counter().has(replace(DONE, family="veo")), Counter().has(replace(DONE, family="aleph"))):
        with pytest.raises(NotFound, match="The record does not exist"):
            await extend(desk)


async def test_the_quality_of_an_extension_is_required() -> None:
    with pytest.raises(Invalid, match=r"^quality: is required$"):
        await RUNWAY.extend(call({"taskId": TASK_ID, "prompt": "It stops"}), Counter().has(DONE))

"""The dialect of Luma Modify: bodies in, records and callbacks out."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.videos import (
    COMPLETED,
    CREATED,
    FILM,
    HOOK,
    OVER,
    TASK,
    TASK_ID,
    Counter,
    call,
    done,
    failed,
    file,
    link,
    running,
    wire,
)

from tessera.dialects.luma import Luma
from tessera.domain.errors import Invalid
from tessera.domain.task import Reason, Task, VideoRequest
from tessera.testing.ticker import NOON

LUMA = Luma()
SENT = {"prompt": "Snow", "videoUrl": FILM, "watermark": "studio-1", "callBackUrl": HOOK, "mine": [1]}
SHOWN = {"callBackUrl": HOOK, "prompt": "Snow", "videoUrl": FILM, "waterMark": "studio-1"}
BASE = replace(
    TASK,
    family="luma",
    operation="video.modify",
    params=json.dumps(SENT),
    request=VideoRequest(prompt="Snow", video=FILM),
)
DONE = done(BASE, "snow.mp4")
URLS = ["https://files.example.net/s/snow.mp4"]


def body(**fields: object) -> bytes:
    return json.dumps({"prompt": "Snow", "videoUrl": FILM} | fields).encode()


@pytest.mark.parametrize(
    ("fields", "understood"),
    [
        ({}, {}),
        ({"watermark": "mine"}, {"watermark": "mine"}),
        ({"waterMark": "mine"}, {"watermark": "mine"}),
        ({"watermark": "mine", "waterMark": "other"}, {"watermark": "mine"}),
        ({"watermark": None, "callBackUrl": "", "mine": {}}, {}),
    ],
)
def test_a_good_body_becomes_a_request(fields: dict[str, object], understood: dict[str, Any]) -> None:
    draft = LUMA.parse(body(**fields))
    assert draft.request == replace(VideoRequest(prompt="Snow", video=FILM, ratio="auto", seconds=10), **understood)
    assert (draft.family, draft.operation, draft.model) == ("luma", "video.modify", "luma-modify")
    assert (draft.price, draft.urls) == (60_000, {"videoUrl": FILM})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": " "}, "prompt: is required"),
        ({"prompt": "x" * 5001}, "prompt: at most 5000 characters, got 5001"),
        ({"videoUrl": ""}, "videoUrl: is required"),
        ({"videoUrl": [FILM]}, "videoUrl: must be a string"),
        ({"watermark": "x" * 201}, "watermark: at most 200 characters, got 201"),
    ],
)
def test_a_refusal_names_the_field_and_the_rule(fields: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid) as caught:
        LUMA.parse(body(**fields))
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"seconds": 10.0, "size": 500_000_000}, None),
        ({"seconds": 10.2}, "videoUrl: at most 10 seconds, got 10.2"),
        ({"size": 500_000_001}, "videoUrl: at most 500 MB, got 501 MB"),
        ({"purged_at": OVER}, "videoUrl: this file is not kept any more; upload or generate it again"),
    ],
)
async def test_a_video_that_lies_here_is_measured_before_it_is_a_task(
    changes: dict[str, Any], words: str | None
) -> None:
    desk = Counter(files={"s/in.mp4": file("in.mp4", **changes)})
    asked = call({"prompt": "Snow", "videoUrl": "https://files.example.net/s/in.mp4"})
    if words is None:
        assert wire(await LUMA.generate(asked, desk)) == {"taskId": "child1"}
        return
    with pytest.raises(Invalid) as caught:
        await LUMA.generate(asked, desk)
    assert (str(caught.value), desk.drafts) == (words, [])


async def test_a_video_that_lies_elsewhere_is_left_to_the_worker() -> None:
    desk = Counter()
    assert wire(await LUMA.generate(call({"prompt": "Snow", "videoUrl": FILM}), desk)) == {"taskId": "child1"}


def test_a_task_on_the_wire_in_every_state() -> None:
    waiting = {
        "taskId": TASK_ID,
        "paramJson": json.dumps(SHOWN, separators=(",", ":")),
        "completeTime": None,
        "response": None,
        "successFlag": 0,
        "createTime": CREATED,
        "errorCode": None,
        "errorMessage": None,
    }
    assert wire(LUMA.record(BASE, link, NOON)) == waiting
    assert wire(LUMA.record(running(BASE), link, NOON)) == waiting
    assert wire(LUMA.record(DONE, link, NOON)) == waiting | {
        "completeTime": COMPLETED,
        "successFlag": 1,
        "response": {"taskId": TASK_ID, "originUrls": [FILM], "resultUrls": URLS},
    }


def test_a_request_without_extras_is_shown_with_an_empty_watermark() -> None:
    task = replace(BASE, params=body().decode())
    assert json.loads(LUMA.record(task, link, NOON).paramJson) == {"prompt": "Snow", "videoUrl": FILM, "waterMark": ""}


@pytest.mark.parametrize(
    ("task", "flag", "code"),
    [
        (failed(BASE, Reason.CONTENT), 3, 400),
        (failed(BASE, Reason.PROVIDER), 3, 501),
        (failed(BASE, Reason.DEADLINE), 3, 500),
        (failed(BASE, Reason.INPUT_INVALID), 2, 422),
        (failed(BASE, Reason.INPUT_UNREACHABLE), 2, 422),
        (failed(BASE, Reason.UNAVAILABLE), 2, 500),
        (failed(BASE, Reason.CANCELED), 3, 499),
        (failed(BASE, Reason.CANCELED, started=False), 2, 499),
    ],
)
def test_a_failure_on_record_and_callback(task: Task, flag: int, code: int) -> None:
    record = wire(LUMA.record(task, link, NOON))
    assert (record["successFlag"], record["errorCode"], record["errorMessage"]) == (flag, code, "It failed")
    assert record["response"] is None
    assert wire(LUMA.callback(task, link)) == {
        "code": 499 if code == 499 else 500,
        "msg": "Modify record generation failed.",
        "data": {"taskId": TASK_ID, "promptJson": json.dumps(SHOWN, separators=(",", ":"))},
    }


def test_the_callback_of_a_success() -> None:
    assert wire(LUMA.callback(DONE, link)) == {
        "code": 200,
        "msg": "Modify record generated successfully.",
        "data": {
            "taskId": TASK_ID,
            "promptJson": json.dumps(SHOWN, separators=(",", ":")),
            "resultUrls": URLS,
        },
    }

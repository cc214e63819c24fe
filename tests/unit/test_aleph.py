"""The dialect of Aleph: bodies in, records and callbacks out."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.videos import FILM, HOOK, OVER, PICTURE, TASK, TASK_ID, Counter, call, done, failed, file, link, wire
from tests.unit.videos import running as under_way

from tessera.dialects.aleph import Aleph
from tessera.domain.errors import Invalid
from tessera.domain.task import Reason, VideoRequest
from tessera.kit.ids import part
from tessera.testing.ticker import NOON

ALEPH = Aleph()
PARAMS = json.dumps({"prompt": "Paint it", "videoUrl": FILM}, separators=(",", ":"))
BASE = replace(
    TASK,
    family="aleph",
    operation="video.modify",
    params=PARAMS,
    request=VideoRequest(prompt="Paint it", video=FILM),
)
DONE = done(BASE, "street.mp4", "street.png")


def body(**fields: object) -> bytes:
    return json.dumps({"prompt": "Paint it", "videoUrl": FILM} | fields).encode()


@pytest.mark.parametrize(
    ("fields", "understood"),
    [
        ({}, {}),
        ({"aspectRatio": "21:9"}, {"ratio": "21:9"}),
        ({"aspectRatio": ""}, {}),
        ({"seed": 4711}, {"seed": 4711}),
        ({"seed": "4711"}, {"seed": 4711}),
        ({"seed": 0}, {"seed": 0}),
        ({"referenceImage": PICTURE}, {"references": (PICTURE,)}),
        ({"referenceImageUrl": PICTURE}, {"references": (PICTURE,)}),
        ({"imageUrl": PICTURE}, {"references": (PICTURE,)}),
        ({"referenceImage": PICTURE, "imageUrl": PICTURE, "referenceImageUrl": PICTURE}, {"references": (PICTURE,)}),
        ({"referenceImage": "", "imageUrl": ""}, {}),
        ({"waterMark": "mine"}, {"watermark": "mine"}),
        ({"watermark": "mine"}, {"watermark": "mine"}),
        ({"uploadCn": True, "mine": 1}, {}),
    ],
)
def test_a_good_body_becomes_a_request(fields: dict[str, object], understood: dict[str, Any]) -> None:
    draft = ALEPH.parse(body(**fields))
    plain = VideoRequest(prompt="Paint it", video=FILM, ratio="auto", cover=True)
    assert draft.request == replace(plain, **understood)
    assert (draft.family, draft.operation, draft.model, draft.price) == ("aleph", "video.modify", "aleph", 30_000)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": ""}, "prompt: is required"),
        ({"prompt": "x" * 5001}, "prompt: at most 5000 characters, got 5001"),
        ({"videoUrl": ""}, "videoUrl: is required"),
        ({"videoUrl": None}, "videoUrl: must be a string"),
        ({"aspectRatio": "2:1"}, "aspectRatio: must be one of 16:9, 9:16, 4:3, 3:4, 1:1, 21:9"),
        ({"seed": -1}, "seed: must be a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, "seed: must be a whole number from 0 to 4294967295"),
        ({"uploadCn": "no"}, "uploadCn: must be true or false"),
    ],
)
def test_a_refusal_names_the_field_and_the_rule(fields: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid) as caught:
        ALEPH.parse(body(**fields))
    assert str(caught.value) == words


def test_a_missing_video_is_required() -> None:
    with pytest.raises(Invalid, match=r"^videoUrl: is required$"):
        ALEPH.parse(b'{"prompt": "Paint it"}')


def test_every_url_that_is_used_is_listed_by_its_field() -> None:
    draft = ALEPH.parse(body(referenceImageUrl=PICTURE, callBackUrl=HOOK))
    assert draft.urls == {"videoUrl": FILM, "referenceImageUrl": PICTURE, "callBackUrl": HOOK}
    assert draft.callback_url == HOOK


async def test_a_file_of_the_callers_own_that_is_gone_is_refused_at_once() -> None:
    desk = Counter(files={"s/old.mp4": file("old.mp4", purged_at=OVER), "s/new.mp4": file("new.mp4")})
    with pytest.raises(Invalid, match="videoUrl: this file is not kept any more; upload or generate it again"):
        await ALEPH.generate(call({"prompt": "x", "videoUrl": "https://files.example.net/s/old.mp4"}), desk)
    for name in ("new", "another"):
        await ALEPH.generate(call({"prompt": "x", "videoUrl": f"https://files.example.net/s/{name}.mp4"}), desk)
    assert len(desk.drafts) == 2


def test_a_task_on_the_wire_in_every_state() -> None:
    waiting = {
        "taskId": TASK_ID,
        "paramJson": PARAMS,
        "response": None,
        "completeTime": None,
        "createTime": "2026-11-22T12:00:00Z",
        "successFlag": 0,
        "errorCode": 0,
        "errorMessage": "",
    }
    assert wire(ALEPH.record(BASE, link, NOON)) == waiting
    assert wire(ALEPH.record(under_way(BASE), link, NOON)) == waiting
    over = waiting | {"completeTime": "2026-11-22T12:01:05Z"}
    assert wire(ALEPH.record(DONE, link, NOON)) == over | {
        "successFlag": 1,
        "response": {
            "taskId": TASK_ID,
            "resultVideoUrl": "https://files.example.net/s/street.mp4",
            "resultImageUrl": "https://files.example.net/s/street.png",
        },
    }
    bare = wire(ALEPH.record(done(BASE, "street.mp4"), link, NOON))
    assert bare["response"] == {"taskId": TASK_ID, "resultVideoUrl": "https://files.example.net/s/street.mp4"}
    assert wire(ALEPH.record(failed(BASE), link, NOON)) == over | {"errorCode": 500, "errorMessage": "It failed"}


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [
        (Reason.CONTENT, 400, "Inappropriate content detected. Caught by the AI moderator."),
        (Reason.INPUT_INVALID, 400, "It failed"),
        (Reason.INPUT_UNREACHABLE, 400, "It failed"),
        (Reason.PROVIDER, 500, "It failed"),
        (Reason.CANCELED, 499, "It failed"),
    ],
)
def test_a_failure_on_record_and_callback(reason: Reason, code: int, words: str) -> None:
    task = failed(BASE, reason)
    record = wire(ALEPH.record(task, link, NOON))
    assert (record["successFlag"], record["errorCode"], record["errorMessage"]) == (0, code, words)
    assert wire(ALEPH.callback(task, link)) == {"code": code, "msg": words, "taskId": TASK_ID, "data": None}


def test_a_failure_without_words_is_still_told_from_a_task_that_runs() -> None:
    assert wire(ALEPH.record(failed(BASE, message=""), link, NOON))["errorMessage"] == "The task failed"


def test_the_callback_of_a_success_has_both_documented_shapes() -> None:
    video, cover = "https://files.example.net/s/street.mp4", "https://files.example.net/s/street.png"
    assert wire(ALEPH.callback(DONE, link)) == {
        "code": 200,
        "msg": "success",
        "taskId": TASK_ID,
        "data": {
            "result_video_url": video,
            "result_image_url": cover,
            "task_id": TASK_ID,
            "video_id": part(TASK_ID, 0),
            "video_url": video,
            "image_url": cover,
        },
    }

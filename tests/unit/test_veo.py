"""The dialect of Veo: bodies in, records and callbacks out, and what is made of a finished video."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.videos import (
    COMPLETED,
    CREATED,
    FILM,
    HOOK,
    OVER,
    PICTURE,
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

from tessera.contract.envelope import Envelope
from tessera.dialects.base import Answer
from tessera.dialects.veo import AGAIN, Veo
from tessera.domain.errors import Invalid, NotFound, Unreadable
from tessera.domain.task import Draft, Piece, Reason, State, Task, VideoRequest
from tessera.kit.ids import part

VEO = Veo()
PARAMS = '{"prompt":"A paper boat","model":"veo3_fast"}'
BASE = replace(TASK, family="veo", model="veo3_fast", params=PARAMS, request=VideoRequest(prompt="A boat", seconds=8))
DONE = done(BASE, f"{TASK_ID}_0.mp4")
URL = f"https://files.example.net/s/{TASK_ID}_0.mp4"
LONGER = replace(BASE, operation="video.extend", parent="before")
FRAMES, REFERENCES = "FIRST_AND_LAST_FRAMES_2_VIDEO", "REFERENCE_2_VIDEO"


def body(**fields: object) -> bytes:
    return json.dumps({"prompt": "A paper boat"} | fields).encode()


# ---- generate ----


@pytest.mark.parametrize(
    ("fields", "understood"),
    [
        ({}, {}),
        ({"prompt": "  A paper boat \n"}, {}),
        ({"imageUrls": None}, {}),
        ({"imageUrls": []}, {}),
        ({"imageUrls": [PICTURE]}, {"first": PICTURE}),
        ({"imageUrls": [PICTURE, FILM]}, {"first": PICTURE, "last": FILM}),
        ({"imageUrls": [PICTURE] * 3}, {"references": (PICTURE,) * 3}),
        ({"imageUrls": [PICTURE], "generationType": "TEXT_2_VIDEO"}, {}),
        ({"imageUrls": [PICTURE] * 9, "generationType": "TEXT_2_VIDEO"}, {}),
        ({"imageUrls": [PICTURE], "generationType": FRAMES}, {"first": PICTURE}),
        ({"imageUrls": [PICTURE], "generationType": REFERENCES}, {"references": (PICTURE,)}),
        ({"imageUrls": [PICTURE], "generationType": REFERENCES, "duration": 5}, {"references": (PICTURE,)}),
        ({"aspect_ratio": "9:16"}, {"ratio": "9:16"}),
        ({"aspectRatio": "9:16"}, {"ratio": "9:16"}),
        ({"aspect_ratio": "16:9", "aspectRatio": "9:16"}, {}),
        ({"aspect_ratio": None, "aspectRatio": "9:16"}, {"ratio": "9:16"}),
        ({"aspect_ratio": "Auto"}, {}),
        ({"aspect_ratio": "Auto", "imageUrls": [PICTURE]}, {"first": PICTURE, "ratio": "auto"}),
        ({"duration": 4}, {"seconds": 4}),
        ({"duration": "6"}, {"seconds": 6}),
        ({"duration": 8.0}, {}),
        ({"duration": 5}, {}),
        ({"duration": 60}, {}),
        ({"duration": ""}, {}),
        ({"resolution": "1080p"}, {"resolution": "1080p"}),
        ({"resolution": "4k"}, {"resolution": "4k"}),
        ({"seeds": 10000}, {"seed": 10000}),
        ({"seeds": "99999"}, {"seed": 99999}),
        ({"seed": 42424}, {"seed": 42424}),
        ({"seeds": 42424, "seed": 10000}, {"seed": 42424}),
        ({"watermark": "Studio"}, {"watermark": "Studio"}),
        ({"waterMark": "Studio"}, {"watermark": "Studio"}),
        ({"watermark": "Studio", "waterMark": "Other"}, {"watermark": "Studio"}),
        ({"enableFallback": True, "enableTranslation": False, "audio_enabled": 1, "mine": {"deep": []}}, {}),
    ],
)
def test_a_good_body_becomes_a_request(fields: dict[str, object], understood: dict[str, Any]) -> None:
    draft = VEO.parse(body(**fields))
    assert draft.request == replace(VideoRequest(prompt="A paper boat", seconds=8), **understood)
    assert (draft.family, draft.operation, draft.fallback) == ("veo", "video.generate", None)
    assert draft.units == {"output": 1, "second": understood.get("seconds", 8)}


@pytest.mark.parametrize(
    ("fields", "model", "price"),
    [
        ({}, "veo3_fast", 80_000),
        ({"model": "veo3_fast"}, "veo3_fast", 80_000),
        ({"model": "veo3-fast"}, "veo3_fast", 80_000),
        ({"model": "veo3_lite"}, "veo3_lite", 30_000),
        ({"model": "veo3"}, "veo3", 250_000),
        ({"model": "veo3_quality"}, "veo3", 250_000),
        ({"duration": 4}, "veo3_fast", 80_000),
        ({"resolution": "1080p"}, "veo3_fast", 85_000),
        ({"resolution": "4k", "model": "veo3"}, "veo3", 370_000),
    ],
)
def test_each_model_has_its_price(fields: dict[str, object], model: str, price: int) -> None:
    draft = VEO.parse(body(**fields))
    assert (draft.model, draft.price) == (model, price)
    assert model in VEO.models


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"prompt": None}, "prompt", "must be a string"),
        ({"prompt": " \n"}, "prompt", "is required"),
        ({"prompt": "x" * 5001}, "prompt", "at most 5000 characters, got 5001"),
        ({"prompt": "a\0b"}, "prompt", "NUL"),
        ({"model": "veo2"}, "model", "must be one of veo3, veo3_fast, veo3_lite"),
        ({"generationType": "VIDEO"}, "generationType", "must be one of TEXT_2_VIDEO"),
        ({"generationType": FRAMES}, "imageUrls", f"is required with {FRAMES}"),
        ({"generationType": REFERENCES, "imageUrls": []}, "imageUrls", f"is required with {REFERENCES}"),
        ({"generationType": FRAMES, "imageUrls": [PICTURE] * 3}, "imageUrls", "at most 2 images"),
        ({"generationType": REFERENCES, "imageUrls": [PICTURE] * 4}, "imageUrls", "at most 3 images"),
        ({"imageUrls": [PICTURE] * 4}, "imageUrls", "at most 3 images"),
        ({"imageUrls": PICTURE}, "imageUrls", "must be a list of strings"),
        ({"imageUrls": [PICTURE] * 3, "model": "veo3"}, "model", "must be veo3_fast or veo3_lite"),
        ({"imageUrls": [PICTURE], "generationType": REFERENCES, "model": "veo3"}, "model", "must be veo3_fast"),
        ({"imageUrls": [PICTURE], "generationType": REFERENCES, "duration": 4}, "duration", "must be 8 with"),
        (
            {"imageUrls": [PICTURE], "generationType": REFERENCES, "aspect_ratio": "Auto"},
            "aspect_ratio",
            "must be 16:9 or 9:16",
        ),
        (
            {"imageUrls": [PICTURE], "generationType": REFERENCES, "aspectRatio": "Auto"},
            "aspectRatio",
            "must be 16:9 or 9:16",
        ),
        ({"aspect_ratio": "1:1"}, "aspect_ratio", "must be one of 16:9, 9:16, Auto"),
        ({"duration": "long"}, "duration", "must be a number"),
        ({"duration": True}, "duration", ""),
        ({"resolution": "480p"}, "resolution", "must be one of 720p, 1080p, 4k"),
        ({"seeds": 9999}, "seeds", "must be a whole number from 10000 to 99999"),
        ({"seeds": 100000}, "seeds", "must be a whole number from 10000 to 99999"),
        ({"seeds": 42424.5}, "seeds", "must be a whole number from 10000 to 99999"),
        ({"seeds": "many"}, "seeds", "must be a whole number from 10000 to 99999"),
        ({"seeds": -42424}, "seeds", "must be a whole number from 10000 to 99999"),
        ({"seed": 1}, "seed", "must be a whole number from 10000 to 99999"),
        ({"watermark": "x" * 201}, "watermark", "at most 200 characters"),
        ({"enableTranslation": "yes"}, "enableTranslation", "must be true or false"),
        ({"callBackUrl": 5}, "callBackUrl", "must be a string"),
    ],
)
def test_a_refusal_names_the_field_and_the_rule(fields: dict[str, object], field: str, rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        VEO.parse(body(**fields))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert rule in str(caught.value)


def test_a_body_without_a_prompt_and_one_that_is_no_object_are_refused() -> None:
    with pytest.raises(Invalid, match=r"^prompt: is required$"):
        VEO.parse(b"{}")
    with pytest.raises(Unreadable):
        VEO.parse(b"[]")


def test_every_url_that_is_used_is_listed_by_its_field() -> None:
    draft = VEO.parse(body(imageUrls=[PICTURE, FILM], callBackUrl=HOOK))
    assert draft.urls == {"imageUrls[0]": PICTURE, "imageUrls[1]": FILM, "callBackUrl": HOOK}
    assert draft.callback_url == HOOK
    unused = VEO.parse(body(imageUrls=[PICTURE], generationType="TEXT_2_VIDEO", callBackUrl=""))
    assert (unused.urls, unused.callback_url) == ({}, None)


# ---- record and callback ----


def test_a_task_that_waits_and_one_that_runs_on_the_wire() -> None:
    waiting = {
        "taskId": TASK_ID,
        "paramJson": PARAMS,
        "completeTime": None,
        "response": None,
        "successFlag": 0,
        "errorCode": None,
        "errorMessage": None,
        "createTime": CREATED,
        "fallbackFlag": False,
    }
    assert wire(VEO.record(BASE, link)) == waiting
    # Never a URL before the end, whatever lies there already.
    assert wire(VEO.record(replace(running(BASE), outputs=DONE.outputs), link)) == waiting


def test_a_success_on_the_wire() -> None:
    task = replace(DONE, request=VideoRequest(prompt="A boat", seconds=8, seed=42424))
    assert wire(VEO.record(task, link)) == {
        "taskId": TASK_ID,
        "paramJson": PARAMS,
        "completeTime": COMPLETED,
        "response": {
            "taskId": TASK_ID,
            "resultUrls": [URL],
            "originUrls": None,
            "fullResultUrls": [],
            "resolution": "720p",
            "seeds": [42424],
            "hasAudioList": [True],
        },
        "successFlag": 1,
        "errorCode": None,
        "errorMessage": "",
        "createTime": CREATED,
        "fallbackFlag": False,
        "resultUrls": json.dumps([URL]),
    }
    assert wire(VEO.callback(task, link)) == {
        "code": 200,
        "msg": "Veo3.1 video generated successfully.",
        "data": {
            "taskId": TASK_ID,
            "promptJson": PARAMS,
            "info": {"resultUrls": [URL], "originUrls": None, "resolution": "720p"},
            "fallbackFlag": False,
        },
    }


@pytest.mark.parametrize(
    ("told", "shown"), [(None, None), (42424, [42424]), (77, None), (2489067022, None), ("42424", None)]
)
def test_a_seed_that_a_provider_tells_is_shown_if_it_can_be_asked_for(told: object, shown: list[int] | None) -> None:
    task = replace(DONE, pieces=(Piece(files={"video": 0}, facts={} if told is None else {"seed": told}),))
    assert wire(VEO.record(task, link))["response"]["seeds"] == shown


def test_an_extension_shows_its_new_piece_and_the_whole() -> None:
    task = done(LONGER, "piece.mp4", "whole.mp4")
    record, told = wire(VEO.record(task, link)), wire(VEO.callback(task, link))
    piece, whole = ["https://files.example.net/s/piece.mp4"], ["https://files.example.net/s/whole.mp4"]
    assert (record["response"]["resultUrls"], record["response"]["fullResultUrls"]) == (piece, whole)
    assert record["resultUrls"] == json.dumps(piece)
    assert told["msg"] == "Veo3.1 video extension successful."
    assert (told["data"]["info"]["resultUrls"], told["data"]["info"]["fullResultUrls"]) == (piece, whole)


def test_an_extension_of_a_provider_that_makes_the_whole_only_shows_it_as_both() -> None:
    response = wire(VEO.record(done(LONGER, "whole.mp4"), link))["response"]
    assert response["resultUrls"] == response["fullResultUrls"] == ["https://files.example.net/s/whole.mp4"]


FLAGGED = "Prompt flagged as violating content policies."
NO_IMAGE = "Failed to fetch the image."


@pytest.mark.parametrize(
    ("task", "flag", "code", "message"),
    [
        (failed(BASE, Reason.CONTENT), 3, 400, FLAGGED),
        (failed(BASE, Reason.PROVIDER), 3, 501, "It failed"),
        (failed(BASE, Reason.UNKNOWN), 3, 500, "It failed"),
        (failed(BASE, Reason.DEADLINE), 3, 500, "It failed"),
        (failed(BASE, Reason.STORAGE), 3, 500, "It failed"),
        (failed(BASE, Reason.UNAVAILABLE), 2, 500, "It failed"),
        (failed(BASE, Reason.INPUT_INVALID), 2, 400, "It failed"),
        (failed(BASE, Reason.INPUT_UNREACHABLE), 2, 400, NO_IMAGE),
        (
            failed(replace(LONGER, request=VideoRequest(video=URL)), Reason.INPUT_UNREACHABLE),
            2,
            400,
            "It failed",
        ),
        (failed(BASE, Reason.CANCELED), 3, 499, "It failed"),
        (failed(BASE, Reason.CANCELED, started=False), 2, 499, "It failed"),
    ],
)
def test_a_failure_on_the_wire(task: Task, flag: int, code: int, message: str) -> None:
    assert wire(VEO.record(task, link)) == wire(VEO.record(BASE, link)) | {
        "completeTime": COMPLETED,
        "successFlag": flag,
        "errorCode": code,
        "errorMessage": message,
    }
    assert wire(VEO.callback(task, link)) == {
        "code": code,
        "msg": message,
        "data": {"taskId": TASK_ID, "fallbackFlag": False},
    }


async def test_a_record_is_found_by_its_id_with_the_prefixes_of_the_samples_and_without() -> None:
    desk = Counter().has(DONE)
    for given in (TASK_ID, f"veo_task_{TASK_ID}", f"veo_extend_task_{TASK_ID}", f" {TASK_ID} "):
        assert (await VEO.show(call(taskId=given), desk)).taskId == TASK_ID


async def test_a_record_is_shown_for_as_long_as_files_are_kept_and_no_longer() -> None:
    desk = Counter(now=DONE.created_at + timedelta(days=14)).has(DONE)
    assert (await VEO.show(call(taskId=TASK_ID), desk)).successFlag == 1
    desk.now += timedelta(seconds=1)
    with pytest.raises(Invalid, match=r"^Temporarily supports records within 14 days$"):
        await VEO.show(call(taskId=TASK_ID), desk)


async def test_what_is_no_veo_task_of_the_caller_has_no_record() -> None:
    desk = Counter().has(replace(DONE, family="runway"))
    for given in (TASK_ID, "nothing"):
        with pytest.raises(NotFound, match=r"^record is null$"):
            await VEO.show(call(taskId=given), desk)


# ---- 1080p ----


def step(desk: Counter, task_id: str, task: Task) -> None:
    """The child goes on to the state of another task."""
    changes = {
        name: getattr(task, name) for name in ("state", "started_at", "completed_at", "failure", "outputs", "progress")
    }
    desk.tasks[task_id] = replace(desk.tasks[task_id], **changes)


WORKING_HD = Envelope(400, "1080P is processing. Please check back shortly.")


async def test_asking_for_1080p_starts_it_once_and_brings_its_url_in_the_end() -> None:
    desk = Counter().has(DONE)
    for _ in range(3):
        assert await VEO.hd(call(taskId=f"veo_task_{TASK_ID}", index="0"), desk) == WORKING_HD
    (draft,) = desk.drafts
    assert draft.request == VideoRequest(seconds=8, resolution="1080p", video=URL)
    assert (draft.operation, draft.model, draft.price, draft.parent) == ("video.upscale", "veo3_1080p", 5000, TASK_ID)
    assert json.loads(draft.params) == {"taskId": TASK_ID, "index": 0}
    step(desk, "child1", done(BASE, "big.mp4"))
    assert wire(await VEO.hd(call(taskId=TASK_ID), desk)) == {"resultUrl": "https://files.example.net/s/big.mp4"}
    # The id of the rendition leads there, too.
    assert wire(await VEO.hd(call(taskId="child1"), desk)) == {"resultUrl": "https://files.example.net/s/big.mp4"}
    assert len(desk.drafts) == 1


async def test_a_1080p_rendition_that_failed_says_so_for_a_while_and_is_then_tried_anew() -> None:
    desk = Counter().has(DONE)
    await VEO.hd(call(taskId=TASK_ID), desk)
    step(desk, "child1", failed(BASE))
    desk.now = OVER + AGAIN - timedelta(seconds=1)
    said = await VEO.hd(call(taskId=TASK_ID), desk)
    assert said == Envelope(500, "The 1080P version of this video is unavailable. It failed")
    desk.now = OVER + AGAIN
    assert await VEO.hd(call(taskId=TASK_ID), desk) == WORKING_HD
    assert await VEO.hd(call(taskId=TASK_ID), desk) == WORKING_HD
    assert [draft.parent for draft in desk.drafts] == [TASK_ID, TASK_ID]


async def test_a_video_that_was_made_in_1080p_is_its_own_rendition() -> None:
    desk = Counter().has(replace(DONE, request=VideoRequest(prompt="A boat", resolution="1080p")))
    assert wire(await VEO.hd(call(taskId=TASK_ID), desk)) == {"resultUrl": URL}
    assert desk.drafts == []


async def test_of_an_extension_both_its_videos_can_be_had_in_1080p() -> None:
    desk = Counter().has(done(LONGER, "piece.mp4", "whole.mp4"))
    for index in ("0", "1"):
        assert await VEO.hd(call(taskId=TASK_ID, index=index), desk) == WORKING_HD
    videos = [draft.request.video for draft in desk.drafts if isinstance(draft.request, VideoRequest)]
    assert videos == ["https://files.example.net/s/piece.mp4", "https://files.example.net/s/whole.mp4"]
    step(desk, "child2", done(BASE, "big.mp4"))
    assert await VEO.hd(call(taskId=TASK_ID), desk) == WORKING_HD
    assert wire(await VEO.hd(call(taskId=TASK_ID, index="1"), desk))["resultUrl"].endswith("/big.mp4")


class Line(Counter):
    """A desk at which many stand: between what is read and what is done of it others have their turn."""

    async def children(self, parent: Task, operation: str) -> list[Task]:
        read = await super().children(parent, operation)
        await asyncio.sleep(0)
        return read

    async def accept(self, draft: Draft, *, once: str | None = None) -> str:
        await asyncio.sleep(0)
        return await super().accept(draft, once=once)


@pytest.mark.parametrize("ask", [VEO.hd, VEO.uhd_old])
@pytest.mark.parametrize("tried", [0, 1])
async def test_many_calls_one_after_another_pay_for_one_rendition(ask: Answer, tried: int) -> None:
    desk = Line().has(DONE)
    if tried:
        await ask(call(taskId=TASK_ID), desk)
        step(desk, "child1", failed(BASE))
        desk.now = OVER + AGAIN

    async def late(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await ask(call(taskId=TASK_ID), desk)

    await asyncio.gather(*(late(turns) for turns in range(40)))
    assert len(desk.drafts) == 1 + tried


@pytest.mark.parametrize("operation", ["video.generate", "video.extend"])
async def test_a_video_that_was_made_in_4k_is_its_own_1080p_and_costs_nothing_more(operation: str) -> None:
    huge = replace(DONE, operation=operation, request=VideoRequest(prompt="A boat", resolution="4k"))
    desk = Counter().has(huge)
    assert wire(await VEO.hd(call(taskId=TASK_ID), desk)) == {"resultUrl": URL}
    assert desk.drafts == []


PURGED = replace(DONE, outputs=(file("gone.mp4", purged_at=OVER),))
NO_SOURCE: list[tuple[Task, str, str]] = [
    (BASE, "0", "record status is not success"),
    (running(BASE), "0", "record status is not success"),
    (failed(BASE), "0", "record status is not success"),
    (done(BASE), "0", "record result data is empty"),
    (DONE, "1", "record result data not exist"),
    (DONE, "-1", "index: must be a whole number from 0"),
    (DONE, "x", "index: must be a whole number from 0"),
    (PURGED, "0", "Temporarily supports records within 14 days"),
    (
        replace(DONE, created_at=DONE.created_at - timedelta(days=15)),
        "0",
        "Temporarily supports records within 14 days",
    ),
]


@pytest.mark.parametrize(("task", "index", "words"), NO_SOURCE)
async def test_a_rendition_needs_a_video_that_is_there(task: Task, index: str, words: str) -> None:
    desk = Counter().has(task)
    with pytest.raises(Invalid) as caught:
        await VEO.hd(call(taskId=TASK_ID, index=index), desk)
    assert str(caught.value) == words
    with pytest.raises(Invalid) as caught:
        await VEO.uhd(call({"taskId": TASK_ID, "index": index}), desk)
    assert str(caught.value) == words
    assert desk.drafts == []


# ---- 4K ----


def nothing_yet(task_id: str) -> dict[str, Any]:
    return {"taskId": task_id, "resultUrls": None, "imageUrls": None}


async def ask_4k(desk: Counter, **fields: object) -> Any:
    return wire(await VEO.uhd(call({"taskId": TASK_ID, **fields}), desk))


async def test_4k_is_started_then_under_way_then_there() -> None:
    desk = Counter().has(DONE)
    started = {"code": 200, "msg": "success", "data": nothing_yet("child1")}
    assert await ask_4k(desk, taskId=f"veo_task_{TASK_ID}", index=0, callBackUrl=HOOK) == started
    working = {"code": 422, "msg": "4k is processing. Please check back shortly.", "data": nothing_yet("child1")}
    for fields in ({}, {"index": "0"}, {"index": None, "callBackUrl": ""}, {"taskId": "child1"}):
        assert await ask_4k(desk, **fields) == working
    (draft,) = desk.drafts
    assert draft.request == VideoRequest(seconds=8, resolution="4k", video=URL, cover=True)
    assert (draft.model, draft.price, draft.callback_url) == ("veo3_4k", 120_000, HOOK)
    assert draft.urls == {"callBackUrl": HOOK}
    step(desk, "child1", done(BASE, "huge.mp4", "huge.png"))
    made, shown = ["https://files.example.net/s/huge.mp4"], ["https://files.example.net/s/huge.png"]
    assert await ask_4k(desk) == {
        "code": 422,
        "msg": "The video has been generated successfully",
        "data": {"taskId": "child1", "resultUrls": made, "imageUrls": shown},
    }
    record = await VEO.show(call(taskId="child1"), desk)
    assert wire(record) == {
        "taskId": "child1",
        "paramJson": json.dumps({"taskId": TASK_ID, "index": 0}, separators=(",", ":")),
        "completeTime": COMPLETED,
        "response": {
            "taskId": "child1",
            "resultUrls": made,
            "originUrls": None,
            "fullResultUrls": [],
            "resolution": "4k",
            "seeds": None,
            "hasAudioList": None,
            "imageUrls": shown,
            "mediaIds": [part("child1", 0)],
        },
        "successFlag": 1,
        "errorCode": None,
        "errorMessage": "",
        "createTime": CREATED,
        "resultUrls": json.dumps(made),
    }


async def test_4k_can_be_asked_for_by_query_as_old_clients_do() -> None:
    desk = Counter().has(DONE)
    said = wire(await VEO.uhd_old(call(taskId=TASK_ID, index="0", callBackUrl=HOOK), desk))
    assert (said["code"], desk.drafts[0].callback_url) == (200, HOOK)


async def test_4k_and_1080p_of_one_video_do_not_meet() -> None:
    desk = Counter().has(DONE)
    assert await VEO.hd(call(taskId=TASK_ID), desk) == WORKING_HD
    assert (await ask_4k(desk))["code"] == 200
    step(desk, "child1", done(BASE, "big.mp4"))
    assert (await ask_4k(desk))["code"] == 422
    assert [draft.model for draft in desk.drafts] == ["veo3_1080p", "veo3_4k"]


async def test_a_4k_rendition_that_failed_says_so_for_a_while_and_is_then_tried_anew() -> None:
    desk = Counter().has(DONE)
    await ask_4k(desk)
    step(desk, "child1", failed(BASE))
    desk.now = OVER
    said = {"code": 500, "msg": "The 4K version of this video is unavailable. It failed", "data": None}
    assert await ask_4k(desk) == said
    desk.now = OVER + AGAIN
    assert await ask_4k(desk) == {"code": 200, "msg": "success", "data": nothing_yet("child2")}


async def test_a_video_that_was_made_in_4k_is_there_at_once() -> None:
    desk = Counter().has(replace(DONE, request=VideoRequest(prompt="A boat", resolution="4k")))
    said = await ask_4k(desk)
    assert (said["code"], said["data"]) == (422, {"taskId": TASK_ID, "resultUrls": [URL], "imageUrls": []})
    assert desk.drafts == []


@pytest.mark.parametrize(
    ("reason", "code"),
    [(Reason.CONTENT, 400), (Reason.INPUT_INVALID, 400), (Reason.PROVIDER, 500), (Reason.CANCELED, 499)],
)
def test_the_callback_of_a_4k_rendition(reason: Reason, code: int) -> None:
    child = replace(BASE, operation="video.upscale", parent="before", request=VideoRequest(resolution="4k", video=URL))
    assert wire(VEO.callback(failed(child, reason), link)) == {
        "code": code,
        "msg": "The 4K version of this video is unavailable. It failed",
        "data": {"taskId": TASK_ID, "task_id": TASK_ID},
    }
    made, shown = ["https://files.example.net/s/huge.mp4"], ["https://files.example.net/s/huge.png"]
    assert wire(VEO.callback(done(child, "huge.mp4", "huge.png"), link)) == {
        "code": 200,
        "msg": "4K Video generated successfully.",
        "data": {
            "taskId": TASK_ID,
            "task_id": TASK_ID,
            "info": {"resultUrls": made, "imageUrls": shown},
            "result_urls": made,
            "image_urls": shown,
            "media_ids": [part(TASK_ID, 0)],
        },
    }


# ---- extend ----


async def extend(desk: Counter, **fields: object) -> Any:
    return wire(await VEO.extend(call({"taskId": TASK_ID, "prompt": "It reaches the sea", **fields}), desk))


@pytest.mark.parametrize(
    ("given", "model", "price"),
    [
        (None, "veo3_fast", 80_000),
        ("fast", "veo3_fast", 80_000),
        ("quality", "veo3", 250_000),
        ("lite", "veo3_lite", 30_000),
        ("veo3", "veo3", 250_000),
    ],
)
async def test_an_extension_goes_on_from_the_video(given: str | None, model: str, price: int) -> None:
    base = replace(DONE, request=VideoRequest(prompt="A boat", ratio="9:16", resolution="1080p"))
    desk = Counter().has(base)
    said = await extend(
        desk, taskId=f"veo_task_{TASK_ID}", model=given, seeds=42424, watermark="Studio", callBackUrl=HOOK
    )
    assert said == {"taskId": "child1"}
    (draft,) = desk.drafts
    assert draft.request == VideoRequest(
        prompt="It reaches the sea",
        seconds=8,
        ratio="9:16",
        resolution="1080p",
        video=URL,
        seed=42424,
        watermark="Studio",
    )
    assert (draft.operation, draft.model, draft.price, draft.parent) == ("video.extend", model, price, TASK_ID)
    assert (draft.callback_url, draft.urls) == (HOOK, {"callBackUrl": HOOK})


async def test_an_extension_of_an_extension_goes_on_from_the_whole() -> None:
    desk = Counter().has(done(LONGER, "piece.mp4", "whole.mp4"))
    await extend(desk)
    (draft,) = desk.drafts
    assert isinstance(draft.request, VideoRequest)
    assert draft.request.video == "https://files.example.net/s/whole.mp4"


async def test_what_is_no_veo_task_of_the_caller_cannot_be_extended() -> None:
    missing = {"code": 404, "msg": "Original video or task does not exist", "data": None}
    assert await extend(Counter()) == missing
    assert await extend(Counter().has(replace(DONE, family="runway"))) == missing


UPSCALED = replace(
    done(BASE, "big.mp4"), operation="video.upscale", id="u", parent=TASK_ID, request=VideoRequest(resolution="1080p")
)


@pytest.mark.parametrize(
    ("tasks", "fields", "words"),
    [
        ([running(BASE)], {}, "record status is not success"),
        ([failed(BASE)], {}, "record status is not success"),
        ([done(BASE)], {}, "record result data is empty"),
        ([DONE], {"prompt": ""}, "prompt: is required"),
        ([DONE], {"seeds": 1}, "seeds: must be a whole number from 10000 to 99999"),
        ([DONE], {"model": "best"}, "model: must be one of fast, quality, lite, veo3_fast, veo3, veo3_lite"),
        ([DONE, UPSCALED], {}, "taskId: a video of which a 1080P version was made cannot be extended"),
        (
            [DONE, UPSCALED],
            {"taskId": "u"},
            "taskId: a rendition cannot be extended; give the task that it was made of",
        ),
        (
            [PURGED],
            {},
            "taskId: the video of this task is not kept any more (Temporarily supports records within 14 days); "
            "generate it again, then extend the new one",
        ),
    ],
)
async def test_an_extension_that_cannot_be_is_refused(tasks: list[Task], fields: dict[str, Any], words: str) -> None:
    desk = Counter().has(*tasks)
    with pytest.raises(Invalid) as caught:
        await extend(desk, **fields)
    assert str(caught.value) == words
    assert desk.drafts == []


@pytest.mark.parametrize(
    "child",
    [
        replace(UPSCALED, state=State.FAILED, failure=failed(BASE).failure),
        replace(UPSCALED, request=VideoRequest(resolution="4k")),
    ],
)
async def test_a_1080p_version_that_failed_and_a_4k_version_are_no_hindrance(child: Task) -> None:
    assert await extend(Counter().has(DONE, child)) == {"taskId": "child1"}

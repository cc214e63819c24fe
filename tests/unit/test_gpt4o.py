"""The dialect of 4o Image: bodies in, records and callbacks out."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tessera.dialects.gpt4o import Gpt4o
from tessera.domain.asset import Asset, Origin
from tessera.domain.errors import Invalid, Unreadable
from tessera.domain.task import Failure, ImageRequest, Mode, Reason, State, Task
from tessera.testing.ticker import NOON

DIALECT = Gpt4o()
PICTURE = "https://img.example.org/room.png"
MASK = "https://img.example.org/mask.png"
HOOK = "https://app.example.org/hook"
TASK_ID = "0f3c9a7be21d4c55a1b2c3d4e5f60718"


def body(**fields: object) -> bytes:
    return json.dumps({"prompt": "a boat", "size": "1:1"} | fields).encode()


def link(asset: Asset) -> str:
    return f"https://files.example.org/{asset.key}"


# ---- requests ----


@pytest.mark.parametrize(
    ("fields", "request_"),
    [
        ({}, {}),
        ({"size": "3:2"}, {"ratio": "3:2"}),
        ({"size": "2:3", "nVariants": 4}, {"ratio": "2:3", "count": 4}),
        ({"nVariants": "2"}, {"count": 2}),
        ({"nVariants": 2.0}, {"count": 2}),
        ({"nVariants": None}, {"count": 1}),
        ({"prompt": "  a boat \n"}, {}),
        ({"prompt": "\u00e9" * 5000}, {"prompt": "\u00e9" * 5000}),
        ({"isEnhance": True}, {"enhance": True}),
        ({"filesUrl": []}, {}),
        ({"filesUrl": None}, {}),
        ({"filesUrl": [PICTURE]}, {"images": (PICTURE,)}),
        ({"filesUrl": [PICTURE], "prompt": None}, {"images": (PICTURE,), "prompt": ""}),
        ({"fileUrl": PICTURE}, {"images": (PICTURE,)}),
        ({"fileUrl": "https://old.example/x.png", "filesUrl": [PICTURE]}, {"images": (PICTURE,)}),
        ({"filesUrl": [PICTURE] * 5}, {"images": (PICTURE,) * 5}),
        ({"filesUrl": [PICTURE], "maskUrl": MASK}, {"images": (PICTURE,), "mask": MASK}),
        ({"filesUrl": [PICTURE], "maskUrl": ""}, {"images": (PICTURE,)}),
        ({"filesUrl": [PICTURE, PICTURE], "maskUrl": MASK}, {"images": (PICTURE, PICTURE), "mask": None}),
        ({"uploadCn": True, "whatever": {"is": ["unknown"]}}, {}),
    ],
)
def test_a_good_body_becomes_a_request(fields: dict[str, object], request_: dict[str, Any]) -> None:
    draft = DIALECT.parse(body(**fields))
    assert draft.request == replace(ImageRequest(prompt="a boat"), **request_)
    assert (draft.family, draft.model) == ("gpt4o-image", "gpt4o-image")
    assert draft.operation == ("image.edit" if draft.request.images else "image.generate")


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"size": None}, "size", "must be one of 1:1, 3:2, 2:3"),
        ({"size": "16:9"}, "size", "must be one of 1:1, 3:2, 2:3"),
        ({"size": 1}, "size", "must be one of"),
        ({"prompt": None}, "prompt", "is required unless filesUrl has an image"),
        ({"prompt": " \n\t "}, "prompt", "is required unless filesUrl has an image"),
        ({"prompt": ["a"]}, "prompt", "must be a string"),
        ({"prompt": "x" * 5001}, "prompt", "at most 5000 characters, got 5001"),
        ({"prompt": "a\0b"}, "prompt", "NUL"),
        ({"nVariants": 3}, "nVariants", "must be one of 1, 2, 4"),
        ({"nVariants": 0}, "nVariants", "must be one of 1, 2, 4"),
        ({"nVariants": 1.5}, "nVariants", "must be one of 1, 2, 4"),
        ({"nVariants": "many"}, "nVariants", "must be one of 1, 2, 4"),
        ({"filesUrl": PICTURE}, "filesUrl", "must be a list of strings"),
        ({"filesUrl": [PICTURE, 7]}, "filesUrl[1]", "must be a string"),
        ({"filesUrl": [PICTURE] * 6}, "filesUrl", "at most 5 images, got 6"),
        ({"maskUrl": MASK}, "maskUrl", "needs an image in filesUrl"),
        ({"isEnhance": "yes"}, "isEnhance", "must be true or false"),
        ({"callBackUrl": 5}, "callBackUrl", "must be a string"),
        ({"fallbackModel": "DALL_E"}, "fallbackModel", "must be one of GPT_IMAGE_1, FLUX_MAX"),
    ],
)
def test_a_refusal_names_the_field_and_the_rule(fields: dict[str, object], field: str, rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        DIALECT.parse(body(**fields))
    assert caught.value.field is not None
    # The list's own index is not told by the decoder.
    assert caught.value.field.replace("[]", "[1]") == field
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    assert rule in str(caught.value)


def test_a_missing_size_is_required() -> None:
    with pytest.raises(Invalid, match=r"^size: is required$"):
        DIALECT.parse(b'{"prompt": "x"}')


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"size": "1:1", "prompt": "x"',
        b'{"size": "1:1", "prompt": "x"} trailing',
        b'{"size": "1:1", "prompt": "a\x00b"}',
        b'{"size": "1:1", "prompt": "\\ud800"}',
        b'{"size": "1:1", "prompt": "\xed\xa0\x80"}',
        b'{"size": "1:1", "prompt": "x", "unknown": "\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=repr,
)
def test_a_body_that_is_no_json_object_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable, match="The request body"):
        DIALECT.parse(raw)


def test_the_params_are_the_body_as_it_came_without_its_white_space() -> None:
    raw = b'{ "prompt" : "a  boat",\n "size": "1:1", "nVariants": "2", "mine": [1,  2.50] }'
    assert DIALECT.parse(raw).params == '{"prompt":"a  boat","size":"1:1","nVariants":"2","mine":[1,2.50]}'


@pytest.mark.parametrize(
    ("fields", "fallback"),
    [
        ({}, None),
        ({"fallbackModel": "GPT_IMAGE_1"}, None),
        ({"enableFallback": False, "fallbackModel": "GPT_IMAGE_1"}, None),
        ({"enableFallback": True}, "FLUX_MAX"),
        ({"enableFallback": True, "fallbackModel": "GPT_IMAGE_1"}, "GPT_IMAGE_1"),
    ],
)
def test_the_fallback_model_counts_only_where_it_is_enabled(fields: dict[str, object], fallback: str | None) -> None:
    assert DIALECT.parse(body(**fields)).fallback == fallback


def test_every_url_of_the_caller_is_listed_by_its_field() -> None:
    draft = DIALECT.parse(body(filesUrl=[PICTURE], maskUrl=MASK, callBackUrl=HOOK))
    assert draft.urls == {"filesUrl[0]": PICTURE, "maskUrl": MASK, "callBackUrl": HOOK}
    assert draft.callback_url == HOOK
    assert DIALECT.parse(body(callBackUrl="")).urls == {}


# ---- records and callbacks ----

PARAMS = '{"prompt":"a boat","size":"1:1"}'
TASK = Task(
    id=TASK_ID,
    account_id="a",
    key_id="k",
    mode=Mode.TEST,
    family="gpt4o-image",
    operation="image.generate",
    model="gpt4o-image",
    request=ImageRequest(prompt="a boat"),
    params=PARAMS,
    callback_url=None,
    fallback=None,
    price=10_000,
    state=State.WAITING,
    progress=0.0,
    epoch=0,
    created_at=NOON,
)
RUNNING = replace(TASK, state=State.RUNNING, started_at=NOON + timedelta(seconds=1), progress=0.5)
OUTPUTS = tuple(
    Asset(
        key=f"s/{TASK_ID}_{index}.png",
        account_id="a",
        origin=Origin.OUTPUT,
        media_type="image/png",
        size=1,
        sha256="0" * 64,
        created_at=NOON,
        position=index,
    )
    for index in range(2)
)
OVER = NOON + timedelta(seconds=65)
DONE = replace(RUNNING, state=State.SUCCEEDED, completed_at=OVER, outputs=OUTPUTS)
URLS = [f"https://files.example.org/s/{TASK_ID}_{index}.png" for index in range(2)]
CREATED, COMPLETED = 1795348800000, 1795348865000


def failed(reason: Reason, *, started: bool = True, state: State = State.FAILED) -> Task:
    task = RUNNING if started else TASK
    return replace(task, state=state, completed_at=OVER, failure=Failure(reason, "It failed"), progress=0.0)


def wire(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


def test_a_waiting_task_on_the_wire() -> None:
    assert wire(DIALECT.record(TASK, link, NOON)) == {
        "taskId": TASK_ID,
        "paramJson": PARAMS,
        "completeTime": None,
        "response": None,
        "successFlag": 0,
        "status": "GENERATING",
        "errorCode": None,
        "errorMessage": None,
        "createTime": CREATED,
        "progress": "0.00",
    }


def test_a_running_task_on_the_wire() -> None:
    record = wire(DIALECT.record(RUNNING, link, NOON))
    assert record == wire(DIALECT.record(TASK, link, NOON)) | {"progress": "0.50"}


def test_a_task_that_succeeded_on_the_wire() -> None:
    assert wire(DIALECT.record(DONE, link, NOON)) == {
        "taskId": TASK_ID,
        "paramJson": PARAMS,
        "completeTime": COMPLETED,
        "response": {"resultUrls": URLS, "result_urls": URLS},
        "successFlag": 1,
        "status": "SUCCESS",
        "errorCode": None,
        "errorMessage": "",
        "createTime": CREATED,
        "progress": "1.00",
    }


@pytest.mark.parametrize(
    ("task", "code", "status"),
    [
        (failed(Reason.CONTENT), 400, "GENERATE_FAILED"),
        (failed(Reason.PROVIDER), 500, "GENERATE_FAILED"),
        (failed(Reason.UNKNOWN), 500, "GENERATE_FAILED"),
        (failed(Reason.DEADLINE), 500, "GENERATE_FAILED"),
        (failed(Reason.STORAGE), 500, "GENERATE_FAILED"),
        (failed(Reason.UNAVAILABLE), 500, "CREATE_TASK_FAILED"),
        (failed(Reason.INPUT_INVALID), 400, "CREATE_TASK_FAILED"),
        (failed(Reason.INPUT_UNREACHABLE), 451, "CREATE_TASK_FAILED"),
        (failed(Reason.CANCELED, state=State.CANCELED), 499, "GENERATE_FAILED"),
        (failed(Reason.CANCELED, state=State.CANCELED, started=False), 499, "CREATE_TASK_FAILED"),
    ],
    ids=lambda value: value.failure.reason.value if isinstance(value, Task) and value.failure else None,
)
def test_a_task_that_failed_on_the_wire(task: Task, code: int, status: str) -> None:
    record = wire(DIALECT.record(task, link, NOON))
    # What cannot be fetched is told in the recorded words, whatever we say ourselves.
    said = "Unable to download image from the provided filesUrl" if code == 451 else "It failed"
    assert record == wire(DIALECT.record(TASK, link, NOON)) | {
        "completeTime": COMPLETED,
        "successFlag": 2,
        "status": status,
        "errorCode": code,
        "errorMessage": said,
    }
    assert wire(DIALECT.callback(task, link)) == {
        "code": code,
        "msg": said,
        "data": {"taskId": TASK_ID, "task_id": TASK_ID, "info": None},
    }


def test_the_callback_of_a_success() -> None:
    assert wire(DIALECT.callback(DONE, link)) == {
        "code": 200,
        "msg": "success",
        "data": {"taskId": TASK_ID, "task_id": TASK_ID, "info": {"result_urls": URLS}},
    }


# ---- direct links ----

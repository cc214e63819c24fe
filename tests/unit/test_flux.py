"""The dialect of Flux Kontext: bodies in, records and callbacks out."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tessera.dialects.flux import Flux, IntolerableError
from tessera.domain.asset import Asset, Origin
from tessera.domain.errors import Invalid, Unreadable
from tessera.domain.task import Failure, ImageRequest, Mode, Reason, State, Task
from tessera.testing.ticker import NOON

DIALECT = Flux()
PICTURE = "https://img.example.org/park.jpg"
HOOK = "https://app.example.org/hooks/flux"
TASK_ID = "5b8e21c0d94f4e13b7a6f5e4d3c2b1a0"
TEXT = ImageRequest(prompt="rain", ratio="16:9", format="jpeg")
EDIT = replace(TEXT, ratio="auto", images=(PICTURE,))


def body(**fields: object) -> bytes:
    return json.dumps({"prompt": "rain"} | fields).encode()


def link(asset: Asset) -> str:
    return f"https://files.example.org/{asset.key}"


# ---- requests ----


@pytest.mark.parametrize(
    ("fields", "request_"),
    [
        ({}, {}),
        ({"prompt": " rain\n"}, {}),
        ({"prompt": "雨"}, {"prompt": "雨"}),
        *(({"aspectRatio": ratio}, {"ratio": ratio}) for ratio in ("21:9", "4:3", "1:1", "3:4", "9:16", "16:21")),
        ({"aspectRatio": None}, {}),
        ({"outputFormat": "png"}, {"format": "png"}),
        ({"outputFormat": "jpeg"}, {}),
        ({"promptUpsampling": True}, {"enhance": True}),
        ({"watermark": "© me"}, {"watermark": "© me"}),
        ({"watermark": False}, {}),
        ({"watermark": ""}, {}),
        ({"enableTranslation": False, "uploadCn": True, "whatever": [{}]}, {}),
        ({"inputImage": "", "callBackUrl": ""}, {}),
        *(({"safetyTolerance": level}, {"tolerance": int(level)}) for level in (0, 6, 2.0, "2", "6")),
        *(({"safetyTolerance": level}, {}) for level in ("", None)),
    ],
)
def test_a_text_request_is_understood(fields: dict[str, object], request_: dict[str, Any]) -> None:
    draft = DIALECT.parse(body(**fields))
    assert draft.request == replace(TEXT, **request_)
    assert (draft.family, draft.operation, draft.model) == ("flux-kontext", "image.generate", "flux-kontext-pro")
    assert draft.urls == {}


@pytest.mark.parametrize(
    ("fields", "request_"),
    [
        ({}, {}),
        ({"aspectRatio": "9:16"}, {"ratio": "9:16"}),
        ({"safetyTolerance": 2}, {"tolerance": 2}),
        ({"safetyTolerance": 0}, {"tolerance": 0}),
        ({"outputFormat": "png", "watermark": "x"}, {"format": "png", "watermark": "x"}),
    ],
)
def test_an_input_image_makes_it_an_edit(fields: dict[str, object], request_: dict[str, Any]) -> None:
    draft = DIALECT.parse(body(inputImage=PICTURE, **fields))
    assert draft.request == replace(EDIT, **request_)
    assert draft.operation == "image.edit"
    assert draft.urls == {"inputImage": PICTURE}


@pytest.mark.parametrize(
    ("given", "model", "price"),
    [
        (None, "flux-kontext-pro", 5_000),
        ("flux-kontext-pro", "flux-kontext-pro", 5_000),
        ("flux-kontext-max", "flux-kontext-max", 10_000),
    ],
)
def test_each_model_has_its_price(given: str | None, model: str, price: int) -> None:
    draft = DIALECT.parse(body(model=given))
    assert (draft.model, draft.price, draft.units) == (model, price, {"output": 1})
    assert draft.model in DIALECT.models


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"prompt": None}, "prompt", "must be a string"),
        ({"prompt": ""}, "prompt", "is required"),
        ({"prompt": " \n"}, "prompt", "is required"),
        ({"prompt": 5}, "prompt", "must be a string"),
        ({"prompt": "a\0b"}, "prompt", "NUL"),
        ({"prompt": "x" * 20_001}, "prompt", "at most 20000 characters, got 20001"),
        ({"aspectRatio": "5:4"}, "aspectRatio", "must be one of 21:9, 16:9, 4:3, 1:1, 3:4, 9:16, 16:21"),
        ({"aspectRatio": ""}, "aspectRatio", "must be one of"),
        ({"outputFormat": "webp"}, "outputFormat", "must be one of jpeg, png"),
        ({"model": "flux-pro"}, "model", "must be one of flux-kontext-pro, flux-kontext-max"),
        ({"promptUpsampling": "yes"}, "promptUpsampling", "must be true or false"),
        ({"enableTranslation": 1}, "enableTranslation", "must be true or false"),
        ({"inputImage": [PICTURE]}, "inputImage", "must be a string"),
        ({"callBackUrl": 5}, "callBackUrl", "must be a string"),
        ({"watermark": True}, "watermark", "must be a string"),
        ({"watermark": "x" * 201}, "watermark", "at most 200 characters, got 201"),
        ({"safetyTolerance": "high"}, "safetyTolerance", "must be a whole number"),
    ],
)
def test_a_refusal_names_the_field_and_the_rule(fields: dict[str, object], field: str, rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        DIALECT.parse(body(**fields))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert rule in str(caught.value)


def test_a_missing_prompt_is_required() -> None:
    with pytest.raises(Invalid, match=r"^prompt: is required$"):
        DIALECT.parse(b'{"aspectRatio": "1:1"}')


@pytest.mark.parametrize("level", [-1, 7, 2.5, 10**30, "7", "-1", "nan", "1e999"])
def test_a_tolerance_that_no_request_has_is_intolerable(level: object) -> None:
    with pytest.raises(IntolerableError):
        DIALECT.parse(body(safetyTolerance=level))


@pytest.mark.parametrize("level", [3, 6, "3"])
def test_an_edit_is_tolerated_less(level: object) -> None:
    assert DIALECT.parse(body(safetyTolerance=level)).operation == "image.generate"
    with pytest.raises(IntolerableError):
        DIALECT.parse(body(safetyTolerance=level, inputImage=PICTURE))


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b'{"prompt": "x"', b'"text"', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable, match="The request body"):
        DIALECT.parse(raw)


def test_every_url_of_the_caller_is_listed_by_its_field_and_the_body_is_kept() -> None:
    raw = f'{{ "prompt": "rain", "inputImage": "{PICTURE}",\n "callBackUrl": "{HOOK}", "x": 1.50 }}'
    draft = DIALECT.parse(raw.encode())
    assert draft.urls == {"inputImage": PICTURE, "callBackUrl": HOOK}
    assert draft.callback_url == HOOK
    assert draft.params == f'{{"prompt":"rain","inputImage":"{PICTURE}","callBackUrl":"{HOOK}","x":1.50}}'


@pytest.mark.parametrize("given", [TASK_ID, f"task_flux_{TASK_ID}"])
def test_an_id_is_good_with_and_without_the_prefix_of_the_samples(given: str) -> None:
    assert DIALECT.task_id(given) == TASK_ID


# ---- records and callbacks ----

PARAMS = '{"prompt":"rain","aspectRatio":"16:9"}'
TASK = Task(
    id=TASK_ID,
    account_id="a",
    key_id="k",
    mode=Mode.TEST,
    family="flux-kontext",
    operation="image.generate",
    model="flux-kontext-pro",
    request=TEXT,
    params=PARAMS,
    callback_url=None,
    fallback=None,
    price=5_000,
    state=State.WAITING,
    progress=0.0,
    epoch=0,
    created_at=NOON,
)
RUNNING = replace(TASK, state=State.RUNNING, started_at=NOON + timedelta(seconds=1), progress=0.5)
OUTPUT = Asset(
    key=f"s/{TASK_ID}_0.jpg",
    account_id="a",
    origin=Origin.OUTPUT,
    media_type="image/jpeg",
    size=1,
    sha256="0" * 64,
    created_at=NOON,
    position=0,
)
OVER = NOON + timedelta(seconds=21, milliseconds=999)
DONE = replace(RUNNING, state=State.SUCCEEDED, completed_at=OVER, outputs=(OUTPUT,))
URL = f"https://files.example.org/s/{TASK_ID}_0.jpg"
BOTH = {"originImageUrl": URL, "resultImageUrl": URL}
FLAGGED = "Your prompt was flagged by Website as violating content policies."


def failed(reason: Reason, *, started: bool = True, state: State = State.FAILED) -> Task:
    task = RUNNING if started else TASK
    return replace(task, state=state, completed_at=OVER, failure=Failure(reason, "Our own words"), progress=0.0)


def wire(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


@pytest.mark.parametrize("task", [TASK, RUNNING], ids=["waiting", "running"])
def test_a_task_under_way_on_the_wire(task: Task) -> None:
    assert wire(DIALECT.record(task, link, NOON)) == {
        "taskId": TASK_ID,
        "paramJson": PARAMS,
        "completeTime": None,
        "response": None,
        "successFlag": 0,
        "errorCode": None,
        "errorMessage": "",
        "createTime": "2026-11-22T12:00:00Z",
    }


def test_a_task_that_succeeded_on_the_wire() -> None:
    assert wire(DIALECT.record(DONE, link, NOON)) == {
        "taskId": TASK_ID,
        "paramJson": PARAMS,
        "completeTime": "2026-11-22T12:00:21Z",
        "response": BOTH,
        "successFlag": 1,
        "errorCode": None,
        "errorMessage": "",
        "createTime": "2026-11-22T12:00:00Z",
    }
    assert wire(DIALECT.callback(DONE, link)) == {
        "code": 200,
        "msg": "BFL image generated successfully.",
        "data": {"taskId": TASK_ID, "task_id": TASK_ID, "info": BOTH},
    }


@pytest.mark.parametrize(
    ("task", "code", "flag", "message"),
    [
        (failed(Reason.CONTENT), 400, 3, FLAGGED),
        (failed(Reason.PROVIDER), 501, 3, "Image generation task failed"),
        (failed(Reason.UNKNOWN), 501, 3, "Our own words"),
        (failed(Reason.DEADLINE), 501, 3, "Our own words"),
        (failed(Reason.STORAGE), 500, 3, "Our own words"),
        (failed(Reason.UNAVAILABLE), 500, 2, "Our own words"),
        (failed(Reason.INPUT_INVALID), 400, 2, "Our own words"),
        (failed(Reason.INPUT_UNREACHABLE), 400, 2, "Our own words"),
        (failed(Reason.CANCELED, state=State.CANCELED), 499, 3, "Our own words"),
        (failed(Reason.CANCELED, state=State.CANCELED, started=False), 499, 2, "Our own words"),
    ],
    ids=lambda value: value.failure.reason.value if isinstance(value, Task) and value.failure else None,
)
def test_a_task_that_failed_on_the_wire(task: Task, code: int, flag: int, message: str) -> None:
    assert wire(DIALECT.record(task, link, NOON)) == wire(DIALECT.record(TASK, link, NOON)) | {
        "completeTime": "2026-11-22T12:00:21Z",
        "successFlag": flag,
        "errorCode": code,
        "errorMessage": message,
    }
    assert wire(DIALECT.callback(task, link)) == {
        "code": code,
        "msg": message,
        "data": {"taskId": TASK_ID, "task_id": TASK_ID, "info": {"originImageUrl": "", "resultImageUrl": ""}},
    }

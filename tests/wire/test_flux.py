"""Flux Kontext on the wire: what is sent, what comes back, in every state."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from functools import cache
from io import BytesIO
from typing import Any

import pytest
import pytest_asyncio
import yaml
from PIL import Image
from tests.wire.conftest import OpenDesk
from tests.wire.desk import Answer, Desk
from tests.wire.promises import FOLDER, Contract

from tessera.domain.errors import Failed, ProviderError, Rejected
from tessera.domain.task import ImageRequest, Reason
from tessera.kit.clock import system
from tessera.kit.cpu import Crew
from tessera.providers.fake import accept, png, refuse
from tessera.providers.sandbox import Sandbox
from tessera.testing.servers import Host, Receiver, hosting, receiving
from tessera.testing.ticker import Ticker

pytestmark = pytest.mark.asyncio(loop_scope="module")

GENERATE = "/api/v1/flux/kontext/generate"
RECORD = "/api/v1/flux/kontext/record-info"
RAIN = {"prompt": "A lighthouse in heavy rain", "aspectRatio": "16:9", "model": "flux-kontext-pro"}
UNKNOWN = "5b8e21c0d94f4e13b7a6f5e4d3c2b1a0"
TOLERANCE = "The security tolerance level is out of range and should be 0-2 or 0-6"
FLAGGED = "Your prompt was flagged by Website as violating content policies."


@cache
def promised() -> Contract:
    return Contract(yaml.safe_load((FOLDER / "flux.yaml").read_text()))


def held(method: str, path: str, answer: Answer) -> Answer:
    """The answer, once it was held against the contract."""
    promised().check(method, path, answer.status, answer.headers.get("Content-Type", ""), answer.body)
    return answer


async def post(desk: Desk, body: object, **more: Any) -> Answer:
    return held("POST", GENERATE, await desk.post(GENERATE, body, **more))


async def submit(desk: Desk, body: Mapping[str, object] | None = None) -> str:
    answer = await post(desk, body or RAIN)
    assert answer.code == 200, answer
    return str(answer.data["taskId"])


async def record(desk: Desk, task_id: str) -> Any:
    answer = held("GET", RECORD, await desk.get(RECORD, taskId=task_id))
    assert answer.code == 200, answer
    return answer.data


async def ended(desk: Desk, task_id: str) -> Any:
    while (shown := await record(desk, task_id))["successFlag"] == 0:
        await desk._finished.next()
    return shown


async def told(hook: Receiver) -> Any:
    body = (await hook.next()).body
    promised().check_callback(GENERATE, body)
    return json.loads(body)


def refused(code: int, msg: str) -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": None}


@pytest_asyncio.fixture(loop_scope="module")
async def files() -> AsyncIterator[Host]:
    async with hosting() as host:
        host.put("park.jpg", png(16, 16))
        yield host


@pytest_asyncio.fixture(loop_scope="module")
async def hook() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


# ---- generate ----


async def test_the_text_example_of_the_reference_is_understood(desk: Desk) -> None:
    answer = await post(desk, RAIN)
    assert re.fullmatch(rb'{"code":200,"msg":"success","data":{"taskId":"[0-9a-f]{32}"}}', answer.body)
    task = await desk.task(answer.data["taskId"])
    assert task.request == ImageRequest(prompt=RAIN["prompt"], ratio="16:9", format="jpeg")
    assert (task.family, task.operation, task.model) == ("flux-kontext", "image.generate", "flux-kontext-pro")
    assert json.loads(task.params) == RAIN
    await ended(desk, task.id)


async def test_the_edit_example_of_the_reference_is_understood(desk: Desk, files: Host, hook: Receiver) -> None:
    url = f"{files.url}/park.jpg"
    body = {
        "prompt": "Change the season to winter",
        "inputImage": url,
        "outputFormat": "png",
        "safetyTolerance": 2,
        "callBackUrl": f"{hook.url}/hooks/flux",
    }
    task_id = await submit(desk, body)
    task = await desk.task(task_id)
    assert task.request == ImageRequest(
        prompt=str(body["prompt"]), ratio="auto", images=(url,), format="png", tolerance=2
    )
    assert task.operation == "image.edit"
    shown = await ended(desk, task_id)
    (job,) = (job for job in desk.fake.submissions if job.task_id == task_id)
    assert len(job.images) == 1
    assert await told(hook) == {
        "code": 200,
        "msg": "BFL image generated successfully.",
        "data": {"taskId": task_id, "task_id": task_id, "info": shown["response"]},
    }


async def test_every_documented_field_is_taken_at_once(desk: Desk) -> None:
    body = {
        **RAIN,
        "enableTranslation": True,
        "uploadCn": False,
        "inputImage": None,
        "aspectRatio": "21:9",
        "outputFormat": "png",
        "promptUpsampling": True,
        "model": "flux-kontext-max",
        "callBackUrl": "",
        "safetyTolerance": "6",
        "watermark": "sample",
        "unknown": {"deep": [None]},
    }
    task = await desk.task(await submit(desk, body))
    assert task.request == ImageRequest(
        prompt=RAIN["prompt"], ratio="21:9", format="png", enhance=True, watermark="sample", tolerance=6
    )
    assert task.model == "flux-kontext-max"
    await ended(desk, task.id)


@pytest.mark.parametrize(("model", "price"), [("flux-kontext-pro", 5), ("flux-kontext-max", 10)])
async def test_each_model_has_its_price(desk: Desk, model: str, price: int) -> None:
    await ended(desk, await submit(desk, {**RAIN, "model": model}))
    assert await desk.credits() == 1000 - price


REFUSED: list[tuple[Any, int, str]] = [
    ([], 400, "The request body must be a JSON object"),
    ({}, 422, "prompt: is required"),
    ({"prompt": " "}, 422, "prompt: is required"),
    ({**RAIN, "aspectRatio": "5:4"}, 422, "aspectRatio: must be one of 21:9, 16:9, 4:3, 1:1, 3:4, 9:16, 16:21"),
    ({**RAIN, "outputFormat": "gif"}, 422, "outputFormat: must be one of jpeg, png"),
    ({**RAIN, "model": "flux"}, 422, "model: must be one of flux-kontext-pro, flux-kontext-max"),
    ({**RAIN, "safetyTolerance": 7}, 500, TOLERANCE),
    ({**RAIN, "safetyTolerance": -1}, 500, TOLERANCE),
    ({**RAIN, "inputImage": "https://a.test/x.png", "safetyTolerance": 3}, 500, TOLERANCE),
    ({**RAIN, "safetyTolerance": True}, 422, "safetyTolerance: must be a number or a string"),
    ({**RAIN, "inputImage": "x.png"}, 422, "inputImage: A URL must begin with http:// or https://."),
    (
        {**RAIN, "inputImage": "http://10.0.0.1/x"},
        422,
        "inputImage: The host of the URL is not on the public internet.",
    ),
    ({**RAIN, "callBackUrl": "nowhere"}, 422, "callBackUrl: A URL must begin with http:// or https://."),
]


@pytest.mark.parametrize(("body", "code", "msg"), REFUSED)
async def test_a_wrong_request_is_told_what_is_wrong(desk: Desk, body: Any, code: int, msg: str) -> None:
    async with desk.untouched():
        answer = await post(desk, body)
    assert answer.status == 200
    assert answer.json == refused(code, msg)


async def test_a_wrong_key_is_code_401(desk: Desk) -> None:
    answer = await post(desk, RAIN, key="tsk_test_nobody")
    assert answer.status == 200
    assert (answer.code, answer.data) == (401, None)
    assert answer.msg.startswith("You do not have access permissions")


async def test_a_live_key_without_a_provider_is_code_505(desk: Desk) -> None:
    async with desk.untouched():
        answer = await post(desk, RAIN, key="live")
    assert answer.code == 505


# ---- record-info ----


async def test_the_record_of_a_task_under_way(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(work=False, now=ticker) as desk:
        raw = b'{ "prompt": "A lighthouse in heavy rain", "aspectRatio": "16:9" }'
        task_id = held("POST", GENERATE, await desk.raw(GENERATE, raw)).data["taskId"]
        ticker.advance(3)
        assert await record(desk, task_id) == {
            "taskId": task_id,
            "paramJson": '{"prompt":"A lighthouse in heavy rain","aspectRatio":"16:9"}',
            "completeTime": None,
            "response": None,
            "successFlag": 0,
            "errorCode": None,
            "errorMessage": "",
            "createTime": "2026-11-22T12:00:00Z",
        }


async def test_the_record_of_a_task_that_succeeded(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(now=ticker) as desk:
        go_on = asyncio.Event()
        desk.fake.script(accept(go_on))
        task_id = await submit(desk)
        await desk.fake.polled.get()
        assert (await record(desk, task_id))["successFlag"] == 0
        ticker.advance(21)
        go_on.set()
        shown = await ended(desk, task_id)
        url = shown["response"]["resultImageUrl"]
        assert re.fullmatch(rf"{re.escape(desk.gateway.base_url)}/files/[\w-]{{22}}/s/{task_id}-1-1_0\.png", url)
        assert shown == {
            "taskId": task_id,
            "paramJson": json.dumps(RAIN, separators=(",", ":")),
            "completeTime": "2026-11-22T12:00:21Z",
            "response": {"originImageUrl": url, "resultImageUrl": url},
            "successFlag": 1,
            "errorCode": None,
            "errorMessage": "",
            "createTime": "2026-11-22T12:00:00Z",
        }
        assert (await desk.fetch(url)).status == 200
        linked = await desk.post("/api/v1/common/download-url", {"url": url})
        assert linked.code == 200


VERDICTS: list[tuple[ProviderError, int, int, str]] = [
    (Failed("Moderated", reason=Reason.CONTENT), 400, 3, FLAGGED),
    (Rejected("Moderated", reason=Reason.CONTENT), 400, 3, FLAGGED),
    (Rejected("No such picture", reason=Reason.INPUT_INVALID), 400, 2, "No such picture"),
    (Failed("It broke"), 501, 3, "Image generation task failed"),
    (Failed("Not stored", reason=Reason.STORAGE), 500, 3, "Not stored"),
    (Rejected("Busy", reason=Reason.UNAVAILABLE), 500, 2, "Busy"),
]


@pytest.mark.parametrize(("verdict", "code", "flag", "message"), VERDICTS)
async def test_a_failure_shows_its_code_and_reason_on_record_and_callback(
    *, desk: Desk, hook: Receiver, verdict: ProviderError, code: int, flag: int, message: str
) -> None:
    desk.fake.script(accept(failure=verdict) if isinstance(verdict, Failed) else refuse(verdict))
    body = {**RAIN, "callBackUrl": f"{hook.url}/flux"}
    task_id = await submit(desk, body)
    shown = await ended(desk, task_id)
    assert shown["completeTime"] >= shown["createTime"]
    del shown["completeTime"], shown["createTime"]
    assert shown == {
        "taskId": task_id,
        "paramJson": json.dumps(body, separators=(",", ":")),
        "response": None,
        "successFlag": flag,
        "errorCode": code,
        "errorMessage": message,
    }
    assert await desk.credits() == 1000
    assert await told(hook) == {
        "code": code,
        "msg": message,
        "data": {"taskId": task_id, "task_id": task_id, "info": {"originImageUrl": "", "resultImageUrl": ""}},
    }


async def test_a_canceled_task_is_code_499_on_record_and_callback(open_desk: OpenDesk, hook: Receiver) -> None:
    async with open_desk() as desk:
        go_on = asyncio.Event()
        desk.fake.script(accept(go_on))
        task_id = await submit(desk, {**RAIN, "callBackUrl": hook.url})
        await desk.fake.polled.get()
        assert (await desk.ask("POST", f"/v1/tasks/{task_id}/cancel")).status == 200
        shown = await record(desk, task_id)
        assert (shown["successFlag"], shown["errorCode"]) == (3, 499)
        called = await told(hook)
        assert (called["code"], called["msg"]) == (499, shown["errorMessage"])
        assert await desk.credits() == 1000
        go_on.set()


@pytest.mark.parametrize("query", [UNKNOWN, f"task_flux_{UNKNOWN}", "0", "%00"])
async def test_a_question_for_no_task_of_ours_is_code_422(desk: Desk, query: str) -> None:
    answer = held("GET", RECORD, await desk.get(RECORD, taskId=query))
    assert answer.json == refused(422, "The record does not exist")


async def test_a_task_of_another_family_or_account_does_not_exist_here(desk: Desk) -> None:
    other_family = await desk.submit()
    assert (await desk.get(RECORD, taskId=other_family)).json == refused(422, "The record does not exist")
    task_id = await submit(desk)
    stranger = await desk.neighbour()
    assert (await stranger.get(RECORD, taskId=task_id)).json == refused(422, "The record does not exist")
    assert await ended(desk, f"task_flux_{task_id}") == await ended(desk, task_id)
    await desk.ended(other_family)


async def test_on_the_sandbox_the_files_are_what_was_asked_for(open_desk: OpenDesk) -> None:
    crew = Crew(1)
    try:
        async with open_desk(provided={"sandbox": Sandbox(system, crew, duration=timedelta(0))}) as desk:
            task_id = await submit(desk, {**RAIN, "aspectRatio": "21:9", "watermark": "sample"})
            url = (await ended(desk, task_id))["response"]["resultImageUrl"]
            first = await desk.fetch(url)
            assert first.headers["Content-Type"] == "image/jpeg"
            with Image.open(BytesIO(first.body)) as picture:
                assert (picture.format, picture.size) == ("JPEG", (1568, 672))
            edited = await ended(
                desk, await submit(desk, {"prompt": "winter", "inputImage": url, "outputFormat": "png"})
            )
            second = await desk.fetch(edited["response"]["resultImageUrl"])
            with Image.open(BytesIO(second.body)) as picture:
                assert (picture.format, picture.size) == ("PNG", (1568, 672)), "an edit keeps the ratio of its picture"
    finally:
        await crew.close()

"""4o images on the wire: what is sent, what comes back, in every state."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.wire import promises
from tests.wire.conftest import OpenDesk
from tests.wire.desk import DOWNLOAD, GENERATE, RECORD, Desk

from tessera.domain.errors import Failed, ProviderError, Rejected
from tessera.domain.task import ImageRequest, Reason
from tessera.providers.fake import accept, png, refuse
from tessera.testing.servers import Host, Receiver, hosting, receiving
from tessera.testing.ticker import NOON, Ticker

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOAT = {"prompt": "A paper boat", "size": "1:1"}
NOON_MS = int(NOON.timestamp() * 1000)
UNKNOWN = "0f3c9a7be21d4c55a1b2c3d4e5f60718"


def refused(code: int, msg: str) -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": None}


@pytest_asyncio.fixture(loop_scope="module")
async def files() -> AsyncIterator[Host]:
    """A host with three pictures and a mask."""
    async with hosting() as host:
        for index in range(5):
            host.put(f"{index}.png", png(16, 16, shade=index))
        host.put("mask.png", png(16, 16, shade=0))
        yield host


@pytest_asyncio.fixture(loop_scope="module")
async def hook() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


# ---- generate: what is understood ----


async def test_a_created_task_is_answered_with_its_id_and_nothing_else(desk: Desk) -> None:
    answer = await desk.post(GENERATE, {**BOAT, "size": "3:2", "nVariants": 2, "isEnhance": False})
    assert re.fullmatch(rb'{"code":200,"msg":"success","data":{"taskId":"[0-9a-f]{32}"}}', answer.body)
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert "Idempotency-Replayed" not in answer.headers
    await desk.ended(answer.data["taskId"])


TEXT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"prompt": "x", "size": "1:1"}, {"prompt": "x"}),
    ({"prompt": "x", "size": "3:2"}, {"prompt": "x", "ratio": "3:2"}),
    ({"prompt": "x", "size": "2:3"}, {"prompt": "x", "ratio": "2:3"}),
    ({"prompt": " 一只纸船 \n", "size": "1:1"}, {"prompt": "一只纸船"}),
    ({"prompt": "x" * 5000, "size": "1:1"}, {"prompt": "x" * 5000}),
    ({"prompt": "x", "size": "1:1", "nVariants": 1}, {"prompt": "x"}),
    ({"prompt": "x", "size": "1:1", "nVariants": 2}, {"prompt": "x", "count": 2}),
    ({"prompt": "x", "size": "1:1", "nVariants": 4}, {"prompt": "x", "count": 4}),
    ({"prompt": "x", "size": "1:1", "nVariants": "1"}, {"prompt": "x"}),
    ({"prompt": "x", "size": "1:1", "nVariants": "2"}, {"prompt": "x", "count": 2}),
    ({"prompt": "x", "size": "1:1", "nVariants": "4"}, {"prompt": "x", "count": 4}),
    ({"prompt": "x", "size": "1:1", "nVariants": 4.0}, {"prompt": "x", "count": 4}),
    ({"prompt": "x", "size": "1:1", "isEnhance": True}, {"prompt": "x", "enhance": True}),
    ({"prompt": "x", "size": "1:1", "uploadCn": True}, {"prompt": "x"}),
    ({"prompt": "x", "size": "1:1", "filesUrl": []}, {"prompt": "x"}),
    ({"prompt": "x", "size": "1:1", "filesUrl": [], "fileUrl": "", "maskUrl": "", "callBackUrl": ""}, {"prompt": "x"}),
    (
        {
            "prompt": "x",
            "size": "1:1",
            "filesUrl": None,
            "fileUrl": None,
            "maskUrl": None,
            "nVariants": None,
            "callBackUrl": None,
            "isEnhance": None,
            "uploadCn": None,
            "enableFallback": None,
            "fallbackModel": None,
        },
        {"prompt": "x"},
    ),
    ({"prompt": "x", "size": "1:1", "model": "gpt-4o", "n": 7, "style": {"deep": [None]}}, {"prompt": "x"}),
    ({"prompt": "x", "size": "1:1", "enableFallback": False, "fallbackModel": "GPT_IMAGE_1"}, {"prompt": "x"}),
]


@pytest.mark.parametrize(("body", "understood"), TEXT)
async def test_a_text_request_is_understood(desk: Desk, body: dict[str, Any], understood: dict[str, Any]) -> None:
    task_id = await desk.submit(body)
    task = await desk.task(task_id)
    assert task.request == ImageRequest(**understood)
    assert (task.operation, task.model, task.fallback) == ("image.generate", "gpt4o-image", None)
    assert json.loads(task.params) == body
    await desk.ended(task_id)


EDITS: list[tuple[dict[str, Any], tuple[str, ...], str | None]] = [
    ({"filesUrl": ["0"]}, ("0",), None),
    ({"fileUrl": "0"}, ("0",), None),
    ({"filesUrl": [], "fileUrl": "1"}, ("1",), None),
    ({"filesUrl": ["0"], "fileUrl": "1"}, ("0",), None),
    ({"filesUrl": ["0", "1", "2", "3", "4"]}, ("0", "1", "2", "3", "4"), None),
    ({"filesUrl": ["0"], "maskUrl": "mask"}, ("0",), "mask"),
    ({"fileUrl": "0", "maskUrl": "mask"}, ("0",), "mask"),
    ({"filesUrl": ["0", "1"], "maskUrl": "mask"}, ("0", "1"), None),
]


@pytest.mark.parametrize("prompt", ["Make it blue", None])
@pytest.mark.parametrize(("fields", "images", "mask"), EDITS)
async def test_an_edit_is_understood(
    desk: Desk, files: Host, fields: dict[str, Any], images: tuple[str, ...], mask: str | None, prompt: str | None
) -> None:
    def url(name: str) -> str:
        return f"{files.url}/{name}.png"

    body: dict[str, Any] = {"size": "2:3"} if prompt is None else {"size": "2:3", "prompt": prompt}
    for name, value in fields.items():
        body[name] = [url(each) for each in value] if isinstance(value, list) else url(value)
    task_id = await desk.submit(body)
    task = await desk.task(task_id)
    assert task.operation == "image.edit"
    assert task.request == ImageRequest(
        prompt=prompt or "", ratio="2:3", images=tuple(map(url, images)), mask=url(mask) if mask else None
    )
    assert (await desk.ended(task_id))["successFlag"] == 1
    job = next(job for job in desk.fake.submissions if job.task_id == task_id)
    assert [image.path.name for image in job.images] == [f"input-{index}" for index in range(len(images))]
    assert (job.mask is not None) == (mask is not None)


@pytest.mark.parametrize(("given", "fallback"), [({}, "FLUX_MAX"), ({"fallbackModel": "GPT_IMAGE_1"}, "GPT_IMAGE_1")])
async def test_a_fallback_is_remembered_only_where_it_is_enabled(
    desk: Desk, given: dict[str, str], fallback: str
) -> None:
    task_id = await desk.submit({**BOAT, "enableFallback": True, **given})
    assert (await desk.task(task_id)).fallback == fallback
    await desk.ended(task_id)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"prompt":"x","size":"1:1"}',
        b'\r\n\t {\n  "prompt" : "x" ,\n\t"size" : "1:1"\n}\n\n',
        b'{"prompt":"\\u0078","size":"1:1"}',
        b'{"prompt":"first","size":"1:1","prompt":"x"}',
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
async def test_json_is_read_whatever_it_is_called(desk: Desk, raw: bytes, media_type: str) -> None:
    answer = await desk.ask("POST", GENERATE, data=raw, headers={"Content-Type": media_type})
    assert answer.code == 200
    assert (await desk.task(answer.data["taskId"])).request == ImageRequest(prompt="x")
    await desk.ended(answer.data["taskId"])


@pytest.mark.parametrize(("count", "price"), [(1, 10), (2, 20), (4, 40)])
async def test_each_picture_has_its_price(desk: Desk, count: int, price: int) -> None:
    desk.fake.script(accept(files=count))
    task_id, _ = await desk.made({**BOAT, "nVariants": count})
    assert await desk.credits() == 1000 - price
    assert len((await desk.record(task_id))["response"]["resultUrls"]) == count


# ---- generate: what is refused ----

REFUSED: list[tuple[Any, int, str]] = [
    ([], 400, "The request body must be a JSON object"),
    ("text", 400, "The request body must be a JSON object"),
    ({}, 422, "size: is required"),
    ({"prompt": "x"}, 422, "size: is required"),
    ({"size": "1:1"}, 422, "prompt: is required unless filesUrl has an image"),
    ({"size": "1:1", "prompt": "  \n"}, 422, "prompt: is required unless filesUrl has an image"),
    ({"size": "1:1", "prompt": None, "filesUrl": []}, 422, "prompt: is required unless filesUrl has an image"),
    ({"prompt": "x", "size": "16:9"}, 422, "size: must be one of 1:1, 3:2, 2:3"),
    ({"prompt": "x", "size": None}, 422, "size: must be one of 1:1, 3:2, 2:3"),
    ({"prompt": "x", "size": 1}, 422, "size: must be one of 1:1, 3:2, 2:3"),
    ({"prompt": "x" * 5001, "size": "1:1"}, 422, "prompt: at most 5000 characters, got 5001"),
    ({"prompt": 7, "size": "1:1"}, 422, "prompt: must be a string"),
    ({"prompt": ["x"], "size": "1:1"}, 422, "prompt: must be a string"),
    ({"prompt": "a\0b", "size": "1:1"}, 422, "prompt: must not contain NUL characters"),
    ({**BOAT, "nVariants": 3}, 422, "nVariants: must be one of 1, 2, 4"),
    ({**BOAT, "nVariants": 0}, 422, "nVariants: must be one of 1, 2, 4"),
    ({**BOAT, "nVariants": -1}, 422, "nVariants: must be one of 1, 2, 4"),
    ({**BOAT, "nVariants": "3"}, 422, "nVariants: must be one of 1, 2, 4"),
    ({**BOAT, "nVariants": 1.5}, 422, "nVariants: must be one of 1, 2, 4"),
    ({**BOAT, "nVariants": True}, 422, "nVariants: must be one of 1, 2, 4"),
    ({**BOAT, "nVariants": 10**30}, 422, "nVariants: must be one of 1, 2, 4"),
    ({**BOAT, "isEnhance": "yes"}, 422, "isEnhance: must be true or false"),
    ({**BOAT, "isEnhance": 1}, 422, "isEnhance: must be true or false"),
    ({**BOAT, "uploadCn": "false"}, 422, "uploadCn: must be true or false"),
    ({**BOAT, "enableFallback": []}, 422, "enableFallback: must be true or false"),
    ({**BOAT, "fallbackModel": "DALLE"}, 422, "fallbackModel: must be one of GPT_IMAGE_1, FLUX_MAX"),
    ({**BOAT, "filesUrl": "https://a.test/x.png"}, 422, "filesUrl: must be a list of strings"),
    ({**BOAT, "filesUrl": {"0": "x"}}, 422, "filesUrl: must be a list of strings"),
    ({**BOAT, "filesUrl": ["https://a.test/x.png", None]}, 422, "filesUrl[1]: must be a string"),
    ({**BOAT, "filesUrl": [3]}, 422, "filesUrl[0]: must be a string"),
    ({**BOAT, "filesUrl": ["https://a.test/x.png"] * 6}, 422, "filesUrl: at most 5 images, got 6"),
    ({**BOAT, "filesUrl": [""]}, 422, "filesUrl[0]: A URL has 1 to 8192 characters."),
    ({**BOAT, "filesUrl": ["x.png"]}, 422, "filesUrl[0]: A URL must begin with http:// or https://."),
    ({**BOAT, "fileUrl": "ftp://a.test/x"}, 422, "fileUrl: A URL must begin with http:// or https://."),
    ({**BOAT, "fileUrl": "file:///etc/passwd"}, 422, "fileUrl: A URL must begin with http:// or https://."),
    ({**BOAT, "fileUrl": "http://10.0.0.1/x"}, 422, "fileUrl: The host of the URL is not on the public internet."),
    ({**BOAT, "fileUrl": "http://me:pw@a.test/x"}, 422, "fileUrl: A URL must not carry a user name or a password."),
    ({**BOAT, "maskUrl": "https://a.test/x.png"}, 422, "maskUrl: needs an image in filesUrl to lie on"),
    ({**BOAT, "callBackUrl": 5}, 422, "callBackUrl: must be a string"),
    ({**BOAT, "callBackUrl": "nowhere"}, 422, "callBackUrl: A URL must begin with http:// or https://."),
    (
        {**BOAT, "callBackUrl": "http://169.254.169.254/latest"},
        422,
        "callBackUrl: The host of the URL is not on the public internet.",
    ),
]


@pytest.mark.parametrize(("body", "code", "msg"), REFUSED)
async def test_a_wrong_request_is_told_which_field_and_which_rule(desk: Desk, body: Any, code: int, msg: str) -> None:
    async with desk.untouched():
        answer = await desk.post(GENERATE, body)
    assert answer.status == 200
    assert answer.json == refused(code, msg)


# ---- record-info ----


async def test_the_record_of_a_waiting_task(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(work=False, now=ticker) as desk:
        raw = b'{ "prompt": "A paper boat",\n "size": "3:2", "nVariants": 2, "extra": [1, 2.50, "\xc3\xa9"] }'
        task_id = (await desk.raw(GENERATE, raw)).data["taskId"]
        ticker.advance(3)
        assert await desk.record(task_id) == {
            "taskId": task_id,
            "paramJson": '{"prompt":"A paper boat","size":"3:2","nVariants":2,"extra":[1,2.50,"é"]}',
            "completeTime": None,
            "response": None,
            "successFlag": 0,
            "status": "GENERATING",
            "errorCode": None,
            "errorMessage": None,
            "createTime": NOON_MS,
            "progress": "0.00",
        }


async def test_the_record_of_a_running_task_shows_what_its_provider_says(desk: Desk) -> None:
    go_on = asyncio.Event()
    desk.fake.script(accept(0.5, go_on))
    first = len(desk.fake.polls)
    task_id = await desk.submit()
    while len(desk.fake.polls) < first + 2:  # the second question comes after the first answer was written
        await desk.fake.polled.get()
    record = await desk.record(task_id)
    assert (record["successFlag"], record["status"], record["progress"]) == (0, "GENERATING", "0.50")
    assert (record["response"], record["completeTime"], record["errorCode"]) == (None, None, None)
    go_on.set()
    assert (await desk.ended(task_id))["progress"] == "1.00"


@pytest.mark.parametrize(("after", "progress"), [(0, "0.00"), (20, "0.60"), (86_400, "0.95")])
async def test_progress_moves_where_a_provider_says_nothing(
    open_desk: OpenDesk, ticker: Ticker, after: int, progress: str
) -> None:
    async with open_desk(now=ticker, task_deadline="7d") as desk:
        go_on = asyncio.Event()
        desk.fake.script(accept(go_on))
        task_id = await desk.submit()
        await desk.fake.polled.get()
        ticker.advance(after)
        assert (await desk.record(task_id))["progress"] == progress
        go_on.set()
        await desk.ended(task_id)


async def test_the_record_of_a_task_that_succeeded(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(now=ticker) as desk:
        go_on = asyncio.Event()
        desk.fake.script(accept(go_on, files=2))
        task_id = await desk.submit({**BOAT, "nVariants": 2})
        await desk.fake.polled.get()
        ticker.advance(timedelta(seconds=65))
        go_on.set()
        record = await desk.ended(task_id)
        urls = record["response"]["resultUrls"]
        token = r"[A-Za-z0-9_-]{22}"
        for index, url in enumerate(urls):
            assert re.fullmatch(rf"{re.escape(desk.gateway.base_url)}/files/{token}/s/{task_id}-1-1_{index}\.png", url)
        assert record == {
            "taskId": task_id,
            "paramJson": '{"prompt":"A paper boat","size":"1:1","nVariants":2}',
            "completeTime": NOON_MS + 65_000,
            "response": {"resultUrls": urls, "result_urls": urls},
            "successFlag": 1,
            "status": "SUCCESS",
            "errorCode": None,
            "errorMessage": "",
            "createTime": NOON_MS,
            "progress": "1.00",
        }


FLAGGED = "Your content was flagged by OpenAI as violating content policies"
VERDICTS: list[tuple[ProviderError, int, str]] = [
    (Failed(FLAGGED, reason=Reason.CONTENT), 400, "GENERATE_FAILED"),
    (Rejected(FLAGGED, reason=Reason.CONTENT), 400, "GENERATE_FAILED"),
    (Failed("We couldn't process it", reason=Reason.INPUT_INVALID), 400, "CREATE_TASK_FAILED"),
    (Rejected("We couldn't process it", reason=Reason.INPUT_INVALID), 400, "CREATE_TASK_FAILED"),
    (Failed("Unable to download it", reason=Reason.INPUT_UNREACHABLE), 451, "CREATE_TASK_FAILED"),
    (Failed("Failed to generate image"), 500, "GENERATE_FAILED"),
    (Rejected("Failed to generate image"), 500, "GENERATE_FAILED"),
    (Rejected("Busy", reason=Reason.UNAVAILABLE), 500, "CREATE_TASK_FAILED"),
    (Failed("Nobody knows", reason=Reason.UNKNOWN), 500, "GENERATE_FAILED"),
    (Failed("Too late", reason=Reason.DEADLINE), 500, "GENERATE_FAILED"),
    (Failed("Not stored", reason=Reason.STORAGE), 500, "GENERATE_FAILED"),
    (Failed("Stopped", reason=Reason.CANCELED), 499, "GENERATE_FAILED"),
]


@pytest.mark.parametrize(("verdict", "code", "status"), VERDICTS)
async def test_a_failure_shows_its_code_and_reason_on_record_and_callback(
    desk: Desk, hook: Receiver, verdict: ProviderError, code: int, status: str
) -> None:
    act = accept(0.25, failure=verdict) if isinstance(verdict, Failed) else refuse(verdict)
    desk.fake.script(act)
    task_id = await desk.submit({**BOAT, "callBackUrl": f"{hook.url}/4o"})
    record = await desk.ended(task_id)
    progress = "0.25" if isinstance(verdict, Failed) else "0.00"
    # What cannot be fetched is told in the recorded words, whatever the provider says.
    said = "Unable to download image from the provided filesUrl" if code == 451 else str(verdict)
    assert record["completeTime"] >= record["createTime"]
    del record["completeTime"], record["createTime"]
    assert record == {
        "taskId": task_id,
        "paramJson": json.dumps({**BOAT, "callBackUrl": f"{hook.url}/4o"}, separators=(",", ":")),
        "response": None,
        "successFlag": 2,
        "status": status,
        "errorCode": code,
        "errorMessage": said,
        "progress": progress,
    }
    assert await desk.credits() == 1000
    told = await hook.next()
    promises.images().check_callback(GENERATE, told.body)
    assert json.loads(told.body) == {
        "code": code,
        "msg": said,
        "data": {"taskId": task_id, "task_id": task_id, "info": None},
    }


async def test_a_canceled_task_is_code_499_on_record_and_callback(open_desk: OpenDesk, hook: Receiver) -> None:
    async with open_desk() as desk:
        go_on = asyncio.Event()
        desk.fake.script(accept(go_on))
        task_id = await desk.submit({**BOAT, "callBackUrl": hook.url})
        await desk.fake.polled.get()
        assert (await desk.ask("POST", f"/v1/tasks/{task_id}/cancel")).status == 200
        record = await desk.record(task_id)
        assert (record["successFlag"], record["errorCode"], record["status"]) == (2, 499, "GENERATE_FAILED")
        told = await hook.next()
        promises.images().check_callback(GENERATE, told.body)
        assert json.loads(told.body)["code"] == 499
        assert json.loads(told.body)["msg"] == record["errorMessage"]
        assert await desk.credits() == 1000
        go_on.set()


async def test_a_task_canceled_before_it_began_was_never_created(open_desk: OpenDesk) -> None:
    async with open_desk(work=False) as desk:
        task_id = await desk.submit()
        await desk.ask("POST", f"/v1/tasks/{task_id}/cancel")
        record = await desk.record(task_id)
        assert (record["successFlag"], record["errorCode"], record["status"]) == (2, 499, "CREATE_TASK_FAILED")


INPUTS: list[tuple[bytes, int, int, str]] = [
    (b"", 404, 451, "Unable to download image from the provided filesUrl"),
    (b"", 200, 400, "We couldn't process the provided image file (code=invalid_image_format)"),
    (b"<html>a page</html>", 200, 400, "We couldn't process the provided image file (code=invalid_image_format)"),
    (b"\x89PNG\r\n\x1a\ncut", 200, 400, "We couldn't process the provided image file (code=invalid_image_format)"),
]


@pytest.mark.parametrize(("body", "status", "code", "msg"), INPUTS)
async def test_an_unusable_input_fails_the_task_before_a_provider_hears_of_it(
    desk: Desk, files: Host, body: bytes, status: int, code: int, msg: str
) -> None:
    url = files.put("bad.png", body, status=status)
    task_id = await desk.submit({**BOAT, "filesUrl": [url]})
    record = await desk.ended(task_id)
    assert (record["errorCode"], record["errorMessage"], record["status"]) == (code, msg, "CREATE_TASK_FAILED")
    assert all(job.task_id != task_id for job in desk.fake.submissions)
    assert await desk.credits() == 1000


async def test_a_mask_of_another_size_fails_the_task(desk: Desk, files: Host) -> None:
    mask = files.put("small.png", png(8, 16))
    task_id = await desk.submit({**BOAT, "filesUrl": [f"{files.url}/0.png"], "maskUrl": mask})
    record = await desk.ended(task_id)
    assert (record["errorCode"], record["status"]) == (400, "CREATE_TASK_FAILED")
    assert record["errorMessage"] == "maskUrl: the mask has to be of the image's size, 16x16 pixels; it is 8x16"
    assert await desk.credits() == 1000


async def test_an_id_is_good_with_and_without_the_prefix_of_the_samples(desk: Desk) -> None:
    task_id, url = await desk.made()
    assert await desk.record(f"task_4o_{task_id}") == await desk.record(task_id)
    answer = await desk.post(DOWNLOAD, {"taskId": f"task_4o_{task_id}", "url": url})
    assert answer.code == 200


@pytest.mark.parametrize(
    ("query", "msg"),
    [
        ("", "taskId: is required"),
        ("?taskId=", "taskId: is required"),
        ("?taskId=%20", "taskId: is required"),
        ("?taskId=&taskId=", "taskId: is required"),
        ("?taskId=a&taskId=b", "taskId: has to be given once"),
        ("?task_id=a", "taskId: is required"),
        (f"?taskId={UNKNOWN}", "The record does not exist"),
        (f"?taskId={UNKNOWN.upper()}", "The record does not exist"),
        ("?taskId=task_4o_", "The record does not exist"),
        ("?taskId=%00", "The record does not exist"),
        ("?taskId=%ff%fe", "The record does not exist"),
        ("?taskId=%ED%A0%80", "The record does not exist"),
        ("?taskId='%20OR%201=1", "The record does not exist"),
        ("?taskId=" + "9" * 5000, "The record does not exist"),
    ],
)
async def test_a_question_for_no_task_of_ours_is_code_422(desk: Desk, query: str, msg: str) -> None:
    from yarl import URL

    url = URL(f"{desk.gateway.base_url}{RECORD}{query}", encoded=True)
    headers = {"Authorization": f"Bearer {desk.keys['test']}"}
    async with desk.gateway.http.get(url, headers=headers) as response:
        body = await response.read()
    assert response.status == 200
    promises.images().check("GET", RECORD, 200, response.headers["Content-Type"], body)
    assert json.loads(body) == refused(422, msg)


async def test_another_accounts_task_is_as_unknown_as_one_that_never_was(desk: Desk) -> None:
    task_id, url = await desk.made()
    other = await desk.neighbour()
    stranger = await other.get(RECORD, taskId=task_id)
    assert stranger.body == (await other.get(RECORD, taskId=UNKNOWN)).body
    linked = await other.post(DOWNLOAD, {"taskId": task_id, "url": url})
    assert linked.body == (await other.post(DOWNLOAD, {"taskId": UNKNOWN, "url": url})).body
    # The other mode of the same account sees it no more than a stranger does.
    assert (await desk.ask("GET", RECORD, key="live", params={"taskId": task_id})).body == stranger.body


# ---- callbacks ----


async def test_the_callback_of_a_task_that_succeeded(desk: Desk, hook: Receiver) -> None:
    task_id = await desk.submit({**BOAT, "callBackUrl": f"{hook.url}/hooks/4o?tenant=7"})
    record = await desk.ended(task_id)
    told = await hook.next()
    assert (told.method, told.path) == ("POST", "/hooks/4o?tenant=7")
    assert told.headers["Content-Type"] == "application/json"
    promises.images().check_callback(GENERATE, told.body)
    assert json.loads(told.body) == {
        "code": 200,
        "msg": "success",
        "data": {
            "taskId": task_id,
            "task_id": task_id,
            "info": {"result_urls": record["response"]["resultUrls"]},
        },
    }


# ---- download-url ----


async def test_a_result_url_becomes_a_presigned_one(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(now=ticker) as desk:
        task_id, url = await desk.made()
        answer = await desk.post(DOWNLOAD, {"taskId": task_id, "url": url})
        assert answer.json.keys() == {"code", "msg", "data"}
        link, _, signature = answer.data.rpartition("=")
        assert re.fullmatch(r"[0-9a-f]{64}", signature)
        assert link == (
            f"{desk.gateway.base_url}/tessera/s/{task_id}-1-1_0.png?X-Amz-Algorithm=AWS4-HMAC-SHA256"
            "&X-Amz-Date=20261122T120000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=1200"
            "&X-Amz-Credential=TESSERA%2F20261122%2Flocal%2Fs3%2Faws4_request&X-Amz-Signature"
        )
        assert (await desk.fetch(answer.data)).body == (await desk.fetch(url)).body


@pytest.mark.parametrize("form", ["taskId and url", "url alone", "imageUrl", "url without its query", "nulls"])
async def test_every_known_form_of_the_question_is_answered(desk: Desk, form: str) -> None:
    task_id, url = await desk.made()
    body = {
        "taskId and url": {"taskId": task_id, "url": url},
        "url alone": {"url": url},
        "imageUrl": {"imageUrl": url},
        "url without its query": {"taskId": task_id, "url": f"{url}?v=2#top"},
        "nulls": {"taskId": None, "url": None, "imageUrl": url, "extra": {}},
    }[form]
    answer = await desk.post(DOWNLOAD, body)
    assert answer.code == 200
    assert urlsplit(answer.data).path.endswith(f"/s/{task_id}-1-1_0.png")


async def test_a_link_needs_a_task_that_has_succeeded(desk: Desk) -> None:
    _, url = await desk.made()
    go_on = asyncio.Event()
    desk.fake.script(accept(go_on), accept(failure=Failed("Failed to generate image")))
    running, failed = await desk.submit(), None
    try:
        failed = await desk.submit()
        await desk.ended(failed)
        for task_id in (running, failed):
            answer = await desk.post(DOWNLOAD, {"taskId": task_id, "url": url})
            assert answer.json == refused(422, "record status is not success")
    finally:
        go_on.set()
    await desk.ended(running)


async def test_a_link_needs_a_task_of_the_last_14_days(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(now=ticker) as desk:
        task_id, url = await desk.made()
        ticker.advance(timedelta(days=14))
        assert (await desk.post(DOWNLOAD, {"taskId": task_id, "url": url})).code == 200
        ticker.advance(1)
        for body in ({"taskId": task_id, "url": url}, {"url": url}):
            answer = await desk.post(DOWNLOAD, body)
            assert answer.json == refused(422, "Temporarily supports records within 14 days")
        await desk.house.retention.sweep()
        for body in ({"taskId": task_id, "url": url}, {"url": url}):
            answer = await desk.post(DOWNLOAD, body)
            assert answer.json == refused(422, "Temporarily supports records within 14 days")
        assert (await desk.fetch(url)).status == 410


async def test_a_link_needs_a_result_of_that_very_task(desk: Desk) -> None:
    first, first_url = await desk.made()
    _, second_url = await desk.made()
    upload = await desk.post("/api/file-base64-upload", {"base64Data": "SGVsbG8=", "uploadPath": "a"})
    token = first_url.split("/files/")[1].split("/")[0]
    wrong = [
        second_url,
        "https://files.example.org/s/0f3c9a7b_0.png",
        first_url.replace(token, token[::-1]),
        first_url.replace(".png", ".jpg"),
        first_url.replace("http://", "https://"),
        upload.json["data"]["downloadUrl"],
        "nonsense",
    ]
    for url in wrong:
        answer = await desk.post(DOWNLOAD, {"taskId": first, "url": url})
        assert answer.json == refused(422, "record result data not exist"), url


@pytest.mark.parametrize(
    ("body", "msg"),
    [
        ({"taskId": UNKNOWN, "url": "https://files.example.org/x.png"}, "record is null"),
        ({"taskId": "\0", "url": "https://files.example.org/x.png"}, "record is null"),
        ({"taskId": "\ud7ff" * 9, "url": "https://files.example.org/x.png"}, "record is null"),
        ({"url": "https://files.example.org/x.png"}, "record is null"),
        ({"taskId": UNKNOWN}, "url: is required"),
        ({"taskId": UNKNOWN, "url": ""}, "url: is required"),
        ({}, "url: is required"),
        ({"taskId": 5, "url": "x"}, "taskId: must be a string"),
        ({"taskId": UNKNOWN, "url": ["x"]}, "url: must be a string"),
        ([], "The request body must be a JSON object"),
    ],
)
async def test_a_wrong_question_for_a_link_is_code_422(desk: Desk, body: Any, msg: str) -> None:
    answer = await desk.post(DOWNLOAD, body)
    assert answer.status == 200
    assert answer.json == refused(422, msg)


async def test_a_question_that_is_no_json_is_code_422_too(desk: Desk) -> None:
    answer = await desk.raw(DOWNLOAD, b"url=http://x")
    assert answer.json == refused(422, "The request body is not valid JSON: invalid character (byte 0)")

"""The main job over HTTP, from the first call to the file on the caller's disk; only the artist is simulated."""

import asyncio
import base64
import hashlib
import hmac
import io
import json
from collections import Counter
from typing import Any

import aiohttp
import pytest
from PIL import Image, ImageChops, ImageDraw
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tessera.testing.gateway import Gateway
from tessera.testing.servers import Received, Receiver

GENERATE = "/api/v1/gpt4o-image/generate"
RECORD = "/api/v1/gpt4o-image/record-info"
DOWNLOAD = "/api/v1/gpt4o-image/download-url"


async def fetch(gateway: Gateway, url: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with gateway.http.request(method, url, headers=named) as response:
        return response.status, response.headers, await response.read()


async def created(gateway: Gateway, receiver: Receiver, **body: object) -> str:
    answer = await gateway.post(GENERATE, {"size": "1:1", "callBackUrl": f"{receiver.url}/hook", **body})
    assert answer["code"] == 200, answer
    return str(answer["data"]["taskId"])


async def record(gateway: Gateway, task_id: str) -> Any:
    return (await gateway.get(RECORD, taskId=task_id))["data"]


def kie_signature(secret: str, task_id: str, timestamp: str) -> str:
    """As a receiver would write it from the public guide."""
    mac = hmac.new(secret.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def hold_signatures(secret: str, told: Received) -> None:
    """Both signatures are right, and neither is right for anything else."""
    body = json.loads(told.body)
    timestamp = told.headers["X-Webhook-Timestamp"]
    for field in ("taskId", "task_id"):
        assert told.headers["X-Webhook-Signature"] == kie_signature(secret, body["data"][field], timestamp)
    standard = {name: told.headers[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    assert Webhook(secret).verify(told.body, standard) == body
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(told.body.replace(b'"code"', b'"Code"'), standard)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(told.body, {**standard, "webhook-id": "msg_other"})
    assert told.headers["X-Webhook-Signature"] != kie_signature(secret, body["data"]["taskId"], "1")


async def test_a_picture_is_asked_for_told_linked_and_fetched(gateway: Gateway, receiver: Receiver) -> None:
    credits = (await gateway.get("/api/v1/chat/credit"))["data"]
    task_id = await created(gateway, receiver, prompt="A paper boat on a calm pond at dawn", size="3:2", nVariants=2)

    told = await receiver.next()
    hold_signatures(gateway.webhook_secret, told)
    body = json.loads(told.body)
    assert (body["code"], body["msg"], body["data"]["taskId"]) == (200, "success", task_id)
    done = await record(gateway, task_id)
    assert done["status"] == "SUCCESS"
    urls = done["response"]["resultUrls"]
    assert urls == body["data"]["info"]["result_urls"]
    assert len(set(urls)) == 2
    assert (await gateway.get("/api/v1/chat/credit"))["data"] == credits - 20

    hashes = set()
    for url in urls:
        link = (await gateway.post(DOWNLOAD, {"taskId": task_id, "url": url}))["data"]
        hashes.add(await hold_download(gateway, link, as_attachment=True))
        assert await hold_download(gateway, url, as_attachment=False) in hashes
    assert len(hashes) == 2


async def hold_download(gateway: Gateway, url: str, *, as_attachment: bool) -> str:
    """The file is a picture of the asked size, whole and in parts; answers its SHA-256."""
    status, headers, whole = await fetch(gateway, url)
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers.get("Content-Disposition", "").startswith("attachment") == as_attachment
    sha256 = hashlib.sha256(whole).hexdigest()
    assert headers["ETag"] == f'"{sha256}"'
    assert headers["Content-Type"] == "image/png"
    with Image.open(io.BytesIO(whole)) as picture:
        assert picture.width * 2 == picture.height * 3
        picture.load()

    half = len(whole) // 2
    status, first_headers, first = await fetch(gateway, url, Range=f"bytes=0-{half - 1}")
    assert (status, len(first)) == (206, half)
    status, _, rest = await fetch(gateway, url, Range=f"bytes={half}-", If_Range=first_headers["ETag"])
    assert (status, first + rest == whole) == (206, True)

    for condition in ({"If_None_Match": headers["ETag"]}, {"If_Modified_Since": headers["Last-Modified"]}):
        status, _, nothing = await fetch(gateway, url, **condition)
        assert (status, nothing) == (304, b"")
    status, head, nothing = await fetch(gateway, url, "HEAD")
    assert (status, nothing) == (200, b"")
    assert (head["Content-Length"], head["ETag"]) == (str(len(whole)), headers["ETag"])
    return sha256


async def test_the_same_request_makes_the_same_picture(gateway: Gateway, receiver: Receiver) -> None:
    etags = []
    for prompt in ("A lighthouse in heavy rain", "A lighthouse in heavy rain", "A lighthouse in light rain"):
        await created(gateway, receiver, prompt=prompt)
        (url,) = json.loads((await receiver.next()).body)["data"]["info"]["result_urls"]
        etags.append((await fetch(gateway, url, "HEAD"))[1]["ETag"])
    assert etags[0] == etags[1] != etags[2]


# ---- edits ----


def room() -> Image.Image:
    """A picture with something everywhere."""
    picture = Image.linear_gradient("L").resize((1024, 1024)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for step in range(0, 1024, 64):
        draw.line((step, 0, 1023 - step, 1023), fill=(step // 4, 80, 200), width=5)
    return picture


BOX = (300, 300, 700, 620)


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


async def uploaded(gateway: Gateway, name: str, data: bytes) -> str:
    form = aiohttp.FormData({"uploadPath": "rooms", "fileName": name})
    form.add_field("file", data, filename=name)
    headers = {"Authorization": f"Bearer {gateway.test_key}"}
    async with gateway.http.post(f"{gateway.base_url}/api/file-stream-upload", data=form, headers=headers) as response:
        answer = await response.json()
    assert answer["success"], answer
    return str(answer["data"]["downloadUrl"])


async def result(gateway: Gateway, receiver: Receiver) -> Image.Image:
    told = json.loads((await receiver.next()).body)
    assert told["code"] == 200, told
    return Image.open(io.BytesIO((await fetch(gateway, told["data"]["info"]["result_urls"][0]))[2])).convert("RGB")


async def test_an_edit_works_on_the_picture_that_was_uploaded(gateway: Gateway, receiver: Receiver) -> None:
    source = room()
    url = await uploaded(gateway, "room.png", png(source))
    await created(gateway, receiver, prompt="Paint the room green", filesUrl=[url])
    edited = await result(gateway, receiver)
    await created(gateway, receiver, prompt="Paint the room green")
    drawn = await result(gateway, receiver)
    assert edited.size == drawn.size == source.size
    assert ImageChops.difference(edited, source).getbbox() is not None
    assert distance(edited, source) < distance(drawn, source)  # it is still that room


def distance(one: Image.Image, other: Image.Image) -> float:
    """How far two pictures are apart in what is light and what is dark, seen from afar."""
    small = [picture.convert("L").resize((16, 16)) for picture in (one, other)]
    return sum(abs(a - b) for a, b in zip(small[0].tobytes(), small[1].tobytes(), strict=True)) / 256


async def test_a_mask_keeps_everything_outside_of_it(gateway: Gateway, receiver: Receiver) -> None:
    source = room()
    mask = Image.new("L", source.size, 255)
    mask.paste(0, BOX)
    urls = [await uploaded(gateway, "room.png", png(source)), await uploaded(gateway, "mask.png", png(mask))]
    await created(gateway, receiver, prompt="Put a blue armchair there", filesUrl=urls[:1], maskUrl=urls[1])
    edited = await result(gateway, receiver)
    changed = ImageChops.difference(edited, source).getbbox()
    assert changed is not None
    assert BOX[0] <= changed[0] < changed[2] <= BOX[2]
    assert BOX[1] <= changed[1] < changed[3] <= BOX[3]


# ---- what a developer provokes ----

FLAGGED = "Your content was flagged by OpenAI as violating content policies"
UNREACHABLE = "Unable to download image from the provided filesUrl"


@pytest.mark.parametrize(
    ("directive", "code", "message", "status"),
    [
        ("fail=400", 400, FLAGGED, "GENERATE_FAILED"),
        ("fail=451", 451, UNREACHABLE, "CREATE_TASK_FAILED"),
        ("fail=500", 500, "Failed to generate image", "GENERATE_FAILED"),
    ],
)
async def test_a_failure_on_demand_ends_as_documented(
    gateway: Gateway, receiver: Receiver, directive: str, code: int, message: str, status: str
) -> None:
    credits = (await gateway.get("/api/v1/chat/credit"))["data"]
    task_id = await created(gateway, receiver, prompt=f"A boat [sandbox: {directive}]")
    told = await receiver.next()
    hold_signatures(gateway.webhook_secret, told)
    assert json.loads(told.body) == {
        "code": code,
        "msg": message,
        "data": {"taskId": task_id, "task_id": task_id, "info": None},
    }
    failed = await record(gateway, task_id)
    assert (failed["errorCode"], failed["errorMessage"], failed["status"]) == (code, message, status)
    assert (failed["successFlag"], failed["response"]) == (2, None)
    assert (await gateway.get("/api/v1/chat/credit"))["data"] == credits


async def test_a_callback_on_demand_comes_twice(gateway: Gateway, receiver: Receiver) -> None:
    task_id = await created(gateway, receiver, prompt="A boat [sandbox: callback=twice]")
    first, second = await receiver.next(), await receiver.next()
    for told in (first, second):
        hold_signatures(gateway.webhook_secret, told)
        assert json.loads(told.body)["data"]["taskId"] == task_id
    assert first.body == second.body
    assert first.headers["webhook-id"] != second.headers["webhook-id"]


async def test_a_delay_on_demand_is_seen_on_the_record(gateway: Gateway, receiver: Receiver) -> None:
    task_id = await created(gateway, receiver, prompt="A boat [sandbox: delay=700ms]")
    assert (await record(gateway, task_id))["status"] == "GENERATING"
    await receiver.next()
    done = await record(gateway, task_id)
    assert done["status"] == "SUCCESS"
    assert done["completeTime"] - done["createTime"] >= 700


async def test_a_callback_that_is_not_taken_is_sent_again(gateway: Gateway, receiver: Receiver) -> None:
    receiver.script(500, 503)
    task_id = await created(gateway, receiver, prompt="A boat")
    tries = [await receiver.next() for _ in range(3)]
    assert len({told.headers["webhook-id"] for told in tries}) == 1  # by this a receiver knows it for the same
    assert len({told.body for told in tries}) == 1
    for told in tries:
        hold_signatures(gateway.webhook_secret, told)
        assert json.loads(told.body)["data"]["taskId"] == task_id


# ---- once is once ----


async def test_the_same_key_to_replay_is_one_task_however_many_ask(gateway: Gateway, receiver: Receiver) -> None:
    credits = (await gateway.get("/api/v1/chat/credit"))["data"]
    body = {"prompt": "A boat", "size": "1:1", "callBackUrl": receiver.url}
    headers = {"Authorization": f"Bearer {gateway.test_key}", "Idempotency-Key": "order-7 / boat"}

    async def ask(sent: dict[str, str]) -> tuple[str | None, Any]:
        async with gateway.http.post(gateway.base_url + GENERATE, json=sent, headers=headers) as response:
            assert response.status == 200
            return response.headers.get("Idempotency-Replayed"), await response.json()

    answers = await asyncio.gather(*(ask(body) for _ in range(20)))
    assert Counter(flag for flag, _ in answers) == {None: 1, "true": 19}
    (task_id,) = {answer["data"]["taskId"] for _, answer in answers}
    assert json.loads((await receiver.next()).body)["data"]["taskId"] == task_id
    assert await ask(body) == ("true", {"code": 200, "msg": "success", "data": {"taskId": task_id}})
    flag, other = await ask({**body, "prompt": "A ship"})
    assert (flag, other["code"], other["data"]) == (None, 422, None)
    assert other["msg"] == "Idempotency-Key: was used with another request; send a new key for a new request"
    assert (await gateway.get("/api/v1/chat/credit"))["data"] == credits - 10
    assert receiver.inbox.empty

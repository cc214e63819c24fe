"""Veo, Runway, Aleph and Luma on the wire: what is sent, what comes back, in every state."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import yaml
from tests.unit import lengths
from tests.wire.conftest import OpenDesk, served
from tests.wire.desk import BASE64, Answer, Desk
from tests.wire.promises import FOLDER, Contract

from tessera.domain.errors import Failed
from tessera.domain.task import Reason, VideoRequest
from tessera.kit.ids import part
from tessera.providers.base import Done, Job, LocalFile
from tessera.providers.fake import Booked, Fake, accept, png
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway
from tessera.testing.servers import Host, Receiver, hosting, receiving
from tessera.testing.ticker import Ticker

pytestmark = pytest.mark.asyncio(loop_scope="module")

VEO, HD, UHD = "/api/v1/veo/generate", "/api/v1/veo/get-1080p-video", "/api/v1/veo/get-4k-video"
LONGER = "/api/v1/veo/extend"
RUNWAY, RUNWAY_LONGER = "/api/v1/runway/generate", "/api/v1/runway/extend"
ALEPH, LUMA = "/api/v1/aleph/generate", "/api/v1/modify/generate"
RECORDS = {
    VEO: "/api/v1/veo/record-info",
    LONGER: "/api/v1/veo/record-info",
    UHD: "/api/v1/veo/record-info",
    RUNWAY: "/api/v1/runway/record-detail",
    RUNWAY_LONGER: "/api/v1/runway/record-detail",
    ALEPH: "/api/v1/aleph/record-info",
    LUMA: "/api/v1/modify/record-info",
}
"""Where to ask for what was made at a path."""

ELSEWHERE = "https://client.example.net"
UNKNOWN = "0193a9c4be217c55a1b2c3d4e5f60718"
OPERATIONS = frozenset({"video.generate", "video.extend", "video.modify", "video.upscale"})


def film(*words: object) -> bytes:
    """What begins as a film, different for different words."""
    return b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + hashlib.sha256(repr(words).encode()).digest()


class Studio(Fake):
    """A fake that makes films: of an extension the new piece and the whole, and a cover where one is wanted."""

    def __init__(self) -> None:
        super().__init__("sandbox", models={"*": "fake-film"}, idempotent=True, operations=OPERATIONS)

    async def _end(self, booked: Booked, job: Job) -> Done:
        if booked.act.failure is not None or booked.act.outputs is not None:
            return await super()._end(booked, job)
        assert isinstance(job.request, VideoRequest)
        names = ["piece.mp4", "whole.mp4"] if job.operation == "video.extend" else ["film.mp4"]
        for name in names:
            (job.workdir / name).write_bytes(film(name, job.request))
        if job.request.cover:
            (job.workdir / "cover.png").write_bytes(png(16, 9))
            names.append("cover.png")
        return Done(outputs=tuple(LocalFile(path=job.workdir / name) for name in names))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def common(postgres: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, Fake]]:
    """The gateway of this file, and the studio behind it."""
    studio = Studio()
    async with served(postgres, tmp_path_factory.mktemp("video"), provided={"sandbox": studio}) as (gateway, _):
        yield gateway, studio


@pytest_asyncio.fixture(loop_scope="module")
async def files() -> AsyncIterator[Host]:
    """A host that has every input of the reference's examples."""
    async with hosting() as host:
        for name in ("open.png", "closed.png", "a.jpg", "b.jpg", "board.jpg", "curtain.png", "style.jpg"):
            host.put(f"in/{name}", png(16, 9))
        for name in ("street.mp4", "parking.mp4"):
            host.put(f"in/{name}", film(name), media_type="video/mp4")
        yield host


@pytest_asyncio.fixture(loop_scope="module")
async def hook() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@cache
def document() -> Any:
    return yaml.safe_load((FOLDER / "video.yaml").read_text())


@cache
def promised() -> Contract:
    return Contract(document())


def held(method: str, path: str, answer: Answer) -> Answer:
    """The answer, once it was held against the contract."""
    promised().check(method, path, answer.status, answer.headers.get("Content-Type", ""), answer.body)
    return answer


async def post(desk: Desk, path: str, body: object, **more: Any) -> Answer:
    return held("POST", path, await desk.post(path, body, **more))


async def get(desk: Desk, path: str, **params: str) -> Answer:
    return held("GET", path, await desk.get(path, **params))


async def submit(desk: Desk, path: str, body: Mapping[str, object]) -> str:
    answer = await post(desk, path, body)
    assert answer.code == 200, answer
    return str(answer.data["taskId"])


async def record(desk: Desk, path: str, task_id: str) -> Any:
    answer = await get(desk, RECORDS[path], taskId=task_id)
    assert answer.code == 200, answer
    return answer.data


async def ended(desk: Desk, path: str, task_id: str) -> Any:
    """The record of a task once it is over."""
    while not (await desk.task(task_id)).state.terminal:
        await desk._finished.next()
    return await record(desk, path, task_id)


async def called(desk: Desk, which: Callable[[Job], bool]) -> Job:
    """The job, once it has come to the studio."""
    while not which(job := await desk.fake.called.get()):
        pass
    return job


async def told(hook: Receiver, path: str) -> Any:
    body = (await hook.next()).body
    promised().check_callback(path, body)
    return json.loads(body)


async def text(desk: Desk, url: str) -> bytes:
    """A file by its link."""
    answer = await desk.fetch(url)
    assert answer.status == 200, answer
    return answer.body


def refused(code: int, msg: str) -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": None}


BOAT: dict[str, object] = {"prompt": "A paper boat"}
TRAM: dict[str, object] = {"prompt": "A tram", "duration": 5, "quality": "720p", "aspectRatio": "16:9"}


def simple(path: str, files: Host) -> dict[str, object]:
    """A small good body."""
    video = f"{files.url}/in/street.mp4"
    bodies: dict[str, dict[str, object]] = {VEO: BOAT, RUNWAY: TRAM}
    return bodies.get(path, {"prompt": "Paint it", "videoUrl": video})


# ---- the examples of the reference ----


def examples() -> list[tuple[str, str]]:
    bodies = {path: item["post"]["requestBody"] for path, item in document()["paths"].items() if "post" in item}
    return [(path, name) for path, body in bodies.items() for name in body["content"]["application/json"]["examples"]]


async def test_every_operation_that_creates_has_an_example() -> None:
    assert {path for path, _ in examples()} == set(RECORDS)


@pytest.mark.parametrize(("path", "name"), examples())
async def test_every_example_of_the_reference_is_understood_made_shown_and_told(
    desk: Desk, files: Host, hook: Receiver, path: str, name: str
) -> None:
    content = document()["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    raw = json.dumps(content["examples"][name]["value"])
    body = json.loads(raw.replace(f"{ELSEWHERE}/in/", f"{files.url}/in/").replace(ELSEWHERE, hook.url))
    if "taskId" in body:
        origin = RUNWAY if path == RUNWAY_LONGER else VEO
        base = await submit(desk, origin, simple(origin, files))
        await ended(desk, origin, base)
        body["taskId"] = f"veo_task_{base}" if origin == VEO else base
    body.setdefault("callBackUrl", hook.url)
    before = await desk.credits()
    answer = await post(desk, path, body)
    assert (answer.code, answer.msg) == (200, "success")
    assert re.fullmatch(r"[0-9a-f]{32}", answer.data["taskId"])
    shown = await ended(desk, path, answer.data["taskId"])
    assert (shown.get("successFlag", 1), shown.get("state", "success")) == (1, "success"), shown
    said = await told(hook, path)
    assert (said["code"], answer.data["taskId"] in json.dumps(said)) == (200, True)
    task = await desk.task(answer.data["taskId"])
    assert await desk.credits() == before - task.price / 1000 < before


# ---- every family, in every state ----

CREATING = [VEO, RUNWAY, ALEPH, LUMA]


def flags(path: str, shown: Any) -> tuple[Any, ...]:
    """What tells a client how a task stands: state or flag, code, message."""
    if path == RUNWAY:
        return shown["state"], shown["failCode"], shown["failMsg"]
    return shown["successFlag"], shown["errorCode"], shown["errorMessage"]


STANDS: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    VEO: ((0, None, None), (3, 501, "The film was torn")),
    RUNWAY: (("generating", None, ""), ("fail", 500, "The film was torn")),
    ALEPH: ((0, 0, ""), (0, 500, "The film was torn")),
    LUMA: ((0, None, None), (3, 501, "The film was torn")),
}
"""While a task runs, and when it has failed."""


@pytest.mark.parametrize("path", CREATING)
async def test_a_running_task_and_one_that_failed_are_shown_and_told(
    desk: Desk, files: Host, hook: Receiver, path: str
) -> None:
    go_on = asyncio.Event()
    desk.fake.script(accept(go_on, failure=Failed("The film was torn")))
    task_id = await submit(desk, path, {**simple(path, files), "callBackUrl": hook.url})
    await called(desk, lambda job: job.task_id == task_id)
    running, failed = STANDS[path]
    assert flags(path, await record(desk, path, task_id)) == running
    go_on.set()
    assert flags(path, await ended(desk, path, task_id)) == failed
    said = await told(hook, path)
    assert said["code"] == {VEO: 501}.get(path, 500)
    assert said["msg"] == ("Modify record generation failed." if path == LUMA else "The film was torn")
    assert "http" not in json.dumps(said["data"]) or path == LUMA  # whose request has a URL
    assert await desk.credits() == 1000


@pytest.mark.parametrize("path", CREATING)
async def test_a_refused_content_has_a_code_and_words_that_clients_know(
    desk: Desk, files: Host, hook: Receiver, path: str
) -> None:
    desk.fake.script(accept(failure=Failed("No", reason=Reason.CONTENT)))
    task_id = await submit(desk, path, {**simple(path, files), "callBackUrl": hook.url})
    _, code, words = flags(path, await ended(desk, path, task_id))
    known = {VEO: "violating content policies", RUNWAY: "inappropriate content", ALEPH: "AI moderator", LUMA: "No"}
    assert (code, known[path] in words) == (400, True)
    assert (await told(hook, path))["code"] == (500 if path == LUMA else 400)


@pytest.mark.parametrize("path", CREATING)
async def test_a_canceled_task_is_code_499_on_record_and_callback(
    open_desk: OpenDesk, files: Host, hook: Receiver, path: str
) -> None:
    async with open_desk(work=False, provided={"sandbox": Studio()}) as desk:
        task_id = await submit(desk, path, {**simple(path, files), "callBackUrl": hook.url})
        assert (await desk.ask("POST", f"/v1/tasks/{task_id}/cancel")).status == 200
        _, code, words = flags(path, await record(desk, path, task_id))
        assert (code, bool(words)) == (499, True)
        task = await desk.task(task_id)
        body = msgspec.json.encode(desk.house.families[task.family].callback(task, desk.house.link))
        promised().check_callback(path, body)
        assert json.loads(body)["code"] == 499


@pytest.mark.parametrize("path", CREATING)
async def test_an_input_that_cannot_be_had_fails_the_task(desk: Desk, files: Host, path: str) -> None:
    missing = f"{files.url}/missing"
    inputs: dict[str, dict[str, object]] = {VEO: {"imageUrls": [missing]}, RUNWAY: {"imageUrl": missing}}
    task_id = await submit(desk, path, {**simple(path, files), **inputs.get(path, {"videoUrl": missing})})
    _, code, words = flags(path, await ended(desk, path, task_id))
    assert (code, "video" in words if path in (ALEPH, LUMA) else "image" in words) == (
        422 if path == LUMA else 400,
        True,
    )
    assert await desk.credits() == 1000


@pytest.mark.parametrize("path", CREATING)
async def test_another_accounts_task_is_as_unknown_as_one_that_never_was(desk: Desk, files: Host, path: str) -> None:
    task_id = await submit(desk, path, simple(path, files))
    await ended(desk, path, task_id)
    other = await desk.neighbour()
    stranger = await get(other, RECORDS[path], taskId=task_id)
    assert stranger.json == refused(422, "record is null" if path == VEO else "The record does not exist")
    assert stranger.body == (await get(other, RECORDS[path], taskId=UNKNOWN)).body
    for url in (HD, UHD, LONGER, RUNWAY_LONGER):
        ask = {"taskId": task_id, "prompt": "x", "quality": "720p"}
        answer = await (get(other, url, taskId=task_id) if url == HD else post(other, url, ask))
        assert answer.code in (404, 422), answer
        assert await other.count() == 0


# ---- what is refused ----

REFUSED: list[tuple[str, Any, int, str]] = [
    (VEO, [], 400, "The request body must be a JSON object"),
    (VEO, {}, 422, "prompt: is required"),
    (VEO, {**BOAT, "generationType": "REFERENCE_2_VIDEO"}, 422, "imageUrls: is required with REFERENCE_2_VIDEO"),
    (VEO, {**BOAT, "seeds": 7}, 422, "seeds: must be a whole number from 10000 to 99999"),
    (VEO, {**BOAT, "imageUrls": ["x.png"]}, 422, "imageUrls[0]: A URL must begin with http:// or https://."),
    (VEO, {**BOAT, "callBackUrl": "nowhere"}, 422, "callBackUrl: A URL must begin with http:// or https://."),
    (LONGER, {"prompt": "x"}, 422, "taskId: is required"),
    (LONGER, {"prompt": "", "taskId": UNKNOWN}, 422, "prompt: is required"),
    (LONGER, {"prompt": "x", "taskId": UNKNOWN}, 404, "Original video or task does not exist"),
    (LONGER, {"prompt": "x", "taskId": "veo_task_\0"}, 404, "Original video or task does not exist"),
    (UHD, {}, 422, "taskId: is required"),
    (UHD, {"taskId": UNKNOWN}, 422, "record is null"),
    (RUNWAY, {}, 422, "prompt: is required"),
    (RUNWAY, {**TRAM, "quality": None}, 422, "quality: is required"),
    (RUNWAY, {**TRAM, "duration": None}, 422, "duration: is required"),
    (RUNWAY, {**TRAM, "aspectRatio": None}, 422, "aspectRatio: is required unless there is an imageUrl"),
    (
        RUNWAY,
        {**TRAM, "duration": 10, "quality": "1080p"},
        422,
        "quality: 1080p is only available for 5 second videos",
    ),
    (
        RUNWAY,
        {**TRAM, "imageUrl": "http://10.0.0.1/x"},
        422,
        "imageUrl: The host of the URL is not on the public internet.",
    ),
    (RUNWAY_LONGER, {"prompt": "x", "taskId": UNKNOWN}, 422, "quality: is required"),
    (RUNWAY_LONGER, {"prompt": "x", "taskId": UNKNOWN, "quality": "720p"}, 422, "The record does not exist"),
    (ALEPH, {"prompt": "x"}, 422, "videoUrl: is required"),
    (ALEPH, {"prompt": "x", "videoUrl": "x"}, 422, "videoUrl: A URL must begin with http:// or https://."),
    (
        ALEPH,
        {"prompt": "x", "videoUrl": f"{ELSEWHERE}/a.mp4", "referenceImage": "x"},
        422,
        "referenceImage: A URL must begin with http:// or https://.",
    ),
    (LUMA, {"videoUrl": f"{ELSEWHERE}/a.mp4"}, 422, "prompt: is required"),
    (LUMA, {"prompt": "x", "videoUrl": "ftp://a.test/x"}, 422, "videoUrl: A URL must begin with http:// or https://."),
]


@pytest.mark.parametrize(("path", "body", "code", "msg"), REFUSED)
async def test_a_wrong_request_is_told_what_is_wrong(desk: Desk, path: str, body: Any, code: int, msg: str) -> None:
    async with desk.untouched():
        answer = await post(desk, path, body)
    assert answer.status == 200
    assert answer.json == refused(code, msg)


@pytest.mark.parametrize("path", [*sorted(set(RECORDS.values())), HD])
async def test_a_question_needs_a_task(desk: Desk, path: str) -> None:
    assert (await get(desk, path)).json == refused(422, "taskId: is required")
    unknown = "record is null" if "veo" in path else "The record does not exist"
    assert (await get(desk, path, taskId=UNKNOWN)).json == refused(422, unknown)


# ---- Veo: larger ----


async def test_1080p_is_made_once_when_it_is_asked_for(desk: Desk, files: Host) -> None:
    base = await submit(desk, VEO, BOAT)
    assert (await get(desk, HD, taskId=UNKNOWN)).json == refused(422, "record is null")
    url = (await ended(desk, VEO, base))["response"]["resultUrls"][0]
    go_on = asyncio.Event()
    desk.fake.script(accept(go_on))
    working = refused(400, "1080P is processing. Please check back shortly.")
    several = await asyncio.gather(*(get(desk, HD, taskId=base) for _ in range(5)))
    assert [answer.json for answer in several] == [working] * 5
    assert (await get(desk, HD, taskId=f"veo_task_{base}", index="0")).json == working
    assert await desk.count() == 2
    go_on.set()
    child = await called(desk, lambda job: getattr(job.request, "video", None) == url)
    shown = await ended(desk, VEO, child.task_id)
    assert (shown["response"]["resolution"], "fallbackFlag" in shown) == ("1080p", False)
    ready = await get(desk, HD, taskId=base)
    assert (ready.code, ready.data) == (200, {"resultUrl": shown["response"]["resultUrls"][0]})
    assert await text(desk, ready.data["resultUrl"]) != await text(desk, url)
    assert await desk.credits() == 1000 - 80 - 5
    # What the rendition was made of is the very film of the first task.
    (video,) = child.of("video")
    assert video.media_type == "video/mp4"
    longer = await post(desk, LONGER, {"taskId": base, "prompt": "On"})
    assert longer.json == refused(422, "taskId: a video of which a 1080P version was made cannot be extended")


async def test_a_rendition_needs_a_task_that_has_succeeded(desk: Desk) -> None:
    go_on = asyncio.Event()
    desk.fake.script(accept(go_on))
    base = await submit(desk, VEO, BOAT)
    for answer in (
        await get(desk, HD, taskId=base),
        await post(desk, UHD, {"taskId": base}),
        await post(desk, LONGER, {"taskId": base, "prompt": "On"}),
    ):
        assert answer.json == refused(422, "record status is not success")
    go_on.set()
    await ended(desk, VEO, base)
    assert (await get(desk, HD, taskId=base, index="1")).json == refused(422, "record result data not exist")


async def test_4k_is_started_then_a_422_tells_how_far_it_is(desk: Desk, hook: Receiver) -> None:
    base = await submit(desk, VEO, BOAT)
    await ended(desk, VEO, base)
    go_on = asyncio.Event()
    desk.fake.script(accept(go_on))
    asked = {"taskId": base, "index": 0, "callBackUrl": f"{hook.url}/4k?mine=1"}
    started = await post(desk, UHD, asked)
    child = started.data["taskId"]
    nothing = {"taskId": child, "resultUrls": None, "imageUrls": None}
    assert started.json == {"code": 200, "msg": "success", "data": nothing}
    working = {"code": 422, "msg": "4k is processing. Please check back shortly.", "data": nothing}
    assert (await post(desk, UHD, asked)).json == working
    assert (await post(desk, UHD, {"taskId": child})).json == working
    assert (await record(desk, UHD, child))["successFlag"] == 0
    go_on.set()
    shown = await ended(desk, UHD, child)
    made, pictures = shown["response"]["resultUrls"], shown["response"]["imageUrls"]
    assert (made[0].endswith(".mp4"), pictures[0].endswith(".png")) == (True, True)
    data = {"taskId": child, "resultUrls": made, "imageUrls": pictures}
    done = {"code": 422, "msg": "The video has been generated successfully", "data": data}
    assert (await post(desk, UHD, asked)).json == done
    assert (await desk.get(UHD, taskId=base)).json == done
    received = await hook.next()
    promised().check_callback(UHD, received.body)
    assert received.path == "/4k?mine=1"
    assert json.loads(received.body) == {
        "code": 200,
        "msg": "4K Video generated successfully.",
        "data": {
            "taskId": child,
            "task_id": child,
            "info": {"resultUrls": made, "imageUrls": pictures},
            "result_urls": made,
            "image_urls": pictures,
            "media_ids": [part(child, 0)],
        },
    }
    assert await desk.credits() == 1000 - 80 - 120


async def test_4k_that_is_asked_for_twice_at_once_is_one_task(desk: Desk, hook: Receiver) -> None:
    base = await submit(desk, VEO, BOAT)
    await ended(desk, VEO, base)
    go_on = asyncio.Event()
    desk.fake.script(accept(go_on))
    bodies = [{"taskId": base, "callBackUrl": f"{hook.url}/{number}"} for number in range(4)]
    answers = await asyncio.gather(*(post(desk, UHD, body) for body in bodies))
    assert {answer.code for answer in answers} <= {200, 422}
    assert len({answer.data["taskId"] for answer in answers}) == 1
    assert await desk.count() == 2
    go_on.set()
    await ended(desk, UHD, answers[0].data["taskId"])


async def test_a_rendition_that_failed_is_told_and_can_be_had_later(open_desk: OpenDesk, ticker: Ticker) -> None:
    studio = Studio()
    async with open_desk(now=ticker, provided={"sandbox": studio}) as desk:
        base = await submit(desk, VEO, BOAT)
        await ended(desk, VEO, base)
        studio.script(accept(failure=Failed("The film was torn")))
        child = (await post(desk, UHD, {"taskId": base})).data["taskId"]
        assert (await ended(desk, UHD, child))["errorMessage"] == "The film was torn"
        for _ in range(2):
            answer = await post(desk, UHD, {"taskId": base})
            assert answer.json == refused(500, "The 4K version of this video is unavailable. The film was torn")
        ticker.advance(timedelta(minutes=5))
        again = await post(desk, UHD, {"taskId": base})
        assert (again.code, again.data["taskId"] != child) == (200, True)
        await ended(desk, UHD, again.data["taskId"])
        assert await desk.credits() == 1000 - 80 - 120


# ---- longer ----


async def test_extensions_of_veo_can_be_chained(desk: Desk, hook: Receiver) -> None:
    base = await submit(desk, VEO, BOAT)
    before = (await ended(desk, VEO, base))["response"]["resultUrls"][0]
    last = f"veo_task_{base}"
    for _ in range(2):
        last = await submit(desk, LONGER, {"taskId": last, "prompt": "On", "callBackUrl": hook.url})
        response = (await ended(desk, LONGER, last))["response"]
        (piece,), (whole,) = response["resultUrls"], response["fullResultUrls"]
        (job,) = [job for job in desk.fake.submissions if job.task_id == last]
        assert isinstance(job.request, VideoRequest)
        assert job.request.video == before
        assert await text(desk, piece) != await text(desk, whole)
        said = await told(hook, LONGER)
        assert said["msg"] == "Veo3.1 video extension successful."
        assert said["data"]["info"]["resultUrls"] == [piece]
        before = whole
    assert (await desk.task(last)).parent is not None


async def test_extensions_of_runway_can_be_chained(desk: Desk, hook: Receiver) -> None:
    base = await submit(desk, RUNWAY, TRAM)
    before = (await ended(desk, RUNWAY, base))["videoInfo"]["videoUrl"]
    last = base
    for _ in range(2):
        body = {"taskId": last, "prompt": "On", "quality": "720p", "callBackUrl": hook.url}
        parent, last = last, await submit(desk, RUNWAY_LONGER, body)
        shown = await ended(desk, RUNWAY_LONGER, last)
        (job,) = [job for job in desk.fake.submissions if job.task_id == last]
        assert isinstance(job.request, VideoRequest)
        assert (job.request.video, shown["parentTaskId"]) == (before, parent)
        assert (await told(hook, RUNWAY_LONGER))["data"]["video_url"] == shown["videoInfo"]["videoUrl"]
        before = shown["videoInfo"]["videoUrl"]


async def test_what_was_made_of_a_video_that_is_gone_by_now_is_refused(
    open_desk: OpenDesk, ticker: Ticker, files: Host
) -> None:
    async with open_desk(now=ticker, provided={"sandbox": Studio()}) as desk:
        veo, runway = await submit(desk, VEO, BOAT), await submit(desk, RUNWAY, TRAM)
        await ended(desk, VEO, veo)
        url = (await ended(desk, RUNWAY, runway))["videoInfo"]["videoUrl"]
        ticker.advance(timedelta(days=14, seconds=1))
        await desk.house.retention.sweep()
        old = "Temporarily supports records within 14 days"
        words = (
            f"taskId: the video of this task is not kept any more ({old}); generate it again, then extend the new one"
        )
        async with desk.untouched():
            assert (await get(desk, RECORDS[VEO], taskId=veo)).json == refused(422, old)
            assert (await get(desk, HD, taskId=veo)).json == refused(422, old)
            assert (await post(desk, UHD, {"taskId": veo})).json == refused(422, old)
            assert (await post(desk, LONGER, {"taskId": veo, "prompt": "On"})).json == refused(422, words)
            body = {"taskId": runway, "prompt": "On", "quality": "720p"}
            assert (await post(desk, RUNWAY_LONGER, body)).json == refused(422, words)
            body = {"prompt": "Paint it", "videoUrl": url}
            gone = "videoUrl: this file is not kept any more; upload or generate it again"
            assert (await post(desk, ALEPH, body)).json == refused(422, gone)
            assert (await post(desk, LUMA, body)).json == refused(422, gone)
        assert (await record(desk, RUNWAY, runway))["expireFlag"] == 1


# ---- other names ----


async def test_a_task_of_aleph_is_shown_where_a_client_looks_for_it(desk: Desk, files: Host) -> None:
    task_id = await submit(desk, "/api/v1/api/v1/aleph/generate", simple(ALEPH, files))
    shown = await ended(desk, ALEPH, task_id)
    assert (await desk.get("/api/v1/api/v1/aleph/record-info", taskId=task_id)).data == shown
    answer = await get(desk, RECORDS[RUNWAY], taskId=task_id)
    assert answer.data["videoInfo"]["videoUrl"] == shown["response"]["resultVideoUrl"]
    assert (await desk.get("/api/v1/runway/record-info", taskId=task_id)).data == answer.data
    other = await submit(desk, "/api/v1/runway/aleph/generate", simple(ALEPH, files))
    assert (await ended(desk, ALEPH, other))["successFlag"] == 1


async def test_an_id_is_good_in_every_spelling_of_the_samples(desk: Desk) -> None:
    veo, runway = await submit(desk, VEO, BOAT), await submit(desk, RUNWAY, TRAM)
    await ended(desk, VEO, veo)
    await ended(desk, RUNWAY, runway)
    for prefix in ("veo_task_", "veo_extend_task_"):
        assert await record(desk, VEO, f"{prefix}{veo}") == await record(desk, VEO, veo)
    dashed = "-".join((runway[:8], runway[8:12], runway[12:16], runway[16:20], runway[20:]))
    assert await record(desk, RUNWAY, dashed) == await record(desk, RUNWAY, runway)


@pytest.mark.parametrize("path", CREATING)
async def test_the_same_key_and_body_are_one_task(desk: Desk, files: Host, path: str) -> None:
    head = {"Idempotency-Key": "mine"}
    first = await post(desk, path, simple(path, files), headers=head)
    again = await post(desk, path, simple(path, files), headers=head)
    assert (again.body, again.headers["Idempotency-Replayed"]) == (first.body, "true")
    assert await desk.count() == 1
    await ended(desk, path, first.data["taskId"])


# ---- how long a film may be ----


@pytest.mark.parametrize(("seconds", "msg"), [(10.0, "success"), (10.5, "videoUrl: at most 10 seconds, got 10.5")])
async def test_luma_refuses_a_film_that_was_uploaded_and_is_too_long(desk: Desk, seconds: float, msg: str) -> None:
    sent = {"base64Data": base64.b64encode(lengths.film(seconds)).decode(), "uploadPath": "lengths"}
    uploaded = (await desk.post(BASE64, {**sent, "fileName": "film.mp4"})).data["downloadUrl"]
    before = await desk.count()
    answer = await post(desk, LUMA, {"prompt": "Paint it", "videoUrl": uploaded})
    assert answer.msg == msg
    assert await desk.count() == before + (answer.code == 200)

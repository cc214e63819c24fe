"""The Market on the wire: every model of the catalog, the records and callbacks, the lists of models and prices."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import yaml
from tests.unit import lengths
from tests.unit.market_samples import CHATTING, GENERATING, minimal
from tests.wire.conftest import Passed
from tests.wire.desk import BASE64, Desk, seated
from tests.wire.promises import FOLDER, Contract

from tessera.contract import catalog
from tessera.contract.catalog import Model
from tessera.dialects import market_requests
from tessera.domain.errors import Failed, Rejected
from tessera.domain.task import Mode, Reason
from tessera.providers.base import LocalFile
from tessera.providers.fake import Fake, accept, png, refuse
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway, serving
from tessera.testing.plugin import configs, houses
from tessera.testing.servers import Host, Receiver, hosting, receiving

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATE = "/api/v1/jobs/createTask"
RECORD = "/api/v1/jobs/recordInfo"
OLD_CREATE = "/api/v1/playground/createTask"
OLD_RECORD = "/api/v1/playground/recordInfo"
AUDIO = "/api/v1/omni/audio/create"
CHARACTER = "/api/v1/omni/character/create"
PATHS = "/api/v1/playground/model-paths"
COUNT = "/client/v1/model-pricing/count"
PAGE = "/client/v1/model-pricing/page"

BOAT = {"model": "z-image", "input": {"prompt": "A paper boat", "aspect_ratio": "1:1"}}
UNKNOWN = "0f3c9a7be21d4c55a1b2c3d4e5f60718"
MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(64)
MP3 = b"ID3\x04\0\0\0\0\0\0" + b"\xff\xfb\x90\x64" + bytes(413)
FILES = {"png": (png(16, 16), "image/png"), "mp4": (MP4, "video/mp4"), "mp3": (MP3, "audio/mpeg")}
OPERATIONS = frozenset(operation for model in GENERATING for operation in market_requests.could(model))


@cache
def promised() -> Contract:
    return Contract(yaml.safe_load((FOLDER / "market.yaml").read_text()))


def refused(code: int, msg: str) -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": None}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(postgres: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, Fake]]:
    """A gateway on whose test keys a fake runs that takes every operation of the catalog."""
    fake = Fake("sandbox", models={"*": "fake"}, idempotent=True, operations=OPERATIONS)
    async with postgres.fresh() as url:
        opener = houses(url, configs(tmp_path_factory.mktemp("market")))
        # Many connections at once, then few: none is to be closed just when it is used again.
        async with serving(opener, provided={"sandbox": fake}, keep_alive_seconds="60") as served:
            yield served, fake


@pytest_asyncio.fixture(loop_scope="module")
async def desk(gateway: tuple[Gateway, Fake], passed: Passed) -> Desk:
    desk = await seated(*gateway, passed("run.finished"))
    await desk.house.accounts.grant(desk.account, Mode.TEST, 10**9, "enough for every model")
    return desk


@pytest_asyncio.fixture(loop_scope="module")
async def files() -> AsyncIterator[Host]:
    """A host of every file that the least inputs of the catalog name."""
    async with hosting() as host:
        for model in GENERATING:
            for name in _names(minimal(model, host.url)):
                body, media_type = FILES[name.rpartition(".")[2]]
                host.put(name, body, media_type=media_type)
        yield host


@pytest_asyncio.fixture(loop_scope="module")
async def hook() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


def _names(given: Any) -> Iterator[str]:
    """The files of an input, by their names on the host."""
    for each in given.values() if isinstance(given, dict) else given if isinstance(given, list) else ():
        if isinstance(each, str) and each.startswith("http"):
            yield urlsplit(each).path.removeprefix("/")
        yield from _names(each)


async def create(desk: Desk, body: Mapping[str, Any], path: str = CREATE) -> str:
    answer = await desk.post(path, body)
    promised().check_schema("CreateTaskResponse", answer.body)
    assert answer.code == 200, answer
    assert answer.data["taskId"] == answer.data["recordId"]
    return str(answer.data["taskId"])


async def record(desk: Desk, task_id: str, path: str = RECORD) -> Any:
    answer = await desk.get(path, taskId=task_id)
    promised().check_schema("RecordInfoResponse", answer.body)
    assert answer.code == 200, answer
    if answer.data["resultJson"]:
        promised().check_schema("Result", answer.data["resultJson"].encode())
    return answer.data


async def ended(desk: Desk, task_id: str) -> Any:
    while (shown := await record(desk, task_id))["state"] not in ("success", "fail"):
        await desk._finished.next()
    return shown


async def told(hook: Receiver) -> Any:
    body = (await hook.next()).body
    promised().check_schema("JobsCallback", body)
    return json.loads(body)


# ---- every model ----


async def test_every_model_of_the_catalog_runs_from_its_least_input_to_its_end(
    desk: Desk, files: Host, tmp_path: Path
) -> None:
    """Accepted, priced, given to a provider with its files, and told: all of them at once."""
    film = tmp_path / "film.mp4"
    film.write_bytes(MP4)
    desk.fake.script(accept(outputs=[LocalFile(path=film)]))
    of_film = await create(desk, {"model": "veo-3-1", "input": {"prompt": "A paper boat"}})
    assert (await ended(desk, of_film))["state"] == "success"
    of_picture = await create(desk, BOAT)
    source = files.put("of-the-size-of-its-masks.png", png(8, 8))
    segments = {"model": "grok-imagine-image-2-0/segment-map", "input": {"image_url": source}}
    of_segments = await create(desk, segments)
    assert {(await ended(desk, each))["state"] for each in (of_picture, of_segments)} == {"success"}

    def earlier(model: Model) -> str:
        if "mask_indexs" in model.fields:
            return of_segments
        return of_film if model.output.kind == "video" else of_picture

    before = await desk.credits()
    inputs = {model.id: minimal(model, files.url, earlier(model)) for model in GENERATING}
    ids = await asyncio.gather(*(create(desk, {"model": name, "input": given}) for name, given in inputs.items()))
    records = [await ended(desk, task_id) for task_id in ids]
    assert {shown["model"]: shown["failMsg"] for shown in records if shown["state"] != "success"} == {}
    assert [shown["model"] for shown in records] == list(inputs)
    for shown in records:
        assert json.loads(json.loads(shown["param"])["input"]) == inputs[shown["model"]]
        assert shown["creditsConsumed"] > 0 or shown["model"].endswith("/segment-map")
    assert before - await desk.credits() == pytest.approx(sum(shown["creditsConsumed"] for shown in records))
    jobs = {job.task_id: job for job in desk.fake.submissions}
    for task_id in ids:
        task = await desk.task(task_id)
        assert jobs[task_id].operation == task.operation in OPERATIONS
        assert len(jobs[task_id].files) == len(task.request.sources())


async def test_an_operation_that_no_provider_serves_is_code_505(desk: Desk) -> None:
    async with desk.untouched():
        answer = await desk.post(CREATE, BOAT, key="live")
    promised().check_schema("CreateTaskResponse", answer.body)
    assert (answer.status, answer.code) == (200, 505)
    assert answer.msg.startswith("No provider is configured for z-image")


# ---- createTask ----


async def test_a_created_task_is_answered_with_its_id_under_both_names(desk: Desk) -> None:
    answer = await desk.post(CREATE, BOAT)
    pattern = rb'{"code":200,"msg":"success","data":{"taskId":"([0-9a-f]{32})","recordId":"([0-9a-f]{32})"}}'
    found = re.fullmatch(pattern, answer.body)
    assert found is not None and found[1] == found[2]
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"


async def test_the_examples_of_the_document_are_accepted(desk: Desk, files: Host) -> None:
    document = yaml.safe_load((FOLDER / "market.yaml").read_text())
    content = document["paths"][CREATE]["post"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        sent = json.loads(json.dumps(example["value"]).replace("https://media.example.com/cat.jpg", files.url))
        sent.pop("callBackUrl", None)
        if "first_frame_url" in sent["input"]:
            sent["input"]["first_frame_url"] = f"{files.url}/image_url.png"
        assert (await ended(desk, await create(desk, sent)))["state"] == "success"


async def test_the_paths_of_2025_are_the_same_calls(desk: Desk) -> None:
    task_id = await create(desk, BOAT, OLD_CREATE)
    shown = await ended(desk, task_id)
    assert await record(desk, task_id, OLD_RECORD) == shown


@pytest.mark.parametrize("model", CHATTING[::8], ids=lambda model: model.id)
async def test_a_chat_model_is_told_its_path(desk: Desk, model: Model) -> None:
    async with desk.untouched():
        answer = await desk.post(CREATE, {"model": model.id, "input": {}})
    assert model.endpoint is not None
    words = f"model: {model.id} is a chat model and makes no tasks; POST to {model.endpoint.path} instead"
    assert answer.json == refused(422, words)


NO_MODEL = (
    "The model name you specified is not supported. "
    "Please verify your input and use one of the supported models provided by KIE."
)
REFUSED: list[tuple[Any, int, str]] = [
    ([], 400, "The request body must be a JSON object"),
    ({}, 422, "model: is required"),
    ({"model": "nobody/knows", "input": {}}, 422, NO_MODEL),
    ({"model": "z-image"}, 422, "input.prompt: prompt is required"),
    ({"model": "z-image", "input": []}, 422, "input: must be an object"),
    ({"model": "z-image", "input": {"prompt": "a\0b", "aspect_ratio": "1:1"}}, 422, ""),
    (
        {"model": "z-image", "input": {"prompt": "x", "aspect_ratio": "2:1"}},
        422,
        "input.aspect_ratio: must be one of 1:1, 4:3, 3:4, 16:9, 9:16",
    ),
    (
        {"model": "happyhorse/image-to-video", "input": {"image_urls": ["nowhere"]}},
        422,
        "input.image_urls[0]: A URL must begin with http:// or https://.",
    ),
    (
        {"model": "happyhorse/image-to-video", "input": {"image_urls": ["http://10.0.0.1/x"]}},
        422,
        "input.image_urls[0]: The host of the URL is not on the public internet.",
    ),
    (
        {"model": "bytedance/seedance-2", "input": {"prompt": "cat", "first_frame_url": "asset://1"}},
        422,
        "input.first_frame_url: A URL must begin with http:// or https://.",
    ),
    (
        {"model": "veo/extend", "input": {"prompt": "x", "task_id": UNKNOWN}},
        422,
        "input.task_id: there is no such task",
    ),
    (
        {**BOAT, "callBackUrl": "http://169.254.169.254/latest"},
        422,
        "callBackUrl: The host of the URL is not on the public internet.",
    ),
]


@pytest.mark.parametrize(("body", "code", "msg"), REFUSED)
async def test_a_wrong_request_is_told_which_field_and_which_rule(desk: Desk, body: Any, code: int, msg: str) -> None:
    async with desk.untouched():
        answer = await desk.post(CREATE, body)
    assert answer.status == 200
    assert answer.json == refused(code, msg or answer.msg)
    if code == 422:
        promised().check_schema("CreateTaskResponse", answer.body)


async def test_an_account_without_credits_is_told_so(gateway: tuple[Gateway, Fake], passed: Passed) -> None:
    desk = await seated(*gateway, passed("run.finished"))
    dear = {"model": "kling/v2-1-master-text-to-video", "input": {"prompt": "x", "duration": "10"}}
    codes = [(await desk.post(CREATE, dear)).code for _ in range(4)]
    assert codes == [200, 200, 200, 402]


async def test_the_same_idempotency_key_is_the_same_task(desk: Desk) -> None:
    one, two = [await desk.post(CREATE, BOAT, headers={"Idempotency-Key": "boat-1"}) for _ in range(2)]
    assert one.data == two.data
    assert two.headers["Idempotency-Replayed"] == "true"


# ---- records and callbacks ----


async def test_a_success_is_told_on_record_and_by_callback(desk: Desk, hook: Receiver) -> None:
    task_id = await create(desk, {**BOAT, "callBackUrl": f"{hook.url}/market?job=1"})
    shown = await ended(desk, task_id)
    (url,) = json.loads(shown["resultJson"])["resultUrls"]
    assert (await desk.fetch(url)).body.startswith(b"\x89PNG")
    called = await told(hook)
    assert (called["code"], called["msg"]) == (200, "Playground task completed successfully.")
    same = ("taskId", "model", "state", "param", "resultJson", "costTime", "createTime", "completeTime")
    assert {name: called["data"][name] for name in same} == {name: shown[name] for name in same}
    assert json.loads(shown["param"]) == {
        "input": '{"aspect_ratio":"1:1","prompt":"A paper boat"}',
        "callBackUrl": f"{hook.url}/market?job=1",
        "model": "z-image",
    }
    assert called["data"]["creditsConsumed"] == shown["creditsConsumed"] == 0.8


VERDICTS = [
    (Failed("Refused by the vendor", reason=Reason.CONTENT), "400"),
    (Failed("It broke"), "500"),
    (Rejected("Not this picture", reason=Reason.INPUT_INVALID), "422"),
]


@pytest.mark.parametrize(("verdict", "code"), VERDICTS)
async def test_a_failure_is_told_on_record_and_by_callback(
    desk: Desk, hook: Receiver, verdict: Failed | Rejected, code: str
) -> None:
    before = await desk.credits()
    desk.fake.script(accept(failure=verdict) if isinstance(verdict, Failed) else refuse(verdict))
    shown = await ended(desk, await create(desk, {**BOAT, "callBackUrl": hook.url}))
    assert (shown["state"], shown["failCode"], shown["failMsg"]) == ("fail", code, str(verdict))
    assert (shown["resultJson"], shown["creditsConsumed"]) == ("", 0)
    called = await told(hook)
    assert (called["code"], called["msg"]) == (501, "Playground task failed.")
    assert (called["data"]["state"], called["data"]["failCode"]) == ("fail", code)
    assert await desk.credits() == before


async def test_a_task_is_generating_while_it_runs_and_a_failure_once_it_is_canceled(desk: Desk, hook: Receiver) -> None:
    go_on = asyncio.Event()
    desk.fake.script(accept(go_on))
    task_id = await create(desk, {**BOAT, "callBackUrl": hook.url})
    while (shown := await record(desk, task_id))["state"] == "waiting":
        await desk.fake.polled.get()
    assert (shown["state"], shown["resultJson"], shown["completeTime"]) == ("generating", "", None)
    assert (await desk.ask("POST", f"/v1/tasks/{task_id}/cancel")).status == 200
    shown = await record(desk, task_id)
    assert (shown["state"], shown["failCode"]) == ("fail", "499")
    assert (await told(hook))["data"]["failCode"] == "499"
    go_on.set()


async def test_a_question_without_an_id_or_for_no_task_of_ours(desk: Desk) -> None:
    assert (await desk.get(RECORD)).json == refused(400, "taskId parameter is required")
    for other in (UNKNOWN, "0", await desk.submit()):
        assert (await desk.get(RECORD, taskId=other)).json == refused(422, "recordInfo is null")
    stranger = await desk.neighbour()
    assert (await stranger.get(RECORD, taskId=await create(desk, BOAT))).json == refused(422, "recordInfo is null")


# ---- voices and characters ----


async def test_a_voice_and_a_character_are_made_and_used(desk: Desk, files: Host) -> None:
    voice = await desk.post(AUDIO, {"audio_id": "achernar", "name": "Narrator A", "example_dialogue": "Good evening"})
    promised().check_schema("OmniAudioResponse", voice.body)
    assert voice.data["audioId"] == voice.data["kieAudioId"]
    sent = {"descriptions": "A tall woman", "image_urls": [f"{files.url}/image_url.png"], "character_name": "Jo"}
    character = await desk.post(CHARACTER, {**sent, "audio_ids": [voice.data["audioId"]]})
    promised().check_schema("OmniCharacterResponse", character.body)
    assert character.data["characterName"] == "Jo"
    assert character.data["imageUrl"] != character.data["bodyImageUrl"]
    given = {"prompt": "She waves", "duration": "4", "character_ids": [character.data["characterId"]]}
    task = await desk.task(await create(desk, {"model": "gemini-omni-video", "input": given}))
    urls = [source.url for source in task.request.sources()]
    assert urls == [character.data["imageUrl"], character.data["bodyImageUrl"]]
    assert (await desk.get(RECORD, taskId=character.data["characterId"])).code == 422


# ---- what is paid by the second ----


async def uploaded(desk: Desk, name: str, body: bytes) -> str:
    sent = {"base64Data": base64.b64encode(body).decode(), "uploadPath": "lengths", "fileName": name}
    answer = await desk.post(BASE64, sent)
    assert answer.status == 200, answer
    return str(answer.data["downloadUrl"])


@pytest.mark.parametrize(
    ("name", "body", "price"),
    [
        ("film.mp4", lengths.film(3), 24),
        ("film.mp4", lengths.film(7.5), 60),
        ("speech.wav", lengths.wav(12.5), 100),
        ("unknown.mp4", MP4, 80),  # of no length: ten seconds are counted
    ],
)
async def test_what_is_paid_by_the_second_is_paid_by_the_length_of_the_file_that_was_uploaded(
    desk: Desk, files: Host, name: str, body: bytes, price: float
) -> None:
    given = {"image_url": f"{files.url}/image_url.png", "audio_url": await uploaded(desk, name, body), "prompt": "Talk"}
    task = await desk.task(await create(desk, {"model": "kling/ai-avatar-standard", "input": given}))
    assert task.price == price * 1000


async def test_a_film_that_was_made_here_is_paid_by_its_own_length(desk: Desk, tmp_path: Path) -> None:
    made = tmp_path / "made.mp4"
    made.write_bytes(lengths.film(4))
    desk.fake.script(accept(outputs=(LocalFile(path=made),)))
    first = await create(desk, BOAT)
    url = json.loads((await ended(desk, first))["resultJson"])["resultUrls"][0]
    (asset,) = (await desk.task(first)).outputs
    assert asset.seconds == 4
    given = [{"video_url": url}, {"video_url": await uploaded(desk, "long.mp4", lengths.film(8))}]
    bodies = [{"model": "topaz/video-upscale", "input": each} for each in given]
    assert [(await desk.task(await create(desk, body))).price for body in bodies] == [32_000, 64_000]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"reference_image_urls": ["http://["]}, "input.reference_image_urls[0]: "),
        ({"reference_image_urls": ["http://\u2100.com"]}, "input.reference_image_urls[0]: "),
    ],
)
async def test_an_address_that_is_none_is_refused_by_its_field(desk: Desk, given: dict[str, Any], words: str) -> None:
    async with desk.untouched():
        answer = await desk.post(CREATE, {"model": "bytedance/seedance-2", "input": {"prompt": "A boat", **given}})
    assert (answer.status, answer.code) == (200, 422)
    assert answer.msg.startswith(words)


async def test_an_inner_address_that_nothing_is_done_with_is_refused_all_the_same(desk: Desk, files: Host) -> None:
    model = catalog.models()["wan/3-0-video"]
    for name in ("reference_file_urls", "reference_link_urls"):
        given = {**minimal(model, files.url), name: ["http://169.254.169.254/latest"]}
        async with desk.untouched():
            answer = await desk.post(CREATE, {"model": model.id, "input": given})
        assert answer.code == 422
        assert answer.msg.startswith(f"input.{name}[0]: ")


# ---- models and prices ----


async def test_the_models_are_listed_with_their_inputs_and_prices(desk: Desk) -> None:
    answer = await desk.get("/v1/models")
    found = {each["id"]: each for each in answer.data}
    assert set(found) == set(catalog.models())
    z = found["z-image"]
    assert (z["title"], z["vendor"], z["modality"]) == ("Z-Image", "Qwen", "text-to-image")
    assert z["input"]["required"] == ["prompt", "aspect_ratio"]
    assert z["credits"]["rates"] == [{"credits": 0.8, "when": {}}]
    assert z["output"]["in"] == "resultUrls"
    assert found["gpt-5-2"]["endpoint"]["path"] == "/gpt-5-2/v1/chat/completions"
    assert found["wan/2-6-flash-image-to-video"]["credits"]["estimate"] is True
    assert {each["available"] for each in answer.data if each["modality"] != "chat"} == {True}
    assert {each["available"] for each in answer.data if each["modality"] == "chat"} == {None}


async def test_what_no_provider_runs_for_a_live_key_is_listed_as_such(desk: Desk) -> None:
    answer = await desk.ask("GET", "/v1/models/z-image", key="live")
    assert answer.data["available"] is False


@pytest.mark.parametrize("name", ["z-image", "wan/2-7-image-pro", "google/imagen4", "custom_flux_kontext"])
async def test_one_model_is_found_by_its_id_with_its_slashes(desk: Desk, name: str) -> None:
    answer = await desk.get(f"/v1/models/{name}")
    model = catalog.find(name)
    assert model is not None
    assert (answer.status, answer.data["id"], answer.data["input"]) == (200, model.id, model.input)


async def test_models_are_behind_a_key_and_an_unknown_one_is_a_404(desk: Desk) -> None:
    assert (await desk.ask("GET", "/v1/models", key=None)).status == 401
    assert (await desk.ask("GET", "/v1/models/z-image", key=None)).status == 401
    assert (await desk.get("/v1/models/nobody/knows")).status == 404


@pytest.mark.parametrize(("query", "count"), [({"modality": "upscale"}, 6), ({"status": "retired"}, 12)])
async def test_models_are_found_by_what_they_are(desk: Desk, query: dict[str, str], count: int) -> None:
    assert len((await desk.get("/v1/models", **query)).data) == count


async def test_the_open_lists_need_no_key(desk: Desk) -> None:
    paths = await desk.ask("GET", PATHS, key=None)
    assert paths.data == list(catalog.models())
    count = (await desk.ask("GET", COUNT, key=None)).data
    assert count["all"] == count["image"] + count["video"] + count["music"] + count["chat"]
    rows = []
    for number in range(1, count["all"] // 100 + 2):
        answer = await desk.ask("POST", PAGE, json={"pageNum": number, "pageSize": 100}, key=None)
        assert answer.data["total"] == count["all"]
        rows += answer.data["records"]
    assert len(rows) == count["all"]
    for row in rows:
        promised().check_schema("PriceRow", json.dumps(row).encode())


async def test_price_rows_are_found_by_kind_and_by_words(desk: Desk) -> None:
    wanted = {"pageNum": 1, "pageSize": 5, "interfaceType": "image", "modelDescription": "Z-IMAGE"}
    answer = await desk.post(PAGE, wanted)
    (row,) = answer.data["records"]
    assert (row["creditPrice"], row["creditUnit"], row["usdPrice"]) == ("0.8", "per image", "0.004")
    assert row["anchor"].endswith("/v1/models/z-image")
    assert (answer.data["total"], answer.data["pages"]) == (1, 1)
    assert (await desk.post(PAGE, {"pageNum": 0, "pageSize": 5})).code == 422
    assert (await desk.post(PAGE, {"pageNum": 1, "pageSize": 101})).code == 422

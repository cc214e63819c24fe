"""The place where a sweep happens: a served gateway with the sandbox, a host of files, a receiver, an account."""

import asyncio
import io
import itertools
import json as json_module
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from PIL import Image
from tests.wire.sweep.documents import Operation
from tests.wire.sweep.plans import PATHS, Plan, over

from tessera.domain.account import Account, Caps
from tessera.domain.task import ImageRequest, Line, Mode, MusicRequest, Request, SpeechRequest, VideoRequest
from tessera.engine import faults
from tessera.kit import clock
from tessera.kit.cpu import Crew
from tessera.providers.base import Done, Job, LocalFile
from tessera.providers.sandbox.provider import Sandbox
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway, serving
from tessera.testing.mailbox import Mailbox
from tessera.testing.plugin import configs, houses
from tessera.testing.servers import Host, Received, Receiver, hosting, receiving

PATIENCE = 120.0
"""Seconds after which a task is given up; the longest takes a tenth of it."""

GLANCE = 0.05
CREDITS = 1_000_000
WINDOW = 5000
"""New tasks in ten seconds: more than a sweep makes."""

KEYS = (("test", Mode.TEST, Caps()), ("live", Mode.LIVE, Caps()), ("capped", Mode.TEST, Caps(total=0)))
"""The keys of the account; what the last may spend is used up."""

MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4", ".mp3": "audio/mpeg"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; ``json`` is None where the body is no JSON."""

    status: int
    media_type: str
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        try:
            return json_module.loads(self.body)
        except ValueError:
            return None

    @property
    def code(self) -> int:
        """The code in the body; a body of another protocol than ours counts by its HTTP status."""
        said = self.json
        return int(said["code"]) if isinstance(said, dict) and isinstance(said.get("code"), int) else self.status

    @property
    def data(self) -> Any:
        return self.json["data"]


class World:
    """A gateway and those around it. Things are made when they are first asked for, and then kept.

    ``frugal`` has all use the same thing where nobody uses it up.
    """

    def __init__(self, gateway: Gateway, host: Host, receiver: Receiver, studio: "Studio", account: Account) -> None:
        self.frugal = False
        self.gateway = gateway
        self.house = gateway.house
        self.account = account
        self.keys: dict[str, str] = {}
        self._host = host
        self._receiver = receiver
        self.media: Mapping[str, bytes] = {}
        self._studio = studio
        self._numbers = itertools.count(1)
        self._boxes: defaultdict[str, Mailbox[Received]] = defaultdict(Mailbox)
        self._things: dict[tuple[str, str], asyncio.Task[Mapping[str, Any]]] = {}
        self._gate = asyncio.Event()
        self._gate.set()

    # What is asked

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = "test",
        json: object = None,
        data: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request. ``key`` is the name of one of ours, None for none, or what is sent."""
        head = dict(headers or {})
        if key is not None:
            head["Authorization"] = f"Bearer {self.keys.get(key, key)}"
        async with self.gateway.http.request(
            method, self.gateway.base_url + path, json=json, data=data, params=params, headers=head
        ) as response:
            return Answer(response.status, response.headers.get("Content-Type", ""), await response.read())

    async def send(self, operation: Operation, body: Any, *, key: str | None = "test") -> Answer:
        """One request to an operation; the body of a GET is its query."""
        path = operation.path.format(**PATHS)
        if operation.method == "get":
            return await self.ask("GET", path, key=key, params=body)
        if operation.media_type == "multipart/form-data":
            return await self.ask("POST", path, key=key, data=self._form(body))
        return await self.ask("POST", path, key=key, json=body)

    def _form(self, body: Mapping[str, Any]) -> aiohttp.FormData:
        form = aiohttp.FormData()
        form.add_field("note", "a part that nobody asked for")  # without a file a form would not be multipart
        for name, value in body.items():
            if name == "file":
                form.add_field(name, self.media[".jpg"], filename="cat.jpg", content_type="image/jpeg")
            else:
                form.add_field(name, str(value))
        return form

    # What an example is given

    async def filled(self, operation: Operation, plan: Plan, example: Any, turn: str) -> Any:
        """An example with everything that it refers to; ``turn`` keeps those who use things up apart."""
        body = self._with_places(deepcopy(example), operation.callback_field)
        if not isinstance(body, dict):
            return body
        for name, value in plan.sets.items():
            if name in body or name == "vocalEnd":
                body[name] = value
        for name, thing in plan.things.items():
            if name in body:
                kind, _, part = thing.rpartition(".")
                body[name] = (await self.thing(kind, turn))[part]
        return body

    def _with_places(self, value: Any, callback: str | None) -> Any:
        if isinstance(value, dict):
            return {
                name: self.receiver(each) if name == callback else self._with_places(each, callback)
                for name, each in value.items()
            }
        if isinstance(value, list):
            return [self._with_places(each, callback) for each in value]
        return self.file(value) if isinstance(value, str) and value.startswith("https://") else value

    def file(self, url: str, *, there: bool = True) -> str:
        """The address of a file with such a name; its host is looked up by our resolver."""
        parts = urlsplit(url)
        name = parts.path.lstrip("/") if there else f"gone{parts.path}"
        kind = Path(name).suffix.lower()
        if there:
            media = self.media["mask" if "mask" in name else kind]
            self._host.put(name, media, media_type=MEDIA_TYPES[kind])
        return f"http://{parts.hostname}:{urlsplit(self._host.url).port}/{name}"

    async def spoken(self, text: str) -> str:
        """The address of a recording of these words."""
        name = f"said-{next(self._numbers)}.mp3"
        self._host.put(name, await self._studio.spoken(text), media_type=MEDIA_TYPES[".mp3"])
        return f"{self._host.url}/{name}"

    def receiver(self, url: str = "https://client.example.net/hooks") -> str:
        """An address for callbacks that is nobody else's, with the query of ``url``."""
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        port = urlsplit(self._receiver.url).port
        return f"http://{parts.hostname}:{port}/{next(self._numbers)}{parts.path}{query}"

    async def told(self, url: str) -> Received:
        """The next callback that came to an address. Raises TimeoutError."""
        parts = urlsplit(url)
        return await self._boxes[f"{parts.path}?{parts.query}" if parts.query else parts.path].next()

    async def sort(self) -> None:
        """Put what the receiver gets into the box of its address, for ever."""
        while True:
            received = await self._receiver.inbox.next(timeout=86_400)
            self._boxes[received.path].put(received)

    # What is there already

    async def thing(self, kind: str, turn: str) -> Mapping[str, Any]:
        """Something that was made beforehand: its parts by name."""
        plain = kind.partition(":")[0]
        if self.frugal and plain in LASTING:
            kind, turn = plain, "live"
        if (kind, turn) not in self._things:
            self._things[kind, turn] = asyncio.create_task(MAKE[plain](self, turn))
        return await self._things[kind, turn]

    async def made(self, path: str, body: Mapping[str, Any], record: str, *, name: str = "taskId") -> dict[str, Any]:
        """A task that has succeeded: its record, and under ``task`` its id."""
        answer = await self.ask("POST", path, json=body)
        assert answer.code == 200, f"{path} answered {answer.body!r}"
        task_id = str(answer.data["taskId"])
        shown = await self.followed(record, task_id, name=name)
        assert shown.json["code"] == 200, shown
        return {"task": task_id, "record": shown.data}

    async def followed(self, path: str, task_id: str, *, name: str = "taskId") -> Answer:
        """The record of a task once it is over. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while True:
                shown = await self.ask("GET", path, params={name: task_id})
                if shown.code not in {200, 201} or over(BY_PATH.get(path, ""), shown.json):
                    return shown
                await asyncio.sleep(GLANCE)

    async def native(self, task_id: str) -> str:
        """The state of a task in our own words."""
        answer = await self.ask("GET", f"/v1/tasks/{task_id}")
        return str(answer.data["state"]) if answer.status == 200 else f"HTTP {answer.status}"

    async def reached(self, task_id: str, *states: str) -> str:
        """The state of a task once it is one of these, or over. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while (state := await self.native(task_id)) in {"waiting", "running"} and state not in states:
                await asyncio.sleep(GLANCE)
        return state

    async def claimed(self, task_id: str) -> None:
        """Wait until a worker has a task, whatever it does with it. Raises TimeoutError."""
        query = "SELECT started_at FROM tasks WHERE id = $1"
        async with asyncio.timeout(PATIENCE):
            while await self.house.database.pool.fetchval(query, task_id) is None:
                await asyncio.sleep(GLANCE)

    async def cancel(self, task_id: str) -> Answer:
        return await self.ask("POST", f"/v1/tasks/{task_id}/cancel")

    # What the operator sets

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Inside, no task begins."""
        self._gate.clear()

        async def wait() -> None:
            await self._gate.wait()

        faults.arm("run.claimed", wait)
        try:
            yield
        finally:
            faults.disarm()
            self._gate.set()

    @asynccontextmanager
    async def broke(self) -> AsyncIterator[None]:
        """Inside, the account has no credits."""
        balance = await self.house.accounts.balance(self.account, Mode.TEST)
        await self.house.accounts.grant(self.account, Mode.TEST, -balance)
        try:
            yield
        finally:
            await self.house.accounts.grant(self.account, Mode.TEST, balance)

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Inside, the account has used up its window."""
        write = "UPDATE wallets SET hits = $2 WHERE account_id = $1"
        full = [clock.millis(self.house.clock())] * WINDOW
        await self.house.database.pool.execute(write, self.account.id, full)
        try:
            yield
        finally:
            await self.house.database.pool.execute(write, self.account.id, [])


Make = Callable[[World, str], Coroutine[object, object, Mapping[str, Any]]]

LASTING = frozenset({"picture", "veo", "runway", "voice-of-omni"})
"""Things that can be referred to again and again, as long as no rendition of them is made."""

VEO = "/api/v1/veo/record-info"
MUSIC = "/api/v1/generate/record-info"

BY_PATH: Mapping[str, str] = {
    "/api/v1/suno/cover/record-info": "getCoverDetails",
    "/api/v1/suno/recovery/record-info": "getRecoveryAudioDetails",
}
"""Records whose states are read in another way than most."""


async def _picture(world: World, turn: str) -> Mapping[str, Any]:
    body = {"prompt": f"A paper boat, {turn}", "size": "1:1"}
    made = await world.made("/api/v1/gpt4o-image/generate", body, "/api/v1/gpt4o-image/record-info")
    return {**made, "url": made["record"]["response"]["resultUrls"][0]}


async def _veo(world: World, turn: str) -> Mapping[str, Any]:
    body = {"prompt": f"A paper boat, {turn}", "model": "veo3_fast", "duration": 4}
    return await world.made("/api/v1/veo/generate", body, VEO)


async def _runway(world: World, turn: str) -> Mapping[str, Any]:
    body = {"prompt": f"A tram, {turn}", "duration": 5, "quality": "720p", "aspectRatio": "16:9"}
    return await world.made("/api/v1/runway/generate", body, "/api/v1/runway/record-detail")


async def _song(world: World, turn: str) -> Mapping[str, Any]:
    body = {
        "customMode": True,
        "instrumental": False,
        "model": "V5_5",
        "prompt": f"[Verse]\nLanterns lean over the quay\n[Chorus]\nKeep the harbour lights on, {turn}",
        "style": "dream pop",
        "title": "Harbour Lights",
        "duration": 22,
        "callBackUrl": world.receiver(),
    }
    made = await world.made("/api/v1/generate", body, MUSIC)
    return {**made, "audio": made["record"]["response"]["sunoData"][0]["id"]}


async def _stems(world: World, turn: str) -> Mapping[str, Any]:
    body = {"audioUrl": world.file(DEMO), "type": "split_stem", "callBackUrl": world.receiver()}
    return await world.made("/api/v1/vocal-removal/generate", body, "/api/v1/vocal-removal/record-info")


async def _phrase(world: World, turn: str) -> Mapping[str, Any]:
    body = {"voiceUrl": world.file(DEMO), "vocalStartS": 0, "vocalEndS": 10, "callBackUrl": world.receiver()}
    made = await world.made("/api/v1/voice/validate", body, "/api/v1/voice/validate-info")
    return {**made, "spoken": await world.spoken(made["record"]["validateInfo"])}


async def _voice(world: World, turn: str) -> Mapping[str, Any]:
    phrase = await world.thing("phrase:of-a-voice", turn)
    body = {"taskId": phrase["task"], "verifyUrl": phrase["spoken"], "callBackUrl": world.receiver()}
    return await world.made("/api/v1/voice/generate", body, "/api/v1/voice/record-info")


async def _omni_voice(world: World, turn: str) -> Mapping[str, Any]:
    answer = await world.ask("POST", "/api/v1/omni/audio/create", json={"audio_id": "achernar", "name": f"A {turn}"})
    assert answer.code == 200, answer.body
    return {"list": [answer.data["kieAudioId"]]}


DEMO = "https://client.example.net/in/demo.mp3"

MAKE: Mapping[str, Make] = {
    "picture": _picture,
    "veo": _veo,
    "runway": _runway,
    "song": _song,
    "stems": _stems,
    "phrase": _phrase,
    "voice": _voice,
    "voice-of-omni": _omni_voice,
}


class Studio:
    """The sandbox itself, for files to work on; ``folder`` is its own."""

    def __init__(self, crew: Crew, folder: Path) -> None:
        self._sandbox = Sandbox(clock.system, crew, duration=timedelta(0))
        self._folder = folder
        self._numbers = itertools.count(1)

    async def make(self, operation: str, request: Request) -> bytes:
        """The first file of a job."""
        name = f"made-{next(self._numbers)}"
        folder = self._folder / name
        folder.mkdir()
        job = Job(
            task_id=name, idempotency_key=name, model="sandbox", request=request, workdir=folder, operation=operation
        )
        job = replace(job, upstream_id=(await self._sandbox.submit(job)).upstream_id)
        while not isinstance(answer := await self._sandbox.poll(job), Done):
            job = replace(job, stage=answer.stage or job.stage)
        output = answer.outputs[0]
        assert isinstance(output, LocalFile)
        return output.path.read_bytes()

    async def media(self) -> dict[str, bytes]:
        """Files by their ending; ``mask`` marks a part of the PNG."""
        wanted: dict[str, tuple[str, Request]] = {
            ".png": ("image.generate", ImageRequest(prompt="A room", width=512, height=512)),
            ".jpg": ("image.generate", ImageRequest(prompt="A cat", width=640, height=360, format="jpeg")),
            ".mp4": ("video.generate", VideoRequest(prompt="A street", seconds=5, resolution="360p")),
            ".mp3": ("music.generate", MusicRequest(prompt="A demo", lyrics="[Verse]\nLa la la", seconds=24)),
        }
        made = await asyncio.gather(*(self.make(operation, request) for operation, request in wanted.values()))
        files = dict(zip(wanted, made, strict=True))
        with Image.open(io.BytesIO(files[".png"])) as picture:
            mask, target = Image.new("L", picture.size, 255), io.BytesIO()
        mask.paste(0, (100, 100, 300, 300))
        mask.save(target, "PNG")
        return {**files, "mask": target.getvalue()}

    async def spoken(self, text: str) -> bytes:
        """A recording of these words."""
        return await self.make("speech.generate", SpeechRequest(lines=(Line(text=text),)))


async def _loopback(host: str) -> Sequence[str]:
    """Every name of an example is this machine."""
    assert ".example." in host, f"the sweep looked for {host}"
    return ["127.0.0.1"]


@asynccontextmanager
async def _studio(folder: Path) -> AsyncIterator[Studio]:
    crew = Crew(2)
    try:
        yield Studio(crew, folder)
    finally:
        await crew.close()


@asynccontextmanager
async def opened(postgres: Databases, folder: Path) -> AsyncIterator[World]:
    """A world of its own, for as long as the block runs."""
    (folder / "media").mkdir()
    async with _studio(folder / "media") as studio, postgres.fresh() as url, hosting() as host, receiving() as receiver:
        opener = houses(url, configs(folder))
        async with serving(opener, resolver=_loopback, rate_limit=f"{WINDOW}/10s") as gateway:
            world = World(gateway, host, receiver, studio, await _account(gateway))
            world.media = await studio.media()
            for name, mode, caps in KEYS:
                key = await gateway.house.accounts.create_key(world.account, mode, name=name, caps=caps)
                world.keys[name] = key.secret
            sorting = asyncio.create_task(world.sort())
            try:
                yield world
            finally:
                sorting.cancel()


async def _account(gateway: Gateway) -> Account:
    account = await gateway.house.accounts.create("sweep", test_credits=CREDITS)
    await gateway.house.accounts.grant(account, Mode.LIVE, CREDITS * 1000)
    return account

"""The Black Forest Labs API on 127.0.0.1, for Flux Kontext, as strict as its published description.

    async with Simulator() as sim:
        ...  # BFL_BASE_URL=sim.url, BFL_API_KEY=sim.key

It serves ``POST /v1/flux-kontext-pro`` and ``-max``, the polling address that each submission is answered with (on a
cluster of its own, so that guessing it does not help) and the signed addresses of results, good for ten minutes. It
refuses whatever the description does not allow, fields that it does not know among it. Pictures are drawn from the
request, and from the job's number where it names no seed. ``book`` holds what was accepted, and so would have been
billed, answered or not; ``posts`` counts every POST that arrived, so that no hidden retry stays hidden.

Not here: webhooks and the other models; requests for them are refused.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BytesIO
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web
from PIL import Image, ImageDraw, UnidentifiedImageError

from tessera.kit.clock import Clock, system

How = Literal["status", "drop", "stall", "garbage", "nameless", "elsewhere"]
"""What goes wrong with a submission: a status; then, all of them accepted and billed: the connection closed without an
answer, no answer at all, an answer that is no JSON, one without an id, one with a polling address of a stranger."""

Status = Literal["Ready", "Request Moderated", "Content Moderated", "Error", "Task not found"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MODELS = ("flux-kontext-pro", "flux-kontext-max")
ACTIVE: Mapping[str, int] = {"flux-kontext-pro": 24, "flux-kontext-max": 6}
"""Jobs that one account may have under way at a time."""

LIFE = timedelta(minutes=10)
BODY_BYTES = 120_000_000
IMAGE_BYTES = 20_000_000
IMAGE_PIXELS = 20_000_000
AREA = 1024 * 1024
IMAGES = ("input_image", "input_image_2", "input_image_3", "input_image_4")


@dataclass(slots=True, kw_only=True)
class Job:
    """A submission that was accepted and billed. ``fields`` are as they were sent; header names are in lower case."""

    id: str
    number: int
    model: str
    fields: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    verdict: Status
    pending: int
    accepted_at: datetime
    polls: int = 0

    def image(self, name: str = "input_image") -> Image.Image | None:
        text = self.fields.get(name)
        return Image.open(BytesIO(base64.b64decode(text))) if text else None

    @property
    def size(self) -> tuple[int, int]:
        """Of its result, in pixels."""
        given = self.image()
        wide, high = given.size if given else (1, 1)
        if self.fields.get("aspect_ratio"):
            wide, high = (int(part) for part in str(self.fields["aspect_ratio"]).split(":"))
        return round((AREA * wide / high) ** 0.5 / 16) * 16, round((AREA * high / wide) ** 0.5 / 16) * 16

    @property
    def seed(self) -> int:
        given = self.fields.get("seed")
        return given if isinstance(given, int) else self.number

    @property
    def format(self) -> str:
        return str(self.fields.get("output_format") or "png")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How the next good submission is answered instead."""

    how: How
    status: int = 500
    detail: object = "Internal Server Error"
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that the description does not allow."""

    def __init__(self, message: str, *, status: int = 422, loc: tuple[str | int, ...] = ("body",)) -> None:
        super().__init__(message)
        self.status = status
        self.loc = loc


class Simulator:
    """One account with one key. ``url`` is the base URL for a client."""

    def __init__(self, *, key: str = "bfl-simulated-0123456789abcdef", clock: Clock = system) -> None:
        self.key = key
        self.url = ""
        self.posts = 0
        self.book: list[Job] = []
        self.stalled = asyncio.Event()
        """Set when a request is being kept waiting."""
        self.pending = 1
        """How many polls of a new job are answered with Pending."""
        self._clock = clock
        self._faults: deque[Fault | None] = deque()
        self._verdicts: deque[Status] = deque()
        self._poll_statuses: deque[tuple[int, Mapping[str, str]]] = deque()
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None

    def fail_next(
        self,
        how: How = "status",
        *,
        status: int = 500,
        detail: object = "Internal Server Error",
        headers: Mapping[str, str] | None = None,
        times: int = 1,
        after: int = 0,
    ) -> None:
        """Script the answer to the next good submissions, once ``after`` more of them have gone well.

        ``detail`` is what the error body holds.
        """
        self._faults.extend([None] * after)
        self._faults.extend([Fault(how=how, status=status, detail=detail, headers=headers or {})] * times)

    def end_next(self, verdict: Status) -> None:
        """How the next job that is accepted ends."""
        self._verdicts.append(verdict)

    def fail_poll(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        """Answer the next poll with this HTTP status."""
        self._poll_statuses.append((status, headers or {}))

    def release(self) -> None:
        """Let stalled requests end, without an answer."""
        self._released.set()

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._guard], client_max_size=BODY_BYTES)
        app.router.add_post("/v1/{model}", self._submit)
        app.router.add_get("/clusters/{cluster}/v1/get_result", self._result, allow_head=False)
        app.router.add_get("/v1/get_result", self._result, allow_head=False)
        app.router.add_get("/delivery/{name}", self._deliver)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Path and method first, then the key, then the request itself; every refusal in their shape."""
        self.posts += request.method == "POST"
        try:
            if request.match_info.http_exception is None and not request.path.startswith("/delivery/"):
                self._authorize(request)
            return await handler(request)
        except Refused as refused:
            detail: object = str(refused)
            if refused.status == 422:
                detail = [{"type": "value_error", "loc": list(refused.loc), "msg": str(refused)}]
            return web.json_response({"detail": detail}, status=refused.status)
        except web.HTTPException as wrong:
            return web.json_response({"detail": wrong.reason}, status=wrong.status)

    def _authorize(self, request: web.Request) -> None:
        sent = request.headers.get("x-key")
        if sent is None:
            raise Refused("Not authenticated", status=403)
        if not hmac.compare_digest(sent, self.key):
            raise Refused("Invalid API key", status=403)

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        model = request.match_info["model"]
        if model not in MODELS:
            raise Refused("Not Found", status=404)
        fields = await _fields(request)
        await asyncio.to_thread(check, fields)
        if sum(job.model == model and job.polls <= job.pending for job in self.book) >= ACTIVE[model]:
            raise Refused("Rate limit exceeded: too many active tasks", status=429)
        fault = self._faults.popleft() if self._faults else None
        if fault is not None and fault.how == "status":
            return web.json_response({"detail": fault.detail}, status=fault.status, headers=fault.headers)
        job = self._accept(model, fields, request)
        return await self._answer(request, job, fault.how if fault else None)

    def _accept(self, model: str, fields: Mapping[str, Any], request: web.Request) -> Job:
        number = len(self.book) + 1
        job = Job(
            id=hashlib.sha256(f"{self.key}{number}".encode()).hexdigest()[:32],
            number=number,
            model=model,
            fields=fields,
            headers={name.lower(): value for name, value in request.headers.items()},
            verdict=self._verdicts.popleft() if self._verdicts else "Ready",
            pending=self.pending,
            accepted_at=self._clock(),
        )
        self.book.append(job)
        return job

    async def _answer(self, request: web.Request, job: Job, how: How | None) -> web.StreamResponse:
        if how in {"drop", "stall"}:
            if how == "stall":
                self.stalled.set()
                await self._released.wait()
            if request.transport is not None:
                request.transport.close()
            return web.StreamResponse()
        if how == "garbage":
            return web.Response(text='{"id": "', content_type="application/json")
        if how == "nameless":
            return web.json_response({"polling_url": self._place(job)})
        place = f"https://elsewhere.example/v1/get_result?id={job.id}" if how == "elsewhere" else self._place(job)
        cost = 8 if job.model.endswith("max") else 4
        return web.json_response(
            {"id": job.id, "polling_url": place, "cost": cost, "input_mp": None, "output_mp": 1.05}
        )

    def _place(self, job: Job) -> str:
        return f"{self.url}/clusters/{_cluster(job)}/v1/get_result?id={job.id}"

    async def _result(self, request: web.Request) -> web.Response:
        if set(request.query) != {"id"}:
            raise Refused("Field required", loc=("query", "id"))
        if self._poll_statuses:
            status, headers = self._poll_statuses.popleft()
            return web.json_response({"detail": "scripted"}, status=status, headers=headers)
        job = next((job for job in self.book if job.id == request.query["id"]), None)
        cluster = request.match_info.get("cluster")
        if job is None or job.verdict == "Task not found" or cluster not in {None, _cluster(job)}:
            return web.json_response(_shown(request.query["id"], "Task not found"))
        job.polls += 1
        if job.polls <= job.pending:
            return web.json_response(_shown(job.id, "Pending", progress=round(job.polls / (job.pending + 1), 2)))
        if job.verdict != "Ready":
            reasons = {"details": {"Moderation Reasons": ["Derivative Works Filter"]}} if "Mod" in job.verdict else {}
            return web.json_response(_shown(job.id, job.verdict, **reasons))
        started = job.accepted_at.timestamp()
        result = {
            "sample": self._signed(job),
            "prompt": job.fields["prompt"],
            "seed": job.seed,
            "start_time": started,
            "end_time": started + 4.5,
            "duration": 4.5,
        }
        return web.json_response(_shown(job.id, "Ready", result=result))

    def _signed(self, job: Job) -> str:
        name, until = f"{job.id}.{job.format}", int((job.accepted_at + LIFE).timestamp())
        return f"{self.url}/delivery/{name}?se={until}&sig={self._signature(name, until)}"

    def _signature(self, name: str, until: int) -> str:
        return hmac.new(self.key.encode(), f"{name}:{until}".encode(), hashlib.sha256).hexdigest()[:32]

    async def _deliver(self, request: web.Request) -> web.Response:
        name, until = request.match_info["name"], request.query.get("se", "")
        signed = until.isdigit() and request.query.get("sig") == self._signature(name, int(until))
        if not signed or self._clock().timestamp() >= int(until):
            raise Refused("Server failed to authenticate the request.", status=403)
        job = next(job for job in self.book if name.startswith(job.id))
        return web.Response(body=await asyncio.to_thread(draw, job), content_type=f"image/{job.format}")


def _cluster(job: Job) -> str:
    return f"eu{job.number % 4 + 1}"


def _shown(job_id: str, status: str, **more: object) -> dict[str, object]:
    return {"id": job_id, "status": status, "result": None, "progress": None, "details": None, "preview": None, **more}


# What a submission may say.


async def _fields(request: web.Request) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise Refused("The content type is not application/json")
    try:
        fields = json.loads(await request.read())
    except ValueError as error:
        raise Refused("JSON decode error") from error
    if not isinstance(fields, dict):
        raise Refused("Input should be a valid dictionary")
    return fields


def _is_whole(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_ratio(value: object) -> bool:
    found = re.fullmatch(r"([1-9]\d{0,3}):([1-9]\d{0,3})", value) if isinstance(value, str) else None
    return found is not None and 9 / 21 - 1e-9 <= int(found[1]) / int(found[2]) <= 21 / 9 + 1e-9


CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "prompt": lambda value: isinstance(value, str) and bool(value.strip()),
    "seed": lambda value: value is None or type(value) is int,
    "aspect_ratio": lambda value: value is None or _is_ratio(value),
    "output_format": lambda value: value is None or value in {"jpeg", "png", "webp"},
    "prompt_upsampling": lambda value: type(value) is bool,
    "safety_tolerance": lambda value: _is_whole(value, 0, 6),
    **dict.fromkeys(IMAGES, lambda value: value is None or _is_picture(value)),
}


def check(fields: Mapping[str, Any]) -> None:
    """Raises Refused at the first field that is unknown here, wrong, or in conflict with another."""
    if "prompt" not in fields:
        raise Refused("Field required", loc=("body", "prompt"))
    for name, value in fields.items():
        if name not in CHECKS:
            raise Refused("Extra inputs are not permitted", loc=("body", name))
        if not CHECKS[name](value):
            raise Refused(f"Input should be a valid {name}", loc=("body", name))
    if fields.get("input_image") and fields.get("safety_tolerance", 2) > 2:
        raise Refused("Input should be less than or equal to 2", loc=("body", "safety_tolerance"))
    if not fields.get("input_image") and any(fields.get(name) for name in IMAGES[1:]):
        raise Refused("The first image is missing", loc=("body", "input_image"))


def _is_picture(value: object) -> bool:
    """Base64 of a PNG, JPEG or WebP file of bearable size. Addresses are not fetched here."""
    if not isinstance(value, str):
        return False
    try:
        content = base64.b64decode(value, validate=True)
        with Image.open(BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as picture:
            picture.load()
            return len(content) <= IMAGE_BYTES and picture.width * picture.height <= IMAGE_PIXELS
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError):
        return False


def colour(job: Job) -> tuple[int, int, int]:
    """What a result is painted with: it follows from the request and the seed."""
    said = json.dumps([job.model, job.fields, job.seed], sort_keys=True)
    red, green, blue = hashlib.sha256(said.encode()).digest()[:3]
    return red, green, blue


def draw(job: Job) -> bytes:
    """A plain ground; an edit has its picture small in the middle of it."""
    picture = Image.new("RGB", job.size, colour(job))
    ImageDraw.Draw(picture).rectangle((8, 8, 40, 40), fill="white")
    given = job.image()
    if given is not None:
        small = given.convert("RGB").resize((job.size[0] // 2, job.size[1] // 2))
        picture.paste(small, (job.size[0] // 4, job.size[1] // 4))
    held = BytesIO()
    picture.save(held, job.format.upper())
    return held.getvalue()

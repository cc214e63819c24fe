"""Veo 3.1: ``/api/v1/veo``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from tessera.contract.envelope import Envelope, TaskCreated
from tessera.contract.operations import Operation
from tessera.contract.video import (
    Veo4k,
    Veo4kCallbackData,
    Veo4kInfo,
    Veo4kState,
    Veo1080p,
    VeoCallbackData,
    VeoExtend,
    VeoGenerate,
    VeoInfo,
    VeoMode,
    VeoRecord,
    VeoRendition,
    VeoResult,
)
from tessera.dialects.base import Call, Desk, Link, Route, bounded, compact, creates, read, urls
from tessera.dialects.files import too_old
from tessera.dialects.videos import (
    MAX_PROMPT,
    MAX_WATERMARK,
    covers,
    films,
    not_started,
    old,
    plain_id,
    request_of,
    source,
    to_extend,
    whole,
    within,
)
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.task import Draft, Failure, Reason, State, Task, VideoRequest
from tessera.kit.clock import millis
from tessera.kit.ids import part

MODEL = "veo3_fast"
ALIASES = {"veo3_quality": "veo3", "veo3-fast": "veo3_fast"}
EXTENDERS = {"fast": "veo3_fast", "quality": "veo3", "lite": "veo3_lite"}
"""What an extension calls the models."""

PRICES: Mapping[str, int] = {
    "veo3_lite": 30_000,  # reported by a third party
    "veo3_fast": 80_000,  # advertised as 0.40 USD; one account measured 168, but 4K is "about twice Fast" and costs 120
    "veo3": 250_000,  # measured in 2026; advertised as 400
}
"""Milli-credits for a clip, by third parties: the reference names none. They know clips of 8 seconds only, so shorter
ones cost the same; of an extension no figure is known, and it costs what a new clip costs."""

MAX_IMAGES = 3
SEEDS = (10_000, 99_999)
SECONDS = 8
LENGTHS = (4, 6, 8)
REFERENCE_MODELS = ("veo3_fast", "veo3_lite")

MISSING = "record is null"
NO_SOURCE = "Original video or task does not exist"
UPSCALE = "video.upscale"

GENERATED = "Veo3.1 video generated successfully."
EXTENDED = "Veo3.1 video extension successful."
FLAGGED = "Prompt flagged as violating content policies."
NO_IMAGE = "Failed to fetch the image."
"""Texts of failures that clients know. Where there is none, ours tells more than theirs would."""

CODES = {Reason.CONTENT: 400, Reason.INPUT_INVALID: 400, Reason.INPUT_UNREACHABLE: 400, Reason.CANCELED: 499}
"""Of a failure; one of the provider is 501, all else 500. 499 is ours."""

AGAIN = timedelta(minutes=5)
"""So long a rendition that failed is answered with its failure; whoever asks later starts a new one.

A client asks every 20 to 30 seconds, and sees the failure; it does not start one task after the other.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A finished video in another size. ``model`` is what an operator routes and prices it by."""

    resolution: str
    model: str
    price: int
    working: str
    unavailable: str


HD = Rendition(
    resolution="1080p",
    model="veo3_1080p",
    price=5_000,  # reported by a third party
    working="1080P is processing. Please check back shortly.",
    unavailable="The 1080P version of this video is unavailable.",
)
UHD = Rendition(
    resolution="4k",
    model="veo3_4k",
    price=120_000,  # measured in June 2026
    working="4k is processing. Please check back shortly.",
    unavailable="The 4K version of this video is unavailable.",
)
UHD_THERE = "The video has been generated successfully"
UHD_DONE = "4K Video generated successfully."

LARGE = (HD.resolution, UHD.resolution)
"""A clip that was ordered so large is its own 1080p rendition: nothing is to be made of it, and nothing costs."""

EXTRA = {"720p": 0, HD.resolution: HD.price, UHD.resolution: UHD.price}
"""A clip that is ordered larger costs its rendition, too: no source says what it costs."""

GENERATE = Operation(
    method="post",
    path="/api/v1/veo/generate",
    id="generateVeo31Video",
    summary="Create a Veo task, from text, from one or two frames, or from reference images",
    tag="Veo 3.1",
    body=VeoGenerate,
    data=TaskCreated,
    creates=True,
)
RECORD = Operation(
    method="get",
    path="/api/v1/veo/record-info",
    id="getVeo31VideoDetails",
    summary="State and result of any Veo task: generate, extend, 1080p and 4K",
    tag="Veo 3.1",
    query=("taskId!",),
    data=VeoRecord,
)
GET_1080P = Operation(
    method="get",
    path="/api/v1/veo/get-1080p-video",
    id="getVeo31Video1080p",
    summary="The 1080p rendition of a finished Veo task; the first call starts it, code 400 says: not yet",
    tag="Veo 3.1",
    query=("taskId!", "index"),
    data=Veo1080p,
)
GET_4K = Operation(
    method="post",
    path="/api/v1/veo/get-4k-video",
    id="getVeo31Video4k",
    summary="The 4K rendition of a finished Veo task; the first call starts it, code 422 tells how far it is",
    tag="Veo 3.1",
    body=Veo4k,
    data=Veo4kState,
)
GET_4K_OLD = Operation(
    method="get",
    path=GET_4K.path,
    id="getVeo31Video4kByQuery",
    summary="The same, as clients of 2025 call it",
    tag="Veo 3.1",
    query=("taskId!", "index", "callBackUrl"),
    data=Veo4kState,
)
EXTEND = Operation(
    method="post",
    path="/api/v1/veo/extend",
    id="extendVeo31Video",
    summary="Continue a finished Veo video; extensions can be chained",
    tag="Veo 3.1",
    body=VeoExtend,
    data=TaskCreated,
    creates=True,
)


class Veo:
    name = "veo"
    models = frozenset({*PRICES, HD.model, UHD.model})

    def __init__(self) -> None:
        self.task_id = plain_id("veo_extend_task_", "veo_task_")

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            Route(GENERATE, creates(self.parse)),
            Route(RECORD, self.show),
            Route(GET_1080P, self.hd),
            Route(GET_4K, self.uhd),
            Route(GET_4K_OLD, self.uhd_old),
            Route(EXTEND, self.extend),
        )

    # ---- generate ----

    def parse(self, body: bytes) -> Draft:
        wire = read(VeoGenerate, body)
        model = ALIASES.get(wire.model or "", wire.model or MODEL)
        mode = _mode(wire)
        images = _images(wire, mode)
        resolution = wire.resolution or "720p"
        request = VideoRequest(
            prompt=bounded("prompt", wire.prompt, MAX_PROMPT, required=True),
            seconds=_seconds(wire, mode),
            ratio=_ratio(wire, mode),
            resolution=resolution,
            seed=_seed(wire),
            watermark=_watermark(wire),
            **_parts(mode, tuple(images.values())),
        )
        if mode == "REFERENCE_2_VIDEO" and model not in REFERENCE_MODELS:
            raise Invalid(f"model: must be {' or '.join(REFERENCE_MODELS)} with {mode}", field="model")
        return Draft(
            family=self.name,
            operation="video.generate",
            model=model,
            request=request,
            params=compact(body),
            callback_url=wire.callBackUrl or None,
            price=PRICES[model] + EXTRA[resolution],
            units={"output": 1, "second": request.seconds},
            urls={**images, **urls(callBackUrl=wire.callBackUrl)},
        )

    # ---- extend ----

    async def extend(self, call: Call, desk: Desk) -> object:
        """A task that goes on from the whole of an earlier one."""
        wire = read(VeoExtend, call.body)
        prompt = bounded("prompt", wire.prompt, MAX_PROMPT, required=True)
        seed, watermark = _seed(wire), _watermark(wire)
        parent = await self._own(wire.taskId, desk)
        if parent is None:
            return Envelope(404, NO_SOURCE)
        if parent.operation == UPSCALE:
            raise Invalid("taskId: a rendition cannot be extended; give the task that it was made of", field="taskId")
        film = to_extend(parent, desk)
        made = await desk.children(parent, UPSCALE)
        if any(request_of(each).resolution == HD.resolution and not each.failure for each in made):
            raise Invalid("taskId: a video of which a 1080P version was made cannot be extended", field="taskId")
        model = EXTENDERS.get(wire.model or "fast", wire.model or "")
        given = request_of(parent)
        request = VideoRequest(
            prompt=prompt,
            seconds=SECONDS,
            ratio=given.ratio,
            resolution=given.resolution,
            video=desk.link(film),
            seed=seed,
            watermark=watermark,
        )
        draft = Draft(
            family=self.name,
            operation="video.extend",
            model=model,
            request=request,
            params=compact(call.body),
            callback_url=wire.callBackUrl or None,
            urls=urls(callBackUrl=wire.callBackUrl),
            parent=parent.id,
            price=PRICES[model],
            units={"output": 1, "second": request.seconds},
        )
        return TaskCreated(await desk.accept(draft))

    # ---- 1080p and 4K ----

    async def hd(self, call: Call, desk: Desk) -> object:
        """The URL of the 1080p rendition; until it is there code 400, which clients know as the call to come back."""
        base, index = await self._base(call.one("taskId"), desk), whole("index", call.maybe("index")) or 0
        film = source(base, desk, index)
        if request_of(base).resolution in LARGE:  # it was made so, or larger
            return Veo1080p(desk.link(film))
        made = await _renditions(base, index, HD, desk)
        task = _known(made, desk.now)
        if task is None:
            await self._start(base, index, HD, desk, tried=len(made))
        if task is None or not task.state.terminal:
            return Envelope(400, HD.working)
        if task.failure:
            return Envelope(500, _unavailable(HD, task.failure))
        return Veo1080p(desk.link(source(task, desk)))

    async def uhd(self, call: Call, desk: Desk) -> object:
        return await self._uhd(read(Veo4k, call.body), desk)

    async def uhd_old(self, call: Call, desk: Desk) -> object:
        wire = Veo4k(taskId=call.one("taskId"), index=call.maybe("index"), callBackUrl=call.maybe("callBackUrl"))
        return await self._uhd(wire, desk)

    async def _uhd(self, wire: Veo4k, desk: Desk) -> Envelope:
        """Success for the call that starts the rendition; each later one is a 422 that tells how far it is.

        ``taskId`` is that of the rendition, which has a record of its own; both ids are good for asking again.
        """
        base, index = await self._base(wire.taskId, desk), whole("index", wire.index) or 0
        source(base, desk, index)
        if request_of(base).resolution == UHD.resolution:  # it was made so
            return Envelope(422, UHD_THERE, _state(base, desk.link))
        made = await _renditions(base, index, UHD, desk)
        task = _known(made, desk.now)
        if task is None:
            started = await self._start(base, index, UHD, desk, tried=len(made), callback=wire.callBackUrl)
            return Envelope(200, "success", Veo4kState(started))
        if not task.state.terminal:
            return Envelope(422, UHD.working, Veo4kState(task.id))
        if task.failure:
            return Envelope(500, _unavailable(UHD, task.failure))
        source(task, desk)
        return Envelope(422, UHD_THERE, _state(task, desk.link))

    async def _start(
        self, base: Task, index: int, rendition: Rendition, desk: Desk, *, tried: int, callback: str | None = None
    ) -> str:
        """A new rendition; two calls of the same moment start one.

        ``tried`` counts those of the very reading that found none: a second reading may see what another call has
        begun meanwhile, and would name a second one.
        """
        given, film = request_of(base), source(base, desk, index)
        request = VideoRequest(
            seconds=given.seconds,
            ratio=given.ratio,
            resolution=rendition.resolution,
            video=desk.link(film),
            cover=rendition is UHD,
        )
        draft = Draft(
            family=self.name,
            operation=UPSCALE,
            model=rendition.model,
            request=request,
            params=msgspec.json.encode(VeoRendition(base.id, index)).decode(),
            callback_url=callback or None,
            urls=urls(callBackUrl=callback),
            parent=base.id,
            price=rendition.price,
            units={"output": 1, "second": given.seconds},
        )
        return await desk.accept(draft, once=f"{rendition.model}:{base.id}:{index}:{tried}")

    async def _base(self, given: str, desk: Desk) -> Task:
        """The task that a rendition is made of: the one that is named, or that of the rendition that is named."""
        task = await self._own(given, desk)
        if task is not None and task.operation == UPSCALE:
            task = await desk.task(task.parent or "")
        if task is None:
            raise NotFound(MISSING)
        return task

    async def _own(self, given: str, desk: Desk) -> Task | None:
        task = await desk.task(self.task_id(given))
        return task if task is not None and task.family == self.name else None

    # ---- record and callback ----

    async def show(self, call: Call, desk: Desk) -> VeoRecord:
        task = await self._own(call.one("taskId"), desk)
        if task is None:
            raise NotFound(MISSING)
        if old(task, desk.now, desk.kept):
            raise Invalid(too_old(desk.kept), field="taskId")
        return self.record(task, desk.link)

    def record(self, task: Task, link: Link) -> VeoRecord:
        result = _result(task, link) if task.state is State.SUCCEEDED else None
        return VeoRecord(
            taskId=task.id,
            paramJson=task.params,
            completeTime=millis(task.completed_at) if task.completed_at else None,
            response=result,
            successFlag=_flag(task),
            errorCode=_code(task.failure) if task.failure else None,
            errorMessage=_message(task),
            createTime=millis(task.created_at),
            fallbackFlag=UNSET if task.operation == UPSCALE else False,
            resultUrls=msgspec.json.encode(result.resultUrls).decode() if result else UNSET,
        )

    def callback(self, task: Task, link: Link) -> Envelope:
        if task.operation == UPSCALE:
            return _told_4k(task, link)
        if task.failure:
            return Envelope(_code(task.failure), _message(task) or "", VeoCallbackData(taskId=task.id))
        result = _result(task, link)
        longer = task.operation == "video.extend"
        info = VeoInfo(
            resultUrls=result.resultUrls,
            resolution=result.resolution,
            fullResultUrls=result.fullResultUrls if longer else UNSET,
        )
        data = VeoCallbackData(taskId=task.id, promptJson=task.params, info=info)
        return Envelope(200, EXTENDED if longer else GENERATED, data)


# ---- what is asked ----


def _mode(wire: VeoGenerate) -> VeoMode:
    """The mode that is named, or the natural one: one or two images are frames, three are references."""
    if wire.generationType is not None:
        return wire.generationType
    count = len(wire.imageUrls or ())
    if count == 0:
        return "TEXT_2_VIDEO"
    return "FIRST_AND_LAST_FRAMES_2_VIDEO" if count <= 2 else "REFERENCE_2_VIDEO"


def _images(wire: VeoGenerate, mode: VeoMode) -> dict[str, str]:
    """Field name to URL. The mode that goes by text alone has none, whatever was sent with it."""
    count = len(wire.imageUrls or ())
    if mode == "TEXT_2_VIDEO":
        return {}
    if count == 0:
        raise Invalid(f"imageUrls: is required with {mode}", field="imageUrls")
    most = MAX_IMAGES if mode == "REFERENCE_2_VIDEO" else 2
    if count > most:
        raise Invalid(f"imageUrls: at most {most} images with {mode}, got {count}", field="imageUrls")
    return urls(imageUrls=wire.imageUrls)


def _parts(mode: VeoMode, images: tuple[str, ...]) -> dict[str, Any]:
    """The part that each image plays in the request."""
    if mode == "REFERENCE_2_VIDEO":
        return {"references": images}
    return dict(zip(("first", "last"), images, strict=False))


def _ratio(wire: VeoGenerate, mode: VeoMode) -> str:
    field = "aspect_ratio" if wire.aspect_ratio is not None else "aspectRatio"
    ratio = (wire.aspect_ratio or wire.aspectRatio or "16:9").replace("Auto", "auto")
    if ratio == "auto" and mode == "REFERENCE_2_VIDEO":
        raise Invalid(f"{field}: must be 16:9 or 9:16 with {mode}", field=field)
    return "16:9" if ratio == "auto" and mode == "TEXT_2_VIDEO" else ratio


def _seconds(wire: VeoGenerate, mode: VeoMode) -> int:
    """A length that is none of the documented ones is not looked at: clients send some from before the field was."""
    try:
        given = float(wire.duration or SECONDS)
    except ValueError:
        raise Invalid("duration: must be a number", field="duration") from None
    seconds = int(given) if given in LENGTHS else SECONDS
    if mode == "REFERENCE_2_VIDEO" and seconds != SECONDS:
        raise Invalid(f"duration: must be {SECONDS} with {mode}", field="duration")
    return seconds


def _seed(wire: VeoGenerate | VeoExtend) -> int | None:
    seed = within("seeds", wire.seeds, *SEEDS)
    return within("seed", wire.seed, *SEEDS) if seed is None else seed


def _watermark(wire: VeoGenerate | VeoExtend) -> str:
    return bounded("watermark", wire.watermark or wire.waterMark, MAX_WATERMARK)


# ---- renditions ----


async def _renditions(base: Task, index: int, rendition: Rendition, desk: Desk) -> list[Task]:
    """The tasks that made, or tried to make, this rendition of this video; the newest first."""
    made = await desk.children(base, UPSCALE)
    return [
        task
        for task in made
        if request_of(task).resolution == rendition.resolution
        and msgspec.json.decode(task.params, type=VeoRendition).index == index
    ]


def _known(made: Sequence[Task], now: datetime) -> Task | None:
    """The rendition that is there or under way; None where a new one is due."""
    task = next(iter(made), None)
    if task is not None and task.failure and now - (task.completed_at or now) >= AGAIN:
        return None
    return task


def _unavailable(rendition: Rendition, failure: Failure) -> str:
    return f"{rendition.unavailable} {failure.message}"


def _state(task: Task, link: Link) -> Veo4kState:
    return Veo4kState(task.id, [link(film) for film in films(task)], [link(cover) for cover in covers(task)])


def _told_4k(task: Task, link: Link) -> Envelope:
    """The callback of a 4K rendition."""
    if task.failure:
        code = {501: 500}.get(_code(task.failure), _code(task.failure))
        data = Veo4kCallbackData(taskId=task.id, task_id=task.id)
        return Envelope(code, _unavailable(UHD, task.failure), data)
    made, shown = [link(film) for film in films(task)], [link(cover) for cover in covers(task)]
    data = Veo4kCallbackData(
        taskId=task.id,
        task_id=task.id,
        info=Veo4kInfo(made, shown),
        result_urls=made,
        image_urls=shown,
        media_ids=_media(task),
    )
    return Envelope(200, UHD_DONE, data)


# ---- what is answered ----


def _result(task: Task, link: Link) -> VeoResult:
    made, request = [link(film) for film in films(task)], request_of(task)
    if task.operation == UPSCALE:
        return VeoResult(
            taskId=task.id,
            resultUrls=made,
            resolution=request.resolution,
            imageUrls=[link(cover) for cover in covers(task)],
            mediaIds=_media(task),
        )
    longer = task.operation == "video.extend"
    shown = made[:1] if longer else made
    return VeoResult(
        taskId=task.id,
        resultUrls=shown,
        fullResultUrls=made[-1:] if longer else [],
        resolution=request.resolution,
        seeds=_seeds(task),
        hasAudioList=[request.sound] * len(shown),
    )


def _media(task: Task) -> list[str]:
    return [part(task.id, index) for index, _ in enumerate(films(task))]


def _seeds(task: Task) -> list[int] | None:
    """The seed that was asked for, or the one that the provider tells, if it is one that can be asked for."""
    told = [request_of(task).seed, *(piece.facts.get("seed") for piece in task.pieces)]
    shown = [seed for seed in told if isinstance(seed, int) and SEEDS[0] <= seed <= SEEDS[1]]
    return shown[:1] or None


def _flag(task: Task) -> Literal[0, 1, 2, 3]:
    if task.state is State.SUCCEEDED:
        return 1
    if not task.state.terminal:
        return 0
    return 2 if not_started(task) else 3


def _code(failure: Failure) -> int:
    return CODES.get(failure.reason, 501 if failure.reason is Reason.PROVIDER else 500)


def _message(task: Task) -> str | None:
    if task.failure is None:
        return "" if task.state is State.SUCCEEDED else None
    if task.failure.reason is Reason.CONTENT:
        return FLAGGED
    if task.failure.reason is Reason.INPUT_UNREACHABLE and request_of(task).video is None:
        return NO_IMAGE
    return task.failure.message


family = Veo()

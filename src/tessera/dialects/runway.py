"""Runway: ``/api/v1/runway``."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import UNSET

from tessera.contract.envelope import Envelope, TaskCreated
from tessera.contract.operations import Operation
from tessera.contract.video import (
    RUNWAY_RATIOS,
    RunwayCallbackData,
    RunwayExtend,
    RunwayGenerate,
    RunwayParam,
    RunwayRecord,
    RunwayState,
    RunwayVideo,
)
from tessera.dialects.base import Call, Desk, Link, Route, bounded, compact, creates, read, urls
from tessera.dialects.videos import (
    MAX_WATERMARK,
    covers,
    films,
    old,
    one_of,
    plain_id,
    ratio_of,
    request_of,
    to_extend,
)
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.task import Draft, Failure, Reason, State, Task, VideoRequest
from tessera.kit.ids import part

MODEL = "runway"
PRICES: Mapping[tuple[int, str], int] = {(5, "720p"): 12_000, (5, "1080p"): 30_000, (10, "720p"): 30_000}
"""Milli-credits by seconds and quality, as a third party reports them; the reference names none."""
PER_SECOND = 6_000
"""Of an extension, as reported by a third party."""

MAX_PROMPT = 1800
LENGTHS = (5, 10)
EXTENSION = 5
"""Seconds: the reference does not say how long an extension is."""

LEGACY = {"runway-duration-5-generate": 5, "runway-duration-10-generate": 10}
"""How a length was named before it had a field."""

SHOWN = frozenset({"runway", "aleph"})
"""Families whose tasks record-detail shows: a client polls Aleph there."""

DONE = "All generated successfully."
MISSING = "The record does not exist"
REFUSED = "The request was refused for inappropriate content: caught by the AI moderator."
NO_IMAGE = "Unable to download the image from the provided imageUrl"
"""Texts of failures that clients know or that name the right field. Where there is none, ours tells more."""

CODES = {Reason.CONTENT: 400, Reason.INPUT_INVALID: 400, Reason.INPUT_UNREACHABLE: 400, Reason.CANCELED: 499}
"""Of a failure; all else is 500. 499 is ours."""

GENERATE = Operation(
    method="post",
    path="/api/v1/runway/generate",
    id="generateAiVideo",
    summary="Create a Runway task, from text or from a first image",
    tag="Runway",
    body=RunwayGenerate,
    data=TaskCreated,
    creates=True,
)
RECORD = Operation(
    method="get",
    path="/api/v1/runway/record-detail",
    id="getAiVideoDetails",
    summary="State and result of a Runway task",
    tag="Runway",
    query=("taskId!",),
    data=RunwayRecord,
)
RECORD_ALIAS = replace(
    RECORD, path="/api/v1/runway/record-info", id="getAiVideoInfo", summary="The same, by the name of other families"
)
EXTEND = Operation(
    method="post",
    path="/api/v1/runway/extend",
    id="extendAiVideo",
    summary="Continue a finished Runway video; extensions can be chained",
    tag="Runway",
    body=RunwayExtend,
    data=TaskCreated,
    creates=True,
)


class Runway:
    name = "runway"
    models = frozenset({MODEL})

    def __init__(self) -> None:
        self.task_id = plain_id()

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            Route(GENERATE, creates(self.parse)),
            Route(RECORD, self.show),
            Route(RECORD_ALIAS, self.show),
            Route(EXTEND, self.extend),
        )

    def parse(self, body: bytes) -> Draft:
        wire = read(RunwayGenerate, body)
        prompt = bounded("prompt", wire.prompt, MAX_PROMPT, required=True)
        seconds, quality = _size(wire)
        image = wire.imageUrl or None
        request = VideoRequest(
            prompt=prompt,
            seconds=seconds,
            ratio="auto" if image else _ratio(wire.aspectRatio),
            resolution=quality,
            first=image,
            cover=True,
            watermark=_watermark(wire),
        )
        return Draft(
            family=self.name,
            operation="video.generate",
            model=MODEL,
            request=request,
            params=compact(body),
            callback_url=wire.callBackUrl or None,
            price=PRICES[seconds, quality],
            units={"output": 1, "second": seconds},
            urls=urls(imageUrl=image, callBackUrl=wire.callBackUrl),
        )

    async def extend(self, call: Call, desk: Desk) -> object:
        """A task that goes on from the whole of an earlier one, in its ratio."""
        wire = read(RunwayExtend, call.body)
        prompt = bounded("prompt", wire.prompt, MAX_PROMPT, required=True)
        parent = await desk.task(self.task_id(wire.taskId))
        if parent is None or parent.family != self.name:
            raise NotFound(MISSING)
        request = VideoRequest(
            prompt=prompt,
            seconds=EXTENSION,
            ratio=request_of(parent).ratio,
            resolution=wire.quality,
            video=desk.link(to_extend(parent, desk)),
            cover=True,
            watermark=_watermark(wire),
        )
        draft = Draft(
            family=self.name,
            operation="video.extend",
            model=MODEL,
            request=request,
            params=compact(call.body),
            callback_url=wire.callBackUrl or None,
            urls=urls(callBackUrl=wire.callBackUrl),
            parent=parent.id,
            price=EXTENSION * PER_SECOND,
            units={"output": 1, "second": EXTENSION},
        )
        return TaskCreated(await desk.accept(draft))

    async def show(self, call: Call, desk: Desk) -> RunwayRecord:
        task = await desk.task(self.task_id(call.one("taskId")))
        if task is None or task.family not in SHOWN:
            raise NotFound(MISSING)
        return self.record(task, desk.link, desk.now, desk.kept)

    def record(self, task: Task, link: Link, now: datetime, kept: timedelta) -> RunwayRecord:
        over = old(task, now, kept) or any(asset.purged_at is not None for asset in task.outputs)
        return RunwayRecord(
            taskId=task.id,
            parentTaskId=task.parent or "",
            generateParam=_param(task),
            state=_state(task),
            generateTime=f"{(task.completed_at or task.created_at).astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            videoInfo=_video(task, link) if task.state is State.SUCCEEDED else None,
            failCode=code(task.failure) if task.failure else None,
            failMsg=_message(task, task.failure) if task.failure else "",
            expireFlag=1 if over else 0,
        )

    def callback(self, task: Task, link: Link) -> Envelope:
        if task.failure:
            blank = "" if task.operation == "video.generate" else UNSET
            data = RunwayCallbackData(task_id=task.id, taskId=task.id, video_id=blank, video_url=blank, image_url=blank)
            return Envelope(code(task.failure), _message(task, task.failure), data)
        video = _video(task, link)
        data = RunwayCallbackData(
            task_id=task.id,
            taskId=task.id,
            video_id=video.videoId,
            video_url=video.videoUrl,
            image_url="" if video.imageUrl is UNSET else video.imageUrl,
        )
        return Envelope(200, DONE, data)


def _size(wire: RunwayGenerate) -> tuple[int, str]:
    """Seconds and quality; the old name of a model stands for both."""
    legacy = LEGACY.get(wire.model or "")
    seconds = one_of("duration", wire.duration, LENGTHS) or legacy
    quality = wire.quality or ("720p" if legacy else None)
    if seconds is None:
        raise Invalid("duration: is required", field="duration")
    if quality is None:
        raise Invalid("quality: is required", field="quality")
    if quality == "1080p" and seconds != 5:
        raise Invalid("quality: 1080p is only available for 5 second videos", field="quality")
    return seconds, quality


def _ratio(given: str | None) -> str:
    if not given:
        raise Invalid("aspectRatio: is required unless there is an imageUrl", field="aspectRatio")
    return ratio_of(given, RUNWAY_RATIOS)


def _watermark(wire: RunwayGenerate | RunwayExtend) -> str:
    return bounded("waterMark", wire.waterMark or wire.watermark, MAX_WATERMARK)


def _param(task: Task) -> RunwayParam:
    request = request_of(task)
    known = task.family == Runway.name and task.operation == "video.generate"
    wire = msgspec.json.decode(task.params, type=RunwayGenerate) if known else None
    image = request.first or next(iter(request.references), "")
    return RunwayParam(request.prompt, image, bool(wire and wire.expandPrompt))


def _state(task: Task) -> RunwayState:
    """It waits in our queue, is queueing once a worker has it, and generating once its attempt has begun."""
    if task.state is State.SUCCEEDED:
        return "success"
    if task.state.terminal:
        return "fail"
    if task.state is State.RUNNING:
        return "generating"
    return "wait" if task.started_at is None else "queueing"


def _video(task: Task, link: Link) -> RunwayVideo:
    """Of an extension the whole is shown."""
    cover = next(iter(covers(task)), None)
    return RunwayVideo(
        videoId=part(task.id, 0),
        taskId=task.id,
        videoUrl=link(films(task)[-1]),
        imageUrl=link(cover) if cover else UNSET,
    )


def code(failure: Failure) -> int:
    return CODES.get(failure.reason, 500)


def _message(task: Task, failure: Failure) -> str:
    if failure.reason is Reason.CONTENT:
        return REFUSED
    return NO_IMAGE if failure.reason is Reason.INPUT_UNREACHABLE and request_of(task).first else failure.message


family = Runway()

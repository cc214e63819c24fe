"""Luma Modify: ``/api/v1/modify``."""

from datetime import datetime
from typing import Literal

import msgspec

from tessera.contract.envelope import Envelope, TaskCreated
from tessera.contract.operations import Operation
from tessera.contract.video import LumaCallbackData, LumaModify, LumaParams, LumaRecord, LumaResult
from tessera.dialects.base import Call, Desk, Link, Route, bounded, compact, read, shows, urls
from tessera.dialects.videos import (
    MAX_PROMPT,
    MAX_WATERMARK,
    check_own,
    films,
    not_started,
    plain_id,
    request_of,
)
from tessera.domain.errors import Invalid
from tessera.domain.task import Draft, Failure, Reason, State, Task, VideoRequest
from tessera.kit.clock import millis

MODEL = "luma-modify"
MAX_SECONDS = 10
MAX_BYTES = 500_000_000
PRICE = MAX_SECONDS * 6_000
"""Milli-credits. No figure is known; this is what Aleph's 6 credits a second make for the longest video."""

DONE = "Modify record generated successfully."
FAILED = "Modify record generation failed."

CODES = {Reason.CONTENT: 400, Reason.INPUT_INVALID: 422, Reason.INPUT_UNREACHABLE: 422, Reason.CANCELED: 499}
"""Of a failure, on the record; one of the provider is 501, all else 500. 499 is ours."""

GENERATE = Operation(
    method="post",
    path="/api/v1/modify/generate",
    id="generateLumaModifyVideo",
    summary="Modify a short video by a prompt",
    tag="Luma Modify",
    body=LumaModify,
    data=TaskCreated,
    creates=True,
)
RECORD = Operation(
    method="get",
    path="/api/v1/modify/record-info",
    id="getLumaModifyDetails",
    summary="State and result of a Luma task",
    tag="Luma Modify",
    query=("taskId!",),
    data=LumaRecord,
)


class Luma:
    name = "luma"
    models = frozenset({MODEL})

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            Route(GENERATE, self.generate),
            Route(RECORD, shows(self.name, self.record, task_id=plain_id())),
        )

    async def generate(self, call: Call, desk: Desk) -> TaskCreated:
        """A task; a video of the caller's own that lies here is known to be too long or too large before it is one."""
        draft = self.parse(call.body)
        video = await check_own("videoUrl", draft.urls["videoUrl"], desk, most_bytes=MAX_BYTES)
        if video is not None and video.seconds is not None and video.seconds > MAX_SECONDS:
            words = f"videoUrl: at most {MAX_SECONDS} seconds, got {video.seconds:.1f}"
            raise Invalid(words, field="videoUrl")
        return TaskCreated(await desk.accept(draft))

    def parse(self, body: bytes) -> Draft:
        wire = read(LumaModify, body)
        if not wire.videoUrl:
            raise Invalid("videoUrl: is required", field="videoUrl")
        request = VideoRequest(
            prompt=bounded("prompt", wire.prompt, MAX_PROMPT, required=True),
            seconds=MAX_SECONDS,
            ratio="auto",
            video=wire.videoUrl,
            watermark=bounded("watermark", wire.watermark or wire.waterMark, MAX_WATERMARK),
        )
        return Draft(
            family=self.name,
            operation="video.modify",
            model=MODEL,
            request=request,
            params=compact(body),
            callback_url=wire.callBackUrl or None,
            price=PRICE,
            units={"output": 1, "second": MAX_SECONDS},
            urls=urls(videoUrl=wire.videoUrl, callBackUrl=wire.callBackUrl),
        )

    def record(self, task: Task, link: Link, now: datetime) -> LumaRecord:
        return LumaRecord(
            taskId=task.id,
            paramJson=_params(task),
            completeTime=millis(task.completed_at) if task.completed_at else None,
            response=_result(task, link) if task.state is State.SUCCEEDED else None,
            successFlag=_flag(task),
            createTime=millis(task.created_at),
            errorCode=_code(task.failure) if task.failure else None,
            errorMessage=task.failure.message if task.failure else None,
        )

    def callback(self, task: Task, link: Link) -> Envelope:
        """Of a failure this family tells no more than that it is one; the record has the reason."""
        if task.failure:
            code = 499 if task.failure.reason is Reason.CANCELED else 500
            return Envelope(code, FAILED, LumaCallbackData(taskId=task.id, promptJson=_params(task)))
        made = _result(task, link).resultUrls
        return Envelope(200, DONE, LumaCallbackData(taskId=task.id, promptJson=_params(task), resultUrls=made))


def _params(task: Task) -> str:
    """The request in the names of the reference's samples: ``watermark`` is shown as ``waterMark``."""
    wire = msgspec.json.decode(task.params, type=LumaModify)
    shown = LumaParams(
        callBackUrl=wire.callBackUrl or "",
        prompt=wire.prompt,
        videoUrl=wire.videoUrl,
        waterMark=wire.watermark or wire.waterMark or "",
    )
    return msgspec.json.encode(shown).decode()


def _result(task: Task, link: Link) -> LumaResult:
    return LumaResult(task.id, [request_of(task).video or ""], [link(film) for film in films(task)])


def _flag(task: Task) -> Literal[0, 1, 2, 3]:
    if task.state is State.SUCCEEDED:
        return 1
    if not task.state.terminal:
        return 0
    return 2 if not_started(task) else 3


def _code(failure: Failure) -> int:
    return CODES.get(failure.reason, 501 if failure.reason is Reason.PROVIDER else 500)


family = Luma()

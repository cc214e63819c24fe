"""Runway Aleph: ``/api/v1/aleph``."""

from dataclasses import replace
from datetime import datetime

from msgspec import UNSET, UnsetType

from tessera.contract.envelope import TaskCreated
from tessera.contract.operations import Operation
from tessera.contract.video import ALEPH_RATIOS, AlephCallback, AlephGenerate, AlephRecord, AlephResult, AlephVideo
from tessera.dialects.base import Call, Desk, Link, Route, bounded, compact, read, shows, urls
from tessera.dialects.videos import (
    MAX_PROMPT,
    MAX_WATERMARK,
    check_own,
    covers,
    films,
    iso,
    plain_id,
    ratio_of,
    within,
)
from tessera.domain.errors import Invalid
from tessera.domain.task import Draft, Failure, Reason, State, Task, VideoRequest
from tessera.kit.ids import part

MODEL = "aleph"
SECONDS = 5
PRICE = SECONDS * 6_000
"""Milli-credits. A third party reports 6 credits a second; clients take it that a result has 5 seconds."""

MAX_SEED = 4_294_967_295
"""The reference names no range."""

SAID = {Reason.CONTENT: "Inappropriate content detected. Caught by the AI moderator."}
"""Texts that clients know."""

CODES = {Reason.CONTENT: 400, Reason.INPUT_INVALID: 400, Reason.INPUT_UNREACHABLE: 400, Reason.CANCELED: 499}
"""Of a failure; all else is 500. 499 is ours."""

GENERATE = Operation(
    method="post",
    path="/api/v1/aleph/generate",
    id="generateAlephVideo",
    summary="Restyle or edit a video by a prompt",
    tag="Runway Aleph",
    body=AlephGenerate,
    data=TaskCreated,
    creates=True,
)
RECORD = Operation(
    method="get",
    path="/api/v1/aleph/record-info",
    id="getAlephVideoDetails",
    summary="State and result of an Aleph task",
    tag="Runway Aleph",
    query=("taskId!",),
    data=AlephRecord,
)
DOUBLED = "The same, for a client that says the beginning of the path twice"
ALIASES = {
    "generate": (
        replace(GENERATE, path="/api/v1/runway/aleph/generate", id="generateAlephVideoOfRunway", summary="The same"),
        replace(GENERATE, path=f"/api/v1{GENERATE.path}", id="generateAlephVideoDoubled", summary=DOUBLED),
    ),
    "record": (replace(RECORD, path=f"/api/v1{RECORD.path}", id="getAlephVideoDetailsDoubled", summary=DOUBLED),),
}


class Aleph:
    name = "aleph"
    models = frozenset({MODEL})

    @property
    def routes(self) -> tuple[Route, ...]:
        show = shows(self.name, self.record, task_id=plain_id())
        return (
            *(Route(operation, self.generate) for operation in (GENERATE, *ALIASES["generate"])),
            *(Route(operation, show) for operation in (RECORD, *ALIASES["record"])),
        )

    async def generate(self, call: Call, desk: Desk) -> TaskCreated:
        draft = self.parse(call.body)
        await check_own("videoUrl", draft.urls["videoUrl"], desk)
        return TaskCreated(await desk.accept(draft))

    def parse(self, body: bytes) -> Draft:
        wire = read(AlephGenerate, body)
        if not wire.videoUrl:
            raise Invalid("videoUrl: is required", field="videoUrl")
        reference = _reference(wire)
        request = VideoRequest(
            prompt=bounded("prompt", wire.prompt, MAX_PROMPT, required=True),
            seconds=SECONDS,
            ratio=ratio_of(wire.aspectRatio, ALEPH_RATIOS) if wire.aspectRatio else "auto",
            video=wire.videoUrl,
            references=tuple(reference.values()),
            cover=True,
            seed=within("seed", wire.seed, 0, MAX_SEED),
            watermark=bounded("waterMark", wire.waterMark or wire.watermark, MAX_WATERMARK),
        )
        return Draft(
            family=self.name,
            operation="video.modify",
            model=MODEL,
            request=request,
            params=compact(body),
            callback_url=wire.callBackUrl or None,
            price=PRICE,
            units={"output": 1, "second": SECONDS},
            urls={**urls(videoUrl=wire.videoUrl, callBackUrl=wire.callBackUrl), **reference},
        )

    def record(self, task: Task, link: Link, now: datetime) -> AlephRecord:
        done = task.state is State.SUCCEEDED
        return AlephRecord(
            taskId=task.id,
            paramJson=task.params,
            response=AlephResult(task.id, link(films(task)[0]), _cover(task, link)) if done else None,
            completeTime=iso(task.completed_at) if task.completed_at else None,
            createTime=iso(task.created_at),
            successFlag=1 if done else 0,
            errorCode=_code(task.failure) if task.failure else 0,
            errorMessage=_message(task.failure) if task.failure else "",
        )

    def callback(self, task: Task, link: Link) -> AlephCallback:
        if task.failure:
            return AlephCallback(_code(task.failure), _message(task.failure), task.id, None)
        url, cover = link(films(task)[0]), _cover(task, link)
        video = AlephVideo(
            result_video_url=url,
            result_image_url=cover,
            task_id=task.id,
            video_id=part(task.id, 0),
            video_url=url,
            image_url=cover,
        )
        return AlephCallback(200, "success", task.id, video)


def _reference(wire: AlephGenerate) -> dict[str, str]:
    """The reference image by the name of its field; of several names the documented one counts."""
    given = urls(referenceImage=wire.referenceImage, referenceImageUrl=wire.referenceImageUrl, imageUrl=wire.imageUrl)
    return dict(list(given.items())[:1])


def _cover(task: Task, link: Link) -> str | UnsetType:
    cover = next(iter(covers(task)), None)
    return link(cover) if cover else UNSET


def _code(failure: Failure) -> int:
    return CODES.get(failure.reason, 500)


def _message(failure: Failure) -> str:
    """Never empty: on the record it is all that tells a failure from a task that still runs."""
    return SAID.get(failure.reason, failure.message) or "The task failed"


family = Aleph()

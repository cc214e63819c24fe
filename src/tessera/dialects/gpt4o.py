"""4o Image: ``/api/v1/gpt4o-image``."""

from datetime import datetime

from tessera.contract.envelope import Envelope, TaskCreated
from tessera.contract.images import (
    Gpt4oCallbackData,
    Gpt4oDownloadUrl,
    Gpt4oGenerate,
    Gpt4oInfo,
    Gpt4oRecord,
    Gpt4oResult,
    Status,
)
from tessera.contract.operations import Operation
from tessera.dialects.base import Call, Desk, Link, Route, compact, creates, read, shows
from tessera.dialects.files import too_old
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.progress import shown
from tessera.domain.task import Draft, Failure, ImageRequest, Reason, State, Task
from tessera.kit.clock import millis

MODEL = "gpt4o-image"
FALLBACK_MODELS = ("GPT_IMAGE_1", "FLUX_MAX")
PRICE = 10_000
"""Milli-credits for each picture. The reference names no price; one public client's document estimates 10 credits."""

MAX_FILES = 5
MAX_PROMPT = 5000
COUNTS = (1, 2, 4)

ERROR_CODES = {
    Reason.CONTENT: 400,
    Reason.INPUT_INVALID: 400,
    Reason.INPUT_UNREACHABLE: 451,
    Reason.CANCELED: 499,
}
"""All else is 500."""

UNREACHABLE = "Unable to download image from the provided filesUrl"
"""The recorded words."""

NOT_STARTED = {Reason.INPUT_INVALID, Reason.INPUT_UNREACHABLE, Reason.UNAVAILABLE}
"""Failures before any provider took the task: status CREATE_TASK_FAILED."""


GENERATE = Operation(
    method="post",
    path="/api/v1/gpt4o-image/generate",
    id="generate4oImage",
    summary="Create a 4o image task: text to image, edit, or mask edit",
    tag="4o Image",
    body=Gpt4oGenerate,
    data=TaskCreated,
    creates=True,
)
RECORD = Operation(
    method="get",
    path="/api/v1/gpt4o-image/record-info",
    id="get4oImageDetails",
    summary="State and result of a 4o image task",
    tag="4o Image",
    query=("taskId!",),
    data=Gpt4oRecord,
)
DOWNLOAD = Operation(
    method="post",
    path="/api/v1/gpt4o-image/download-url",
    id="get4oImageDownloadUrl",
    summary="Turn a result URL of a 4o task into a presigned direct download URL",
    tag="4o Image",
    body=Gpt4oDownloadUrl,
    data=str,
)


class Gpt4o:
    name = "gpt4o-image"
    models = frozenset({MODEL, *FALLBACK_MODELS})
    prefix = "task_4o_"

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            Route(GENERATE, creates(self.parse)),
            Route(RECORD, shows(self.name, self.record, task_id=self.task_id)),
            Route(DOWNLOAD, self.download),
        )

    def parse(self, body: bytes) -> Draft:
        wire = read(Gpt4oGenerate, body)
        urls = _images(wire)
        prompt = (wire.prompt or "").strip()
        if not prompt and not urls:
            raise Invalid("prompt: is required unless filesUrl has an image", field="prompt")
        if len(prompt) > MAX_PROMPT:
            raise Invalid(f"prompt: at most {MAX_PROMPT} characters, got {len(prompt)}", field="prompt")
        if "\0" in prompt:
            raise Invalid("prompt: must not contain NUL characters", field="prompt")
        if wire.maskUrl and not urls:
            raise Invalid("maskUrl: needs an image in filesUrl to lie on", field="maskUrl")
        # With several images a mask is not used: the newest reference says so.
        mask = wire.maskUrl or None if len(urls) == 1 else None
        request = ImageRequest(
            prompt=prompt,
            ratio=wire.size,
            count=_count(wire),
            images=tuple(urls.values()),
            mask=mask,
            enhance=bool(wire.isEnhance),
        )
        callback = wire.callBackUrl or None
        return Draft(
            family=self.name,
            operation="image.edit" if urls else "image.generate",
            model=MODEL,
            request=request,
            params=compact(body),
            callback_url=callback,
            price=PRICE * request.count,
            fallback=(wire.fallbackModel or "FLUX_MAX") if wire.enableFallback else None,
            urls={**urls, **({"maskUrl": mask} if mask else {}), **({"callBackUrl": callback} if callback else {})},
        )

    def record(self, task: Task, link: Link, now: datetime) -> Gpt4oRecord:
        urls = [link(asset) for asset in task.outputs]
        return Gpt4oRecord(
            taskId=task.id,
            paramJson=task.params,
            completeTime=millis(task.completed_at) if task.completed_at else None,
            response=Gpt4oResult(urls, urls) if task.state is State.SUCCEEDED else None,
            successFlag={State.SUCCEEDED: 1, State.FAILED: 2, State.CANCELED: 2}.get(task.state, 0),  # type: ignore[arg-type]
            status=_status(task),
            errorCode=_code(task.failure) if task.failure else None,
            errorMessage=_message(task),
            createTime=millis(task.created_at),
            progress=f"{shown(task, now):.2f}",
        )

    def callback(self, task: Task, link: Link) -> Envelope:
        if task.failure:
            return Envelope(_code(task.failure), _said(task.failure), Gpt4oCallbackData(task.id, task.id, None))
        info = Gpt4oInfo([link(asset) for asset in task.outputs])
        return Envelope(200, "success", Gpt4oCallbackData(task.id, task.id, info))

    def task_id(self, given: str) -> str:
        """Clients route by the prefix of the samples; an id is good with and without it."""
        return given.removeprefix(self.prefix)

    async def download(self, call: Call, desk: Desk) -> str:
        """A direct link to a result of a task of this family."""
        wire = read(Gpt4oDownloadUrl, call.body)
        url = wire.url or wire.imageUrl
        if not url:
            raise Invalid("url: is required", field="url")
        key = desk.key(url)
        task_id = self.task_id(wire.taskId) if wire.taskId else await _maker(key, desk)
        task = await desk.task(task_id) if task_id else None
        if task is None or task.family != self.name:
            raise NotFound("record is null")
        _check_ready(task, desk)
        asset = next((output for output in task.outputs if output.key == key), None)
        if asset is None:
            raise Invalid("record result data not exist", field="url")
        if asset.purged_at is not None:
            raise Invalid(too_old(desk.kept), field="url")
        return desk.direct(asset)


async def _maker(key: str | None, desk: Desk) -> str | None:
    """The id of the task that made the file under a key."""
    asset = await desk.asset(key) if key else None
    return asset.task_id if asset else None


def _check_ready(task: Task, desk: Desk) -> None:
    if task.state is not State.SUCCEEDED:
        raise Invalid("record status is not success", field="taskId")
    if desk.now - task.created_at > desk.kept:
        raise Invalid(too_old(desk.kept), field="taskId")
    if not task.outputs:
        raise Invalid("record result data is empty", field="taskId")


def _count(wire: Gpt4oGenerate) -> int:
    wanted = 1 if wire.nVariants is None else wire.nVariants
    if isinstance(wanted, float) and wanted not in COUNTS:
        raise Invalid(f"nVariants: must be one of {', '.join(map(str, COUNTS))}", field="nVariants")
    return int(wanted)


def _images(wire: Gpt4oGenerate) -> dict[str, str]:
    """Field name to URL, in order; an empty array counts as not given, the old fileUrl as a list of one."""
    files = wire.filesUrl or []
    if len(files) > MAX_FILES:
        raise Invalid(f"filesUrl: at most {MAX_FILES} images, got {len(files)}", field="filesUrl")
    if files:
        return {f"filesUrl[{index}]": url for index, url in enumerate(files)}
    return {"fileUrl": wire.fileUrl} if wire.fileUrl else {}


def _status(task: Task) -> Status:
    if task.state is State.SUCCEEDED:
        return "SUCCESS"
    if not task.state.terminal:
        return "GENERATING"
    early = task.started_at is None or (task.failure is not None and task.failure.reason in NOT_STARTED)
    return "CREATE_TASK_FAILED" if early else "GENERATE_FAILED"


def _code(failure: Failure) -> int:
    return ERROR_CODES.get(failure.reason, 500)


def _said(failure: Failure) -> str:
    return UNREACHABLE if failure.reason is Reason.INPUT_UNREACHABLE else failure.message


def _message(task: Task) -> str | None:
    if task.failure:
        return _said(task.failure)
    return "" if task.state is State.SUCCEEDED else None


family = Gpt4o()

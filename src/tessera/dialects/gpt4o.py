"""4o Image: ``/api/v1/gpt4o-image``."""

from datetime import datetime

from tessera.contract.envelope import Envelope
from tessera.contract.images import (
    Gpt4oCallbackData,
    Gpt4oDownloadUrl,
    Gpt4oGenerate,
    Gpt4oInfo,
    Gpt4oRecord,
    Gpt4oResult,
    Status,
)
from tessera.dialects.base import Link, compact, read
from tessera.domain.errors import Invalid
from tessera.domain.progress import shown
from tessera.domain.task import Draft, Failure, ImageRequest, Reason, State, Task
from tessera.kit.clock import millis

MODEL = "gpt4o-image"
FALLBACK_MODELS = ("GPT_IMAGE_1", "FLUX_MAX")
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

NOT_STARTED = {Reason.INPUT_INVALID, Reason.INPUT_UNREACHABLE, Reason.UNAVAILABLE}
"""Failures before any provider took the task: status CREATE_TASK_FAILED."""


class Gpt4o:
    family = "gpt4o-image"
    prefix = "task_4o_"

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
            family=self.family,
            operation="image.edit" if urls else "image.generate",
            model=MODEL,
            request=request,
            params=compact(body),
            callback_url=callback,
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
            return Envelope(_code(task.failure), task.failure.message, Gpt4oCallbackData(task.id, task.id, None))
        info = Gpt4oInfo([link(asset) for asset in task.outputs])
        return Envelope(200, "success", Gpt4oCallbackData(task.id, task.id, info))

    def task_id(self, given: str) -> str:
        """Clients route by the prefix of the samples; an id is good with and without it."""
        return given.removeprefix(self.prefix)

    def wanted(self, body: bytes) -> tuple[str | None, str]:
        """Task id (None when left out) and URL of a download-url body. Raises Invalid."""
        wire = read(Gpt4oDownloadUrl, body)
        url = wire.url or wire.imageUrl
        if not url:
            raise Invalid("url: is required", field="url")
        return (self.task_id(wire.taskId) if wire.taskId else None), url


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


def _message(task: Task) -> str | None:
    if task.failure:
        return task.failure.message
    return "" if task.state is State.SUCCEEDED else None

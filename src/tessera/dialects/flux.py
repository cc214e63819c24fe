"""Flux Kontext: ``/api/v1/flux/kontext``."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from tessera.contract.envelope import Envelope, TaskCreated
from tessera.contract.flux import FluxCallbackData, FluxGenerate, FluxRecord, FluxResult
from tessera.contract.operations import Operation
from tessera.dialects.base import Call, Desk, Link, Route, bounded, compact, read, shows, urls
from tessera.domain.errors import Invalid
from tessera.domain.task import Draft, Failure, ImageRequest, Reason, State, Task

MODEL = "flux-kontext-pro"
PRICES: Mapping[str, int] = {"flux-kontext-pro": 5_000, "flux-kontext-max": 10_000}
"""Milli-credits for a picture, as two public clients read them off the price page: 5 and 10 credits."""

MAX_PROMPT = 20_000
MAX_WATERMARK = 200
"""The reference names no limit for either."""

TEXT_RATIO = "16:9"
TOLERANCE = {"image.generate": 6, "image.edit": 2}
"""The highest safety tolerance of an operation; 0 is the lowest of both."""

OUT_OF_RANGE = "The security tolerance level is out of range and should be 0-2 or 0-6"
DONE = "BFL image generated successfully."
SAID = {
    Reason.CONTENT: "Your prompt was flagged by Website as violating content policies.",
    Reason.PROVIDER: "Image generation task failed",
}
"""Texts that clients know. Where there is none, ours tells more than theirs would."""

ERROR_CODES = {
    Reason.CONTENT: 400,
    Reason.INPUT_INVALID: 400,
    Reason.INPUT_UNREACHABLE: 400,
    Reason.UNAVAILABLE: 500,
    Reason.STORAGE: 500,
    Reason.CANCELED: 499,
}
"""All else is 501. The family knows 400, 500 and 501 only; 499 is ours."""

NOT_STARTED = {Reason.INPUT_INVALID, Reason.INPUT_UNREACHABLE, Reason.UNAVAILABLE}
"""Failures before any provider took the task: successFlag 2."""

GENERATE = Operation(
    method="post",
    path="/api/v1/flux/kontext/generate",
    id="generateOrEditImage",
    summary="Create a Flux Kontext task, from text or by editing one image",
    tag="Flux Kontext",
    body=FluxGenerate,
    data=TaskCreated,
    creates=True,
)
RECORD = Operation(
    method="get",
    path="/api/v1/flux/kontext/record-info",
    id="getImageDetails",
    summary="State and result of a Flux Kontext task",
    tag="Flux Kontext",
    query=("taskId!",),
    data=FluxRecord,
)


class IntolerableError(Exception):
    """The safety tolerance is none of those that the operation has: code 500 here, not 422"""


class Flux:
    name = "flux-kontext"
    models = frozenset(PRICES)
    prefix = "task_flux_"

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            Route(GENERATE, self.generate),
            Route(RECORD, shows(self.name, self.record, task_id=self.task_id)),
        )

    async def generate(self, call: Call, desk: Desk) -> object:
        """Makes a task; a safety tolerance out of range is answered with the code that is documented for it."""
        try:
            draft = self.parse(call.body)
        except IntolerableError:
            return Envelope(500, OUT_OF_RANGE)
        return TaskCreated(await desk.accept(draft))

    def parse(self, body: bytes) -> Draft:
        """A body as a draft. Raises Invalid, and IntolerableError."""
        wire = read(FluxGenerate, body)
        image = wire.inputImage or None
        operation = "image.edit" if image else "image.generate"
        request = ImageRequest(
            prompt=bounded("prompt", wire.prompt, MAX_PROMPT, required=True),
            ratio=wire.aspectRatio or ("auto" if image else TEXT_RATIO),
            images=(image,) if image else (),
            enhance=bool(wire.promptUpsampling),
            format=wire.outputFormat or "jpeg",
            watermark=_watermark(wire.watermark),
            tolerance=_tolerance(wire.safetyTolerance, TOLERANCE[operation]),
        )
        model = wire.model or MODEL
        return Draft(
            family=self.name,
            operation=operation,
            model=model,
            request=request,
            params=compact(body),
            callback_url=wire.callBackUrl or None,
            price=PRICES[model],
            units={"output": 1},
            urls=urls(inputImage=image, callBackUrl=wire.callBackUrl),
        )

    def record(self, task: Task, link: Link, now: datetime) -> FluxRecord:
        return FluxRecord(
            taskId=task.id,
            paramJson=task.params,
            completeTime=_iso(task.completed_at) if task.completed_at else None,
            response=_result(task, link) if task.state is State.SUCCEEDED else None,
            successFlag=_flag(task),
            errorCode=_code(task.failure) if task.failure else None,
            errorMessage=_message(task.failure) if task.failure else "",
            createTime=_iso(task.created_at),
        )

    def callback(self, task: Task, link: Link) -> Envelope:
        if task.failure:
            nothing = FluxCallbackData(task.id, task.id, FluxResult("", ""))
            return Envelope(_code(task.failure), _message(task.failure), nothing)
        return Envelope(200, DONE, FluxCallbackData(task.id, task.id, _result(task, link)))

    def task_id(self, given: str) -> str:
        """An id is good with and without the prefix of the samples."""
        return given.removeprefix(self.prefix)


def _watermark(given: bool | str | None) -> str:
    if given is True:
        raise Invalid("watermark: must be a string", field="watermark")
    return bounded("watermark", given or "", MAX_WATERMARK)


def _tolerance(given: float | str | None, most: int) -> int | None:
    """A whole number from 0 to ``most``; None where none was given.

    Raises Invalid for what is no number, and IntolerableError for a number that the operation does not have.
    """
    if given is None or given == "":
        return None
    try:
        level = float(given)
    except ValueError:
        raise Invalid("safetyTolerance: must be a whole number", field="safetyTolerance") from None
    if not (0 <= level <= most and level.is_integer()):
        raise IntolerableError
    return int(level)


def _flag(task: Task) -> Literal[0, 1, 2, 3]:
    if task.state is State.SUCCEEDED:
        return 1
    if not task.state.terminal:
        return 0
    early = task.started_at is None or (task.failure is not None and task.failure.reason in NOT_STARTED)
    return 2 if early else 3


def _result(task: Task, link: Link) -> FluxResult:
    url = link(task.outputs[0])
    return FluxResult(url, url)


def _code(failure: Failure) -> int:
    return ERROR_CODES.get(failure.reason, 501)


def _message(failure: Failure) -> str:
    return SAID.get(failure.reason, failure.message)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


family = Flux()

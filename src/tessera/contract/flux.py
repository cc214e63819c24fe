"""The Flux Kontext family on the wire. Names are theirs."""

from typing import Literal

import msgspec

FluxModel = Literal["flux-kontext-pro", "flux-kontext-max"]
FluxRatio = Literal["21:9", "16:9", "4:3", "1:1", "3:4", "9:16", "16:21"]
"""``16:21`` stands in older copies of the reference only."""


class FluxGenerate(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/flux/kontext/generate``. Unknown fields are ignored, a null is a field left out.

    ``inputImage`` makes it an edit. ``safetyTolerance`` is also sent as a string, ``watermark`` as false.
    """

    prompt: str
    enableTranslation: bool | None = None
    uploadCn: bool | None = None
    inputImage: str | None = None
    aspectRatio: FluxRatio | None = None
    outputFormat: Literal["jpeg", "png"] | None = None
    promptUpsampling: bool | None = None
    model: FluxModel | None = None
    callBackUrl: str | None = None
    safetyTolerance: float | str | None = None
    watermark: bool | str | None = None


class FluxResult(msgspec.Struct, frozen=True):
    """``resultImageUrl`` is kept for 14 days; the other name is for clients that read it, and leads there, too."""

    originImageUrl: str
    resultImageUrl: str


class FluxRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of record-info. Times are ISO 8601 in UTC, in whole seconds.

    ``successFlag``: 0 under way, 1 done, 2 the task could not be created, 3 the generation failed.
    """

    taskId: str
    paramJson: str
    completeTime: str | None
    response: FluxResult | None
    successFlag: Literal[0, 1, 2, 3]
    errorCode: int | None
    errorMessage: str | None
    createTime: str


class FluxCallbackData(msgspec.Struct, frozen=True):
    """``task_id`` again for receivers whose signature check follows the public guide."""

    taskId: str
    task_id: str
    info: FluxResult

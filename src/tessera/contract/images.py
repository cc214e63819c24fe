"""The image families on the wire. Names are theirs."""

from typing import Literal

import msgspec

Size = Literal["1:1", "3:2", "2:3"]
Variants = Literal[1, 2, 4, "1", "2", "4"] | float
"""The number is also sent as a string, and as 2.0 by languages whose only number is a float."""
FallbackModel = Literal["GPT_IMAGE_1", "FLUX_MAX"]
Status = Literal["GENERATING", "SUCCESS", "CREATE_TASK_FAILED", "GENERATE_FAILED"]


class Gpt4oGenerate(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/gpt4o-image/generate``. Unknown fields are ignored, a null is a field left out."""

    size: Size
    prompt: str | None = None
    filesUrl: list[str] | None = None
    fileUrl: str | None = None
    maskUrl: str | None = None
    nVariants: Variants | None = None
    callBackUrl: str | None = None
    isEnhance: bool | None = None
    uploadCn: bool | None = None
    enableFallback: bool | None = None
    fallbackModel: FallbackModel | None = None


class Gpt4oResult(msgspec.Struct, frozen=True):
    """Both spellings of the list: the reference reads the first, the quickstart the second."""

    resultUrls: list[str]
    result_urls: list[str]


class Gpt4oRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of record-info. Times are milliseconds since 1970, ``progress`` runs from "0.00" to "1.00"."""

    taskId: str
    paramJson: str
    completeTime: int | None
    response: Gpt4oResult | None
    successFlag: Literal[0, 1, 2]
    status: Status
    errorCode: int | None
    errorMessage: str | None
    createTime: int
    progress: str


class Gpt4oInfo(msgspec.Struct, frozen=True):
    result_urls: list[str]


class Gpt4oCallbackData(msgspec.Struct, frozen=True):
    """``task_id`` again for receivers whose signature check follows the public guide."""

    taskId: str
    task_id: str
    info: Gpt4oInfo | None


class Gpt4oDownloadUrl(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/gpt4o-image/download-url``; ``imageUrl`` is the old name of ``url``."""

    taskId: str | None = None
    url: str | None = None
    imageUrl: str | None = None

"""The video families on the wire: Veo, Runway, Aleph, Luma. Names are theirs.

In every body unknown fields are ignored and a null is a field left out. Numbers are also sent as strings.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

Number = float | str

VeoModel = Literal["veo3", "veo3_fast", "veo3_lite", "veo3_quality", "veo3-fast"]
"""The last two stand in notes of third parties only: they are ``veo3`` and ``veo3_fast``."""
VeoMode = Literal["TEXT_2_VIDEO", "FIRST_AND_LAST_FRAMES_2_VIDEO", "REFERENCE_2_VIDEO"]
VeoRatio = Literal["16:9", "9:16", "Auto", "auto"]
VeoResolution = Literal["720p", "1080p", "4k"]
VeoExtendModel = Literal["fast", "quality", "lite", "veo3_fast", "veo3", "veo3_lite"]
"""The reference has the first three; the others are what the same models are called everywhere else."""
RunwayState = Literal["wait", "queueing", "generating", "success", "fail"]
RUNWAY_RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16")
RunwayQuality = Literal["720p", "1080p"]
ALEPH_RATIOS = ("16:9", "9:16", "4:3", "3:4", "1:1", "21:9")


class VeoGenerate(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/veo/generate``. ``aspect_ratio`` wins over its older name, ``seeds`` over ``seed``."""

    prompt: str
    imageUrls: list[str] | None = None
    model: VeoModel | None = None
    generationType: VeoMode | None = None
    aspect_ratio: VeoRatio | None = None
    aspectRatio: VeoRatio | None = None
    duration: Number | None = None
    resolution: VeoResolution | None = None
    seeds: Number | None = None
    seed: Number | None = None
    callBackUrl: str | None = None
    enableFallback: bool | None = None
    enableTranslation: bool | None = None
    watermark: str | None = None
    waterMark: str | None = None


class VeoExtend(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/veo/extend``."""

    taskId: str
    prompt: str
    model: VeoExtendModel | None = None
    seeds: Number | None = None
    seed: Number | None = None
    callBackUrl: str | None = None
    watermark: str | None = None
    waterMark: str | None = None


class Veo4k(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/veo/get-4k-video``."""

    taskId: str
    index: Number | None = None
    callBackUrl: str | None = None


class VeoRendition(msgspec.Struct, frozen=True):
    """What is kept as the request of a rendition: which video of which task."""

    taskId: str
    index: int


class VeoResult(msgspec.Struct, frozen=True, kw_only=True):
    """``fullResultUrls`` is the whole video after an extension, ``resultUrls`` its new piece. The lists of a 4K task
    have its cover and the ids of its videos, too."""

    taskId: str
    resultUrls: list[str]
    originUrls: list[str] | None = None
    fullResultUrls: list[str] = []
    resolution: str
    seeds: list[int] | None = None
    hasAudioList: list[bool] | None = None
    imageUrls: list[str] | UnsetType = UNSET
    mediaIds: list[str] | UnsetType = UNSET


class VeoRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of record-info. Times are milliseconds since 1970.

    ``resultUrls`` is a JSON text with a list, for clients made after the quickstart; it is there after success only.
    """

    taskId: str
    paramJson: str
    completeTime: int | None
    response: VeoResult | None
    successFlag: Literal[0, 1, 2, 3]
    errorCode: int | None
    errorMessage: str | None
    createTime: int
    fallbackFlag: bool | UnsetType = UNSET
    resultUrls: str | UnsetType = UNSET


class Veo1080p(msgspec.Struct, frozen=True):
    """``data`` of get-1080p-video: one URL, and singular."""

    resultUrl: str


class Veo4kState(msgspec.Struct, frozen=True):
    """``data`` of get-4k-video, of its refusals as well. The lists are null until the rendition is there."""

    taskId: str
    resultUrls: list[str] | None = None
    imageUrls: list[str] | None = None


class VeoInfo(msgspec.Struct, frozen=True, kw_only=True):
    resultUrls: list[str]
    originUrls: list[str] | None = None
    resolution: str
    fullResultUrls: list[str] | UnsetType = UNSET


class VeoCallbackData(msgspec.Struct, frozen=True, kw_only=True):
    """``promptJson`` and ``info`` are there on success only."""

    taskId: str
    promptJson: str | UnsetType = UNSET
    info: VeoInfo | UnsetType = UNSET
    fallbackFlag: bool = False


class Veo4kInfo(msgspec.Struct, frozen=True):
    resultUrls: list[str]
    imageUrls: list[str]


class Veo4kCallbackData(msgspec.Struct, frozen=True, kw_only=True):
    """Both documented shapes at once: ``taskId`` and ``info``, and the same again in snake case."""

    taskId: str
    task_id: str
    info: Veo4kInfo | UnsetType = UNSET
    result_urls: list[str] | UnsetType = UNSET
    image_urls: list[str] | UnsetType = UNSET
    media_ids: list[str] | UnsetType = UNSET


class RunwayGenerate(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/runway/generate``.

    With ``imageUrl`` any ``aspectRatio`` is ignored, which is why it is a plain text here. ``model`` is an old way to
    say the duration (``runway-duration-5-generate``); ``expandPrompt`` is shown on the record.
    """

    prompt: str
    duration: Number | None = None
    quality: RunwayQuality | None = None
    imageUrl: str | None = None
    aspectRatio: Annotated[str | None, msgspec.Meta(extra_json_schema={"examples": list(RUNWAY_RATIOS)})] = None
    waterMark: str | None = None
    watermark: str | None = None
    callBackUrl: str | None = None
    model: str | None = None
    expandPrompt: bool | None = None


class RunwayExtend(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/runway/extend``; ``imageUrl`` and ``expandPrompt`` of older samples are ignored."""

    taskId: str
    prompt: str
    quality: RunwayQuality
    waterMark: str | None = None
    watermark: str | None = None
    callBackUrl: str | None = None


class RunwayParam(msgspec.Struct, frozen=True):
    prompt: str
    imageUrl: str = ""
    expandPrompt: bool = False


class RunwayVideo(msgspec.Struct, frozen=True, kw_only=True):
    """``imageUrl`` is the cover, where there is one."""

    videoId: str
    taskId: str
    videoUrl: str
    imageUrl: str | UnsetType = UNSET


class RunwayRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of record-detail. ``generateTime`` is UTC, ``2026-01-05 10:00:00``; ``generateParam`` is an object."""

    taskId: str
    parentTaskId: str
    generateParam: RunwayParam
    state: RunwayState
    generateTime: str
    videoInfo: RunwayVideo | None
    failCode: int | None
    failMsg: str
    expireFlag: Literal[0, 1]


class RunwayCallbackData(msgspec.Struct, frozen=True, kw_only=True):
    """Snake case; ``taskId`` again for a receiver that looks for it. A failed extension has its id alone."""

    task_id: str
    taskId: str
    video_id: str | UnsetType = UNSET
    video_url: str | UnsetType = UNSET
    image_url: str | UnsetType = UNSET


class AlephGenerate(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/aleph/generate``. Two more names of ``referenceImage`` are known from a client."""

    prompt: str
    videoUrl: str
    callBackUrl: str | None = None
    waterMark: str | None = None
    watermark: str | None = None
    uploadCn: bool | None = None
    aspectRatio: Annotated[str | None, msgspec.Meta(extra_json_schema={"examples": list(ALEPH_RATIOS)})] = None
    seed: Number | None = None
    referenceImage: str | None = None
    referenceImageUrl: str | None = None
    imageUrl: str | None = None


class AlephResult(msgspec.Struct, frozen=True):
    """Singular names, unlike the other families."""

    taskId: str
    resultVideoUrl: str
    resultImageUrl: str | UnsetType = UNSET


class AlephRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of record-info. ``successFlag`` 0 with an ``errorMessage`` is a failure. Times are ISO 8601, UTC."""

    taskId: str
    paramJson: str
    response: AlephResult | None
    completeTime: str | None
    createTime: str
    successFlag: Literal[0, 1]
    errorCode: int
    errorMessage: str


class AlephVideo(msgspec.Struct, frozen=True, kw_only=True):
    """Both documented shapes of ``data`` at once."""

    result_video_url: str
    result_image_url: str | UnsetType = UNSET
    task_id: str
    video_id: str
    video_url: str
    image_url: str | UnsetType = UNSET


class AlephCallback(msgspec.Struct, frozen=True):
    """The whole body: the task's id stands at its root, and ``data`` is null after a failure."""

    code: int
    msg: str
    taskId: str
    data: AlephVideo | None


class LumaModify(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /api/v1/modify/generate``."""

    prompt: str
    videoUrl: str
    callBackUrl: str | None = None
    watermark: str | None = None
    waterMark: str | None = None


class LumaParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What ``paramJson`` shows: the request in the names that it is kept under."""

    callBackUrl: str = ""
    prompt: str
    videoUrl: str
    waterMark: str


class LumaResult(msgspec.Struct, frozen=True):
    """``originUrls`` is the video that came in."""

    taskId: str
    originUrls: list[str]
    resultUrls: list[str]


class LumaRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` of record-info. Times are milliseconds since 1970."""

    taskId: str
    paramJson: str
    completeTime: int | None
    response: LumaResult | None
    successFlag: Literal[0, 1, 2, 3]
    createTime: int
    errorCode: int | None
    errorMessage: str | None


class LumaCallbackData(msgspec.Struct, frozen=True, kw_only=True):
    """``resultUrls`` stands directly in ``data``, and only after success."""

    taskId: str
    promptJson: str
    resultUrls: list[str] | UnsetType = UNSET

"""How far a song is: its record, and its callbacks in stages."""

from typing import Any

from tessera.contract.envelope import Envelope
from tessera.contract.suno import (
    MusicStatus,
    SunoMusicRecord,
    SunoMusicResult,
    SunoTold,
    SunoToldTrack,
    SunoTrack,
)
from tessera.dialects.base import Link, sent
from tessera.dialects.suno import source
from tessera.dialects.suno.terms import NAME, UPSTREAM_NAMES, clock, code, reason, told_code, word
from tessera.domain.task import Piece, Reason, State, Task
from tessera.kit.clock import millis

OPERATION_TYPES = {
    "music.cover": "upload_cover",
    "music.instrumental": "add_instrumental",
    "music.vocals": "add_vocals",
}
"""Two of the words are documented; the others follow their paths."""


# ---- records ----


def record(task: Task, link: Link) -> SunoMusicRecord:
    body = sent(task)
    return SunoMusicRecord(
        taskId=task.id,
        parentMusicId=str(body.get("audioId") or "") if task.parent else "",
        param=task.params,
        response=_result(task, link),
        status=_status(task),
        type=_upstream(task),
        operationType=operation_type(task),
        errorCode=code(task.failure) if task.failure else None,
        errorMessage=reason(task),
        createTime=millis(task.created_at),
    )


def operation_type(task: Task) -> str:
    if task.operation == "music.extend":
        return "extend" if "audioId" in sent(task) else "upload_extend"
    if task.operation == "music.replace":
        return "replace_section"
    return OPERATION_TYPES.get(task.operation, task.operation.removeprefix("music."))


def _status(task: Task) -> MusicStatus:
    if task.failure and task.failure.reason is Reason.CONTENT:
        return "SENSITIVE_WORD_ERROR"
    now = word(task)
    if now == "PENDING":
        stages: dict[str | None, MusicStatus] = {"text": "TEXT_SUCCESS", "first": "FIRST_SUCCESS"}
        return stages.get(task.stage if task.state is State.RUNNING else None, "PENDING")
    return "GENERATE_AUDIO_FAILED" if now == "FAILED" else now


def _result(task: Task, link: Link) -> SunoMusicResult | None:
    """Null until there is something: clients loop over the tracks as soon as it is not."""
    if task.failure:
        return SunoMusicResult(taskId=task.id, sunoData=[], errorMessage=reason(task))
    if task.state is not State.SUCCEEDED and _status(task) == "PENDING":
        return None
    tracks = [SunoTrack(**_track(task, index, piece, link)) for index, piece in enumerate(task.pieces)]
    return SunoMusicResult(taskId=task.id, sunoData=tracks)


def _upstream(task: Task) -> str:
    """What upstream calls the model of a task."""
    name = str(sent(task).get("model") or task.model.removeprefix(f"{NAME}/"))
    return UPSTREAM_NAMES.get(name, name)


def _track(task: Task, index: int, piece: Piece, link: Link) -> dict[str, Any]:
    """A track in the spelling of records. There is no stream: the file serves as one as soon as it is there."""
    audio, image = (source.linked(task, piece, role, link) for role in ("audio", "cover"))
    seconds = piece.facts.get("seconds")
    return {
        "id": source.piece_id(task, index) or f"{task.id}-{index}",
        "audioUrl": audio,
        "sourceAudioUrl": audio or None,
        "streamAudioUrl": audio,
        "sourceStreamAudioUrl": audio or None,
        "imageUrl": image,
        "sourceImageUrl": image or None,
        "prompt": source.said(piece, "lyrics", "prompt"),
        "modelName": _upstream(task),
        "title": source.said(piece, "title"),
        "tags": source.said(piece, "tags"),
        "createTime": millis(task.completed_at or task.started_at or task.created_at),
        "duration": seconds if audio else None,
    }


TOLD = {
    "audioUrl": "audio_url",
    "sourceAudioUrl": "source_audio_url",
    "streamAudioUrl": "stream_audio_url",
    "sourceStreamAudioUrl": "source_stream_audio_url",
    "imageUrl": "image_url",
    "sourceImageUrl": "source_image_url",
    "modelName": "model_name",
}
"""How callbacks spell the fields of a track that they do not spell as records do."""


def _told(task: Task, index: int, piece: Piece, link: Link) -> SunoToldTrack:
    track = {TOLD.get(name, name): value for name, value in _track(task, index, piece, link).items()}
    moment = task.completed_at or task.started_at or task.created_at
    return SunoToldTrack(**{**track, "createTime": clock(moment)})


# ---- callbacks ----


def callback(task: Task, link: Link) -> Envelope:
    if task.failure:
        return Envelope(told_code(task.failure), reason(task) or "", _error(task))
    if task.state is State.SUCCEEDED:
        tracks = [_told(task, index, piece, link) for index, piece in enumerate(task.pieces)]
        return Envelope(
            200, "All generated successfully.", SunoTold(callbackType="complete", task_id=task.id, data=tracks)
        )
    if task.stage != "first":
        return Envelope(200, "Text generation completed.", SunoTold(callbackType="text", task_id=task.id, data=[]))
    # However far the task is by now: then it was one track.
    ready = [(i, piece) for i, piece in enumerate(task.pieces) if source.file(task, piece, "audio")][:1]
    tracks = [_told(task, index, piece, link) for index, piece in ready]
    return Envelope(
        200, "First track generated successfully.", SunoTold(callbackType="first", task_id=task.id, data=tracks)
    )


def _error(task: Task) -> SunoTold:
    """A section says why, what worked on something has an empty list, all others have none."""
    if task.operation == "music.replace":
        return SunoTold(callbackType="error", task_id=task.id, error=reason(task) or "")
    kind: list[Any] | None = [] if task.operation in {"music.extend", "music.cover"} else None
    return SunoTold(callbackType="error", task_id=task.id, data=kind)

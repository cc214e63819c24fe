"""Work on a track that is there: WAV, stems, notes, a video; and cover pictures for a whole task."""

import re
from typing import Any

from tessera.contract.envelope import Envelope, TaskCreated
from tessera.contract.operations import Operation
from tessera.contract.suno import (
    SunoCover,
    SunoCoverRecord,
    SunoImages,
    SunoMidi,
    SunoMidiData,
    SunoMidiRecord,
    SunoPart,
    SunoStem,
    SunoStems,
    SunoStemsRecord,
    SunoStemsResult,
    SunoVideo,
    SunoVideoRecord,
    SunoVideoResult,
    SunoWav,
    SunoWavRecord,
    SunoWavResult,
)
from tessera.dialects.base import Answer, Call, Desk, Link, Route, bounded, read, sent, urls
from tessera.dialects.suno import source
from tessera.dialects.suno.source import MUSIC
from tessera.dialects.suno.terms import (
    PRICES,
    TOLD_CODES,
    clock,
    draft,
    early,
    hook,
    iso,
    makes,
    only_once,
    plain_code,
    reason,
    shows,
    word,
)
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.task import Draft, MusicRequest, Piece, Reason, State, Task, VideoRequest
from tessera.kit.clock import millis

WAV_IS_THERE = "WAV record already exists"
COVER_IS_THERE = "Cover already generated for this task"
BROKEN = "Internal Error - Please try again later"
MAX_NAME = 50

STEM_FIELDS = {
    "instrumental": "instrumental",
    "vocals": "vocal",
    "vocal": "vocal",
    "lead_vocal": "vocal",
    "backing_vocals": "backingVocals",
    "drums": "drums",
    "drum_kit": "drums",
    "bass": "bass",
    "guitar": "guitar",
    "piano": "piano",
    "keyboard": "keyboard",
    "keyboards": "keyboard",
    "percussion": "percussion",
    "strings": "strings",
    "string_section": "strings",
    "synth": "synth",
    "fx": "fx",
    "sound_effects": "fx",
    "brass": "brass",
    "brass_section": "brass",
    "woodwinds": "woodwinds",
}
"""The field that a stem's link stands in, without its ending. Other stems are in ``originData`` alone."""


# ---- WAV ----


async def wav(call: Call, desk: Desk) -> object:
    wire = read(SunoWav, call.body)
    callback = hook(wire.callBackUrl)
    track = await source.track(desk, wire.taskId, wire.audioId)
    before = source.of_track(await desk.children(track.task, "music.wav"), track.index)
    if next(source.standing(before), None):
        return Envelope(409, WAV_IS_THERE)
    url = source.usable(desk, track.task, track.piece, field="audioId")
    request = MusicRequest(audio=(url,), title=track.fact("title"), facts=track.piece.facts)
    wanted = draft(call.body, "music.wav", "wav", request, price=PRICES["wav"], callback=callback, parent=track.task)
    # One that failed does not stand in the way of the next.
    made = await only_once(desk, wanted, f"suno-wav-{track.id}-{len(before)}")
    return TaskCreated(made) if made else Envelope(409, WAV_IS_THERE)


def wav_record(task: Task, link: Link) -> SunoWavRecord:
    state = word(task)
    url = _only(task, link)
    return SunoWavRecord(
        **_about(task),
        response=SunoWavResult(audioWavUrl=url) if url else None,
        successFlag="GENERATE_WAV_FAILED" if state == "FAILED" else state,
        completeTime=millis(task.completed_at) if task.completed_at else None,
        createTime=millis(task.created_at),
    )


def wav_told(task: Task, link: Link) -> Envelope:
    data = {"audioWavUrl": _only(task, link), "task_id": task.id}
    return Envelope(500, BROKEN, data) if task.failure else Envelope(200, "success", data)


def _only(task: Task, link: Link) -> str | None:
    """The link to the one file of a task that has succeeded."""
    return link(task.outputs[0]) if task.state is State.SUCCEEDED and task.outputs else None


def _about(task: Task) -> dict[str, Any]:
    """What the records of work on a track begin with."""
    audio_id = sent(task).get("audioId")
    return {
        "taskId": task.id,
        "musicId": str(audio_id) if audio_id else None,
        "callbackUrl": task.callback_url,
        "musicIndex": source.position(task),
        "errorCode": plain_code(task.failure) if task.failure else None,
        "errorMessage": reason(task),
    }


# ---- stems ----


async def stems(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoStems, body)
    callback = hook(wire.callBackUrl)
    depth = wire.type or "separate_vocal"
    if depth == "split_stem_advanced" and wire.stemName is None:
        raise Invalid("stemName: is required with split_stem_advanced", field="stemName")
    # The depth stands for the tracks that it names; one instrument is asked for by its own name.
    wanted = (f"{depth}:{wire.stemName}" if depth == "split_stem_advanced" else depth,)
    if bool(wire.taskId) == bool(wire.audioUrl):
        raise Invalid("audioUrl: give either taskId and audioId, or audioUrl", field="audioUrl")
    if wire.audioUrl:
        request = MusicRequest(audio=(wire.audioUrl,), stems=wanted)
        given = urls(audioUrl=wire.audioUrl)
        return draft(body, "music.stems", "stems", request, price=PRICES[depth], callback=callback, given=given)
    audio_id = bounded("audioId", wire.audioId, 100, required=True)
    track = await source.track(desk, wire.taskId or "", audio_id)
    url = source.usable(desk, track.task, track.piece, field="audioId")
    request = MusicRequest(audio=(url,), stems=wanted, title=track.fact("title"), facts=track.piece.facts)
    return draft(body, "music.stems", "stems", request, price=PRICES[depth], callback=callback, parent=track.task)


def stems_record(task: Task, link: Link) -> SunoStemsRecord:
    state = word(task)
    return SunoStemsRecord(
        **_about(task),
        response=_split(task, link) if state == "SUCCESS" else None,
        successFlag="GENERATE_AUDIO_FAILED" if state == "FAILED" else state,
        completeTime=millis(task.completed_at) if task.completed_at else None,
        createTime=millis(task.created_at),
    )


def stems_told(task: Task, link: Link) -> Envelope:
    if task.failure:
        depth = sent(task).get("type") or "separate_vocal"
        said = "Vocal separation failed" if depth == "separate_vocal" else "Instrument separation failed."
        return Envelope(500, said, {"task_id": task.id, "vocal_separation_info": None})
    named = {f"{_snake(name)}_url": url for name, url in _named(task, link).items()}
    info = {"origin_url": _origin(task) or "", **named}
    said = "vocal separation generated successfully."
    return Envelope(200, said, {"task_id": task.id, "vocal_separation_info": info})


def _split(task: Task, link: Link) -> SunoStemsResult:
    parts = [_part(task, index, piece, link) for index, piece in enumerate(task.pieces)]
    if sent(task).get("type") == "split_stem_advanced" and parts:
        # One client reads the two objects, the documented shape is the flat one: the item is both.
        rest: dict[str, Any] = {"remove": SunoPart(**parts[1])} if len(parts) > 1 else {}
        items = [SunoStem(**parts[0], extract=SunoPart(**parts[0]), **rest)]
    else:
        items = [SunoStem(**part) for part in parts]
    named: dict[str, Any] = {f"{name}Url": url for name, url in _named(task, link).items()}
    return SunoStemsResult(originUrl=_origin(task), originData=items, **named)


def _part(task: Task, index: int, piece: Piece, link: Link) -> dict[str, Any]:
    seconds = piece.facts.get("seconds")
    return {
        "duration": float(seconds) if isinstance(seconds, int | float) else None,
        "audio_url": source.linked(task, piece, "audio", link),
        "stem_type_group_name": source.said(piece, "name"),
        "id": source.piece_id(task, index),
    }


def _named(task: Task, link: Link) -> dict[str, str]:
    """The links of the stems that have a field of their own, by its name."""
    found: dict[str, str] = {}
    for piece in task.pieces:
        name = source.said(piece, "name").strip().lower().replace(" ", "_")
        if name in STEM_FIELDS:
            found.setdefault(STEM_FIELDS[name], source.linked(task, piece, "audio", link))
    return found


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)


def _origin(task: Task) -> str | None:
    """The link to what was separated."""
    return task.request.audio[0] if isinstance(task.request, MusicRequest) and task.request.audio else None


# ---- notes ----

SPLITS = frozenset({"music.stems"})


async def midi(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoMidi, body)
    callback = hook(wire.callBackUrl)
    parent = await source.work(desk, wire.taskId, SPLITS)
    source.finished(parent)
    pieces = _wanted(parent, wire.audioId)
    links = tuple(source.usable(desk, parent, piece, field="taskId") for piece in pieces)
    song = parent.request.facts if isinstance(parent.request, MusicRequest) else {}
    request = MusicRequest(audio=links, facts={**song, "stems": [piece.facts for piece in pieces]})
    return draft(body, "music.midi", "midi", request, price=PRICES["midi"], callback=callback, parent=parent)


def _wanted(task: Task, stem_id: str | None) -> list[Piece]:
    """All stems, or the one that is named. Raises NotFound."""
    if not stem_id:
        return list(task.pieces)
    index = source.numbered(task.id, stem_id)
    if index is None or index >= len(task.pieces):
        raise NotFound(source.MISSING)
    return [task.pieces[index]]


def midi_record(task: Task, link: Link) -> SunoMidiRecord:
    state = word(task)
    audio_id = sent(task).get("audioId")
    return SunoMidiRecord(
        taskId=task.id,
        audioId=str(audio_id) if audio_id else None,
        callbackUrl=task.callback_url,
        completeTime=millis(task.completed_at) if task.completed_at else None,
        midiData=SunoMidiData(instruments=_instruments(task)) if state == "SUCCESS" else None,
        successFlag={"PENDING": 0, "SUCCESS": 1, "CREATE_TASK_FAILED": 2, "FAILED": 3}[state],  # type: ignore[arg-type]
        createTime=millis(task.created_at),
        errorCode=plain_code(task.failure) if task.failure else None,
        errorMessage=reason(task),
    )


def midi_told(task: Task, link: Link) -> Envelope:
    if task.failure:
        return Envelope(500, "MIDI generation failed", {"taskId": task.id})
    data = {"taskId": task.id, "state": "complete", "instruments": _instruments(task)}
    return Envelope(200, "success", data)


def _instruments(task: Task) -> list[Any]:
    found: list[Any] = []
    for piece in task.pieces:
        found += piece.facts.get("instruments") or []
    return [{"name": one["name"], "notes": one["notes"]} for one in found]


# ---- video ----


async def video(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoVideo, body)
    callback = hook(wire.callBackUrl)
    author = bounded("author", wire.author, MAX_NAME)
    mark = bounded("domainName", wire.domainName, MAX_NAME)
    track = await source.track(desk, wire.taskId, wire.audioId)
    url = source.usable(desk, track.task, track.piece, field="audioId")
    cover = source.file(track.task, track.piece, "cover")
    request = VideoRequest(
        audio=url,
        first=desk.link(cover) if cover and cover.purged_at is None else None,
        title=track.fact("title"),
        author=author,
        watermark=mark,
    )
    return draft(body, "video.clip", "mp4", request, price=PRICES["mp4"], callback=callback, parent=track.task)


def video_record(task: Task, link: Link) -> SunoVideoRecord:
    state = word(task)
    url = _only(task, link)
    return SunoVideoRecord(
        **_about(task),
        response=SunoVideoResult(videoUrl=url) if url else None,
        successFlag="GENERATE_MP4_FAILED" if state == "FAILED" else state,
        completeTime=clock(task.completed_at) if task.completed_at else None,
        createTime=clock(task.created_at),
    )


def video_told(task: Task, link: Link) -> Envelope:
    data = {"task_id": task.id, "video_url": _only(task, link)}
    return Envelope(500, BROKEN, data) if task.failure else Envelope(200, "success", data)


# ---- cover pictures ----


async def cover(call: Call, desk: Desk) -> object:
    wire = read(SunoCover, call.body)
    callback = hook(wire.callBackUrl, required=False)
    parent = await source.work(desk, wire.taskId, MUSIC)
    before = await desk.children(parent, "music.art")
    first = next(source.standing(before), None)
    if first is not None:
        return Envelope(400, COVER_IS_THERE, TaskCreated(first.id))
    source.finished(parent)
    piece = parent.pieces[0] if parent.pieces else Piece()
    request = MusicRequest(
        count=2,
        title=source.said(piece, "title"),
        style=source.said(piece, "tags"),
        lyrics=source.said(piece, "lyrics", "prompt"),
        facts=piece.facts,
    )
    wanted = draft(call.body, "music.art", "cover", request, price=PRICES["cover"], callback=callback, parent=parent)
    made = await only_once(desk, wanted, f"suno-cover-{parent.id}-{len(before)}")
    if made is not None:
        return TaskCreated(made)
    # Somebody came first: what they began is found now.
    first = next(iter(await desk.children(parent, "music.art")), None)
    if first is None:
        raise Invalid("taskId: somebody else is asking for these covers; ask again in a moment", field="taskId")
    return Envelope(400, COVER_IS_THERE, TaskCreated(first.id))


def cover_record(task: Task, link: Link) -> SunoCoverRecord:
    return SunoCoverRecord(
        taskId=task.id,
        parentTaskId=task.parent,
        callbackUrl=task.callback_url,
        completeTime=iso(task.completed_at) if task.completed_at else None,
        response=SunoImages(images=_images(task, link)) if task.state is State.SUCCEEDED else None,
        successFlag=_drawn(task),
        createTime=iso(task.created_at),
        errorCode=plain_code(task.failure) if task.failure else 200 if task.state is State.SUCCEEDED else None,
        errorMessage=reason(task) if task.failure else "" if task.state is State.SUCCEEDED else None,
    )


def cover_told(task: Task, link: Link) -> Envelope:
    if task.failure is None:
        return Envelope(200, "success", {"images": _images(task, link), "taskId": task.id})
    told = 500 if early(task) and task.failure.reason is not Reason.CANCELED else TOLD_CODES.get(task.failure.reason)
    return Envelope(told or 500, "Cover generation failed", {"taskId": task.id, "images": None})


def _images(task: Task, link: Link) -> list[str]:
    return [link(asset) for asset in task.outputs]


def _drawn(task: Task) -> Any:
    numbers = {State.WAITING: 0, State.RUNNING: 2, State.SUCCEEDED: 1, State.FAILED: 3, State.CANCELED: 3}
    return numbers[task.state]


# ---- the operations ----


def _makes(path: str, id_: str, summary: str, tag: str, body: Any, answer: Answer, *, once: bool = False) -> Route:
    """``once`` is an operation that is repeatable by itself, and needs no Idempotency-Key for it."""
    operation = Operation(
        method="post",
        path=f"/api/v1/{path}/generate",
        id=id_,
        summary=summary,
        tag=tag,
        body=body,
        data=TaskCreated,
        creates=not once,
    )
    return Route(operation, answer)


def _shows(path: str, id_: str, summary: str, tag: str, data: Any, answer: Answer) -> Route:
    operation = Operation(
        method="get",
        path=f"/api/v1/{path}/record-info",
        id=id_,
        summary=summary,
        tag=tag,
        query=("taskId!",),
        data=data,
    )
    return Route(operation, answer)


def _of(operation: str) -> frozenset[str]:
    return frozenset({operation})


ROUTES = (
    _makes("wav", "convertToWav", "Convert a track to WAV", "Suno WAV", SunoWav, wav, once=True),
    _shows(
        "wav",
        "getWavDetails",
        "State and file of a WAV task",
        "Suno WAV",
        SunoWavRecord,
        shows(wav_record, _of("music.wav")),
    ),
    _makes("vocal-removal", "separateVocals", "Split a track into stems", "Suno Stems", SunoStems, makes(stems)),
    _shows(
        "vocal-removal",
        "getVocalSeparationDetails",
        "State and files of a stem task",
        "Suno Stems",
        SunoStemsRecord,
        shows(stems_record, SPLITS),
    ),
    _makes("midi", "generateMidi", "Notes from separated stems", "Suno MIDI", SunoMidi, makes(midi)),
    _shows(
        "midi",
        "getMidiDetails",
        "State and notes of a MIDI task",
        "Suno MIDI",
        SunoMidiRecord,
        shows(midi_record, _of("music.midi")),
    ),
    _makes("mp4", "createMusicVideo", "Make an MP4 for a track", "Suno Video", SunoVideo, makes(video)),
    _shows(
        "mp4",
        "getMusicVideoDetails",
        "State and file of a video task",
        "Suno Video",
        SunoVideoRecord,
        shows(video_record, _of("video.clip")),
    ),
    _makes(
        "suno/cover", "generateCover", "Make cover images for a music task", "Suno Cover", SunoCover, cover, once=True
    ),
    _shows(
        "suno/cover",
        "getCoverDetails",
        "State and images of a cover task",
        "Suno Cover",
        SunoCoverRecord,
        shows(cover_record, _of("music.art")),
    ),
)

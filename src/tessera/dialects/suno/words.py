"""Words: lyrics as a task, and what is answered at once: a richer style, and when each word is sung."""

from collections.abc import Mapping
from typing import Any

from tessera.contract.envelope import Envelope, TaskCreated
from tessera.contract.operations import Operation
from tessera.contract.suno import (
    LyricsStatus,
    SunoLyrics,
    SunoLyricsRecord,
    SunoLyricsResult,
    SunoStyle,
    SunoStyleText,
    SunoTimedLyrics,
    SunoTold,
    SunoToldVariant,
    SunoTrackRef,
    SunoVariant,
    SunoWord,
)
from tessera.dialects.base import Call, Desk, Link, Route, bounded, read
from tessera.dialects.suno import source
from tessera.dialects.suno.source import Track
from tessera.dialects.suno.terms import (
    PATIENCE,
    PRICES,
    code,
    draft,
    hook,
    not_done,
    only_once,
    reason,
    shows,
    word,
)
from tessera.domain.credit import UNIT
from tessera.domain.errors import Invalid
from tessera.domain.task import MusicRequest, Reason, State, Task
from tessera.kit.clock import millis

MAX_THEME = 200
MAX_STYLE = 1000
TIMING = "music.timing"


# ---- lyrics ----


async def lyrics(call: Call, desk: Desk) -> object:
    wire = read(SunoLyrics, call.body)
    callback = hook(wire.callBackUrl, required=False)
    if len(wire.prompt.strip()) > MAX_THEME:
        return Envelope(413, "Theme or prompt too long")
    request = MusicRequest(count=2, prompt=bounded("prompt", wire.prompt, MAX_THEME, required=True))
    wanted = draft(call.body, "music.lyrics", "lyrics", request, price=PRICES["lyrics"], callback=callback)
    return TaskCreated(await desk.accept(wanted))


def lyrics_record(task: Task, link: Link) -> SunoLyricsRecord:
    variants = [
        SunoVariant(text=source.said(piece, "text"), title=source.said(piece, "title")) for piece in task.pieces
    ]
    done = task.state is State.SUCCEEDED
    return SunoLyricsRecord(
        taskId=task.id,
        param=task.params,
        response=SunoLyricsResult(taskId=task.id, data=variants) if done else None,
        status=_status(task),
        errorCode=code(task.failure) if task.failure else None,
        errorMessage=reason(task),
    )


def _status(task: Task) -> LyricsStatus:
    if task.failure and task.failure.reason is Reason.CONTENT:
        return "SENSITIVE_WORD_ERROR"
    state = word(task)
    return "GENERATE_LYRICS_FAILED" if state == "FAILED" else state


def lyrics_told(task: Task, link: Link) -> Envelope:
    if task.failure:
        told = 400 if task.failure.reason in {Reason.CONTENT, Reason.INPUT_INVALID} else 500
        return Envelope(told, task.failure.message, SunoTold(callbackType="complete", task_id=task.id, data=None))
    variants = [
        SunoToldVariant(text=source.said(piece, "text"), title=source.said(piece, "title")) for piece in task.pieces
    ]
    data = SunoTold(callbackType="complete", task_id=task.id, data=variants)
    return Envelope(200, "All generated successfully.", data)


# ---- a richer style ----


async def style(call: Call, desk: Desk) -> object:
    wire = read(SunoStyle, call.body)
    request = MusicRequest(style=bounded("content", wire.content, MAX_STYLE, required=True))
    wanted = draft(call.body, "music.style", "style", request, price=PRICES["style"], callback=None)
    task = await desk.done(await desk.accept(wanted), PATIENCE)
    if task.state is not State.SUCCEEDED or not task.pieces:
        return not_done(task)
    return SunoStyleText(
        taskId=task.id,
        param=wire.content,
        result=source.said(task.pieces[0], "text"),
        creditsConsumed=task.price / UNIT,
        creditsRemaining=await desk.credits(),
        createTime=millis(task.created_at),
    )


# ---- when each word is sung ----


async def timestamps(call: Call, desk: Desk) -> object:
    wire = read(SunoTrackRef, call.body)
    track = await source.track(desk, wire.taskId, wire.audioId)
    facts = track.piece.facts
    if "words" in facts:  # its maker has told them: nobody has to listen to it
        return _timed(facts)
    task = await _listened(call.body, desk, track)
    return _timed(task.pieces[0].facts) if task.state is State.SUCCEEDED and task.pieces else not_done(task)


async def _listened(body: bytes, desk: Desk, track: Track, *, looks: int = 2) -> Task:
    """The task that listened to the track, or that does so now: once for each track. Raises Invalid."""
    before = source.of_track(await desk.children(track.task, TIMING), track.index)
    known = next(source.standing(before), None)
    if known is not None:
        return known if known.state is State.SUCCEEDED else await desk.done(known.id, PATIENCE)
    url = source.usable(desk, track.task, track.piece, field="audioId")
    lines = source.said(track.piece, "lyrics", "prompt")
    request = MusicRequest(audio=(url,), lyrics=lines, facts=track.piece.facts)
    wanted = draft(body, TIMING, "timing", request, price=PRICES["timing"], callback=None, parent=track.task)
    task_id = await only_once(desk, wanted, f"suno-timing-{track.id}-{len(before)}")
    if task_id is not None:
        return await desk.done(task_id, PATIENCE)
    if looks == 1:
        raise Invalid("audioId: somebody else is asking for this track; ask again in a moment", field="audioId")
    # Where somebody came first, what they began is found now.
    return await _listened(body, desk, track, looks=looks - 1)


def _timed(facts: Mapping[str, Any]) -> SunoTimedLyrics:
    return SunoTimedLyrics(
        alignedWords=[_word(each) for each in facts.get("words") or ()],
        waveformData=list(facts.get("waveform") or ()),
        hootCer=facts.get("hootCer"),
        isStreamed=False,
    )


def _word(known: Mapping[str, Any]) -> SunoWord:
    """The mark of a section sticks to its first word, with a line break between them."""
    mark = str(known.get("mark") or "")
    return SunoWord(
        word=f"{mark}\n{known['word']}" if mark else str(known["word"]),
        startS=known["startS"],
        endS=known["endS"],
        success=known.get("success", True),
        palign=known.get("palign", 0),
    )


# ---- the operations ----

ROUTES = (
    Route(
        Operation(
            method="post",
            path="/api/v1/lyrics",
            id="generateLyrics",
            summary="Start a lyrics task",
            tag="Suno Lyrics",
            body=SunoLyrics,
            data=TaskCreated,
            creates=True,
        ),
        lyrics,
    ),
    Route(
        Operation(
            method="get",
            path="/api/v1/lyrics/record-info",
            id="getLyricsDetails",
            summary="State and texts of a lyrics task",
            tag="Suno Lyrics",
            query=("taskId!",),
            data=SunoLyricsRecord,
        ),
        shows(lyrics_record, frozenset({"music.lyrics"})),
    ),
    Route(
        Operation(
            method="post",
            path="/api/v1/generate/get-timestamped-lyrics",
            id="getTimestampedLyrics",
            summary="Word timings of a track",
            tag="Suno Lyrics",
            body=SunoTrackRef,
            data=SunoTimedLyrics,
        ),
        timestamps,
    ),
    Route(
        Operation(
            method="post",
            path="/api/v1/style/generate",
            id="boostMusicStyle",
            summary="Expand a short style text",
            tag="Suno Style",
            body=SunoStyle,
            data=SunoStyleText,
            creates=True,
        ),
        style,
    ),
)

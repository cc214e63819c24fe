"""Who sings: personas taken from a track, and voices made from what somebody sang."""

from collections.abc import Mapping
from typing import Any

from tessera.contract.envelope import Envelope, TaskCreated
from tessera.contract.operations import Operation
from tessera.contract.suno import (
    SunoPersona,
    SunoPersonaMade,
    SunoPhrase,
    SunoVoice,
    SunoVoiceCheck,
    SunoVoiceGenerate,
    SunoVoiceReady,
    SunoVoiceRegenerate,
    SunoVoiceValidate,
    VoiceStatus,
)
from tessera.dialects.base import Answer, Call, Desk, Link, Route, bounded, read, urls
from tessera.dialects.suno import source
from tessera.dialects.suno.source import MISSING, Track
from tessera.dialects.suno.terms import (
    NAME,
    PATIENCE,
    PRICES,
    code,
    draft,
    hook,
    makes,
    model,
    moment,
    not_done,
    only_once,
    reason,
)
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.task import Draft, MusicRequest, State, Task
from tessera.kit.ids import part

PERSONA = "music.persona"
PHRASE = "music.voice_validate"
VOICE = "music.voice_generate"
PHRASES = frozenset({PHRASE})
FLOW = frozenset({PHRASE, VOICE})

PERSONA_IS_THERE = "Persona already exists for this music"

SPAN = (10, 30)
"""Seconds of singing that a persona is taken from."""
MAX_NAME = 100
MAX_TEXT = 1000


# ---- personas ----


async def persona(call: Call, desk: Desk) -> object:
    wire = read(SunoPersona, call.body)
    request = _asked(wire)
    track = await source.track(desk, wire.taskId, wire.audioId)
    source.finished(track.task)
    if track.task.model == model("V3_5"):
        raise Invalid("taskId: needs a track of a model newer than V3_5", field="taskId")
    before = source.of_track(await desk.children(track.task, PERSONA), track.index)
    known = next(source.standing(before), None)
    if known is not None and known.state is State.SUCCEEDED:
        return Envelope(409, PERSONA_IS_THERE)
    if known is not None:
        return _made(wire, await desk.done(known.id, PATIENCE))
    wanted = _persona(call.body, request, track, desk)
    task_id = await only_once(desk, wanted, f"suno-persona-{track.id}-{len(before)}")
    return _made(wire, await desk.done(task_id, PATIENCE)) if task_id else Envelope(409, PERSONA_IS_THERE)


def _asked(wire: SunoPersona) -> dict[str, Any]:
    start = moment("vocalStart", 0.0 if wire.vocalStart is None else wire.vocalStart)
    end = moment("vocalEnd", 30.0 if wire.vocalEnd is None else wire.vocalEnd)
    if not SPAN[0] <= end - start <= SPAN[1]:
        rule = f"has to be {SPAN[0]} to {SPAN[1]} seconds after vocalStart"
        raise Invalid(f"vocalEnd: {rule}", field="vocalEnd")
    return {
        "title": bounded("name", wire.name, MAX_NAME, required=True),
        "prompt": bounded("description", wire.description, MAX_TEXT, required=True),
        "style": bounded("style", wire.style, MAX_TEXT),
        "start": start,
        "end": end,
    }


def _persona(body: bytes, asked: Mapping[str, Any], track: Track, desk: Desk) -> Draft:
    url = source.usable(desk, track.task, track.piece, field="audioId")
    request = MusicRequest(audio=(url,), facts=track.piece.facts, **asked)
    return draft(body, PERSONA, "persona", request, price=PRICES["persona"], callback=None, parent=track.task)


def _made(wire: SunoPersona, task: Task) -> object:
    if task.state is not State.SUCCEEDED or not task.pieces:
        return not_done(task)
    return SunoPersonaMade(personaId=_short(task), name=wire.name, description=wire.description)


def _short(task: Task) -> str:
    """The id of what a task made, without its dashes: so personas and voices are named."""
    return part(task.id, 0).replace("-", "")


# ---- step 1: a phrase to sing ----


async def validate(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoVoiceValidate, body)
    bounded("voiceUrl", wire.voiceUrl, 8192, required=True)
    start, end = moment("vocalStartS", wire.vocalStartS), moment("vocalEndS", wire.vocalEndS)
    if end <= start:
        raise Invalid("vocalEndS: has to be above vocalStartS", field="vocalEndS")
    request = MusicRequest(
        audio=(wire.voiceUrl,),
        start=float(start),
        end=float(end),
        facts={"language": wire.language or "en"},
    )
    callback, given = hook(wire.callBackUrl, required=False), urls(voiceUrl=wire.voiceUrl)
    return draft(body, PHRASE, "voice", request, price=PRICES["phrase"], callback=callback, given=given)


async def regenerate(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoVoiceRegenerate, body)
    callback = hook(wire.calBackUrl or wire.callBackUrl)
    given = await source.work(desk, wire.taskId, PHRASES)
    first = await _first(desk, given)
    asked = first.request
    assert isinstance(asked, MusicRequest)  # as with every task of a voice
    before = [first, *await desk.children(first, PHRASE)]
    phrases = [phrase for each in before if (phrase := _phrase(each))]
    request = MusicRequest(
        audio=asked.audio,
        start=asked.start,
        end=asked.end,
        facts={**asked.facts, "phrases": phrases, "turn": len(before)},
    )
    return draft(body, PHRASE, "voice", request, price=PRICES["phrase"], callback=callback, parent=first)


async def _first(desk: Desk, task: Task) -> Task:
    """The first phrase task of those that ask for the same voice."""
    parent = await desk.task(task.parent) if task.parent else None
    return parent if parent is not None and parent.operation == PHRASE else task


async def _newest(desk: Desk, task: Task) -> Task:
    """The newest phrase of a voice, where the first one was replaced."""
    again = await desk.children(task, PHRASE)
    return again[0] if again else task


def _phrase(task: Task) -> str:
    done = task.state is State.SUCCEEDED and task.pieces
    return source.said(task.pieces[0], "phrase") if done else ""


async def phrase_info(call: Call, desk: Desk) -> object:
    task_id = call.maybe("taskId")
    task = await _ours(desk, task_id)
    if task is None or task_id is None:
        return None
    if task.operation == VOICE:
        task = await desk.task(task.parent or "") or task
    return phrase_record(await _newest(desk, task), task_id)


async def _ours(desk: Desk, task_id: str | None) -> Task | None:
    """A phrase task or a voice task."""
    task = await desk.task(task_id) if task_id else None
    return task if task is not None and task.family == NAME and task.operation in FLOW else None


def phrase_record(task: Task, task_id: str) -> SunoPhrase:
    return SunoPhrase(
        taskId=task_id,
        validateInfo=_phrase(task),
        status=_status(task),
        errorCode=code(task.failure) if task.failure else None,
        errorMessage=reason(task),
    )


def phrase_told(task: Task, link: Link) -> Envelope:
    told, message = (500, reason(task) or "") if task.failure else (0, "")
    data = SunoPhrase(
        taskId=task.id, validateInfo=_phrase(task), status=_status(task), errorCode=told, errorMessage=message
    )
    return Envelope(400, "Validation phrase generation failed", data) if told else Envelope(200, "success", data)


# ---- step 2: the voice ----


async def generate(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoVoiceGenerate, body)
    bounded("verifyUrl", wire.verifyUrl, 8192, required=True)
    given_task = await source.work(desk, wire.taskId, PHRASES)
    known = [*await desk.children(given_task, PHRASE), given_task]
    phrase = next((each for each in known if _phrase(each)), None)
    if phrase is None:
        raise Invalid("taskId: its phrase is not there yet", field="taskId")
    told = phrase.request.facts if isinstance(phrase.request, MusicRequest) else {}
    request = MusicRequest(
        audio=(wire.verifyUrl,),
        title=bounded("voiceName", wire.voiceName, MAX_NAME),
        prompt=bounded("description", wire.description, MAX_TEXT),
        style=bounded("style", wire.style, MAX_TEXT),
        facts={
            "phrase": _phrase(phrase),
            "language": told.get("language", "en"),
            "skill": wire.singerSkillLevel or "beginner",
        },
    )
    callback, given = hook(wire.callBackUrl, required=False), urls(verifyUrl=wire.verifyUrl)
    return draft(
        body,
        VOICE,
        "voice",
        request,
        price=PRICES["voice"],
        callback=callback,
        given=given,
        parent=await _first(desk, given_task),
    )


async def voice_info(call: Call, desk: Desk) -> object:
    """Also by the id of the phrase task, which is what one client asks with."""
    task_id = call.maybe("taskId")
    task = await _ours(desk, task_id)
    return voice_record(await _voice(desk, task), task_id) if task is not None and task_id is not None else None


async def _voice(desk: Desk, task: Task) -> Task:
    """The newest voice of a phrase task; the phrase task itself, newest too, while there is none."""
    if task.operation == VOICE:
        return task
    made = await desk.children(task, VOICE)
    return made[0] if made else await _newest(desk, task)


def voice_record(task: Task, task_id: str) -> SunoVoice:
    return SunoVoice(
        taskId=task_id,
        voiceId=_voice_id(task),
        status=_status(task),
        errorCode=code(task.failure) if task.failure else None,
        errorMessage=reason(task),
    )


def voice_told(task: Task, link: Link) -> Envelope:
    told, message = (500, reason(task) or "") if task.failure else (0, "")
    data = SunoVoice(
        taskId=task.id, voiceId=_voice_id(task), status=_status(task), errorCode=told, errorMessage=message
    )
    return Envelope(400, "Voice generation failed", data) if told else Envelope(200, "success", data)


def _voice_id(task: Task) -> str:
    """Of a voice that is there; a caller names it as ``personaId``."""
    return _short(task) if task.operation == VOICE and task.state is State.SUCCEEDED and task.pieces else ""


def _status(task: Task) -> VoiceStatus:
    voice = task.operation == VOICE
    if task.state is State.SUCCEEDED:
        return "success" if voice else "wait_validating"
    if task.state.terminal:
        return "fail" if voice else "processing_validate_fail"
    return "wait_processing" if voice or task.state is State.WAITING else "processing_validate"


async def check(call: Call, desk: Desk) -> object:
    """A voice is usable from the moment that it is there."""
    wire = read(SunoVoiceCheck, call.body)
    task_id = bounded("task_id", wire.task_id or wire.taskId, 100, required=True)
    task = await _ours(desk, task_id)
    if task is None:
        raise NotFound(MISSING)
    return SunoVoiceReady(isAvailable=bool(_voice_id(await _voice(desk, task))))


# ---- the operations ----


def _post(path: str, id_: str, summary: str, body: Any, answer: Answer, data: Any = TaskCreated) -> Route:
    operation = Operation(
        method="post",
        path=f"/api/v1/{path}",
        id=id_,
        summary=summary,
        tag="Suno Voice",
        body=body,
        data=data,
        creates=data is TaskCreated,
    )
    return Route(operation, answer)


def _get(path: str, id_: str, summary: str, data: Any, answer: Answer) -> Route:
    operation = Operation(
        method="get",
        path=f"/api/v1/{path}",
        id=id_,
        summary=summary,
        tag="Suno Voice",
        query=("taskId",),
        data=data,
    )
    return Route(operation, answer)


ROUTES = (
    _post(
        "generate/generate-persona",
        "generatePersona",
        "Make a reusable persona from a track",
        SunoPersona,
        persona,
        SunoPersonaMade,
    ),
    _post("voice/validate", "sunoVoiceValidate", "Step 1: ask for a phrase", SunoVoiceValidate, makes(validate)),
    _get("voice/validate-info", "sunoVoiceValidateInfo", "Phrase of a voice task", SunoPhrase, phrase_info),
    _post("voice/regenerate", "sunoVoiceRegenerate", "Ask for another phrase", SunoVoiceRegenerate, makes(regenerate)),
    _post("voice/generate", "sunoVoiceGenerate", "Step 2: make the voice", SunoVoiceGenerate, makes(generate)),
    _get("voice/record-info", "sunoVoiceRecordInfo", "State and id of a voice", SunoVoice, voice_info),
    _post("voice/check-voice", "sunoVoiceCheckVoice", "Is it usable yet", SunoVoiceCheck, check, SunoVoiceReady),
)

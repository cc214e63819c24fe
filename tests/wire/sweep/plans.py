"""What the sweep knows beyond the documents: which record shows which task, and what an example has to be given.

An example names tasks, songs and files that somebody else made. Here is said by what each is replaced: a *thing*, which
the sweep makes beforehand with the gateway itself (``world``), such as ``song.task``; what follows a colon tells two of
a kind apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``record`` is the operation that shows the tasks; without one the answer itself is the result.

    ``text`` is the field in which the sandbox finds directives. ``things`` and ``sets`` replace fields of every example
    that has them. ``light`` is an operation whose results are quickly made, ``free`` one that costs nothing and is not
    counted. ``again`` are the codes for who asks for the same twice, where the document says that this is refused;
    ``gone`` are those for a file that is not there, where the call itself fetches it. ``longest`` has the characters of
    texts at the most, where that is said in words only.
    """

    record: str | None = None
    text: str | None = None
    things: Mapping[str, str] = field(default_factory=dict)
    sets: Mapping[str, Any] = field(default_factory=dict)
    light: bool = False
    free: bool = False
    again: frozenset[int] = frozenset()
    gone: frozenset[int] = frozenset()
    longest: Mapping[str, int] = field(default_factory=dict)


V5 = {"prompt": 5000, "style": 1000, "title": 100}
SONG = {"taskId": "song.task", "audioId": "song.audio"}
MUSIC = "getMusicDetails"

PLANS: Mapping[str, Plan] = {
    "generate4oImage": Plan(record="get4oImageDetails", text="prompt", light=True),
    "get4oImageDownloadUrl": Plan(things={"taskId": "picture.task", "url": "picture.url"}, light=True, free=True),
    "generateOrEditImage": Plan(record="getImageDetails", text="prompt", light=True),
    "downloadUrl": Plan(things={"url": "picture.url"}, light=True, free=True),
    "getAccountCredits": Plan(light=True, free=True),
    "uploadFileBase64": Plan(light=True, free=True),
    "uploadFileStream": Plan(light=True, free=True),
    "uploadFileUrl": Plan(light=True, free=True, gone=frozenset({400})),
    "generateVeo31Video": Plan(record="getVeo31VideoDetails", text="prompt"),
    "getVeo31Video1080p": Plan(things={"taskId": "veo:hd.task"}),
    "getVeo31Video4k": Plan(record="getVeo31VideoDetails", things={"taskId": "veo:uhd.task"}, again=frozenset({422})),
    "extendVeo31Video": Plan(record="getVeo31VideoDetails", text="prompt", things={"taskId": "veo.task"}),
    "generateAiVideo": Plan(record="getAiVideoDetails", text="prompt"),
    "extendAiVideo": Plan(record="getAiVideoDetails", text="prompt", things={"taskId": "runway.task"}),
    "generateAlephVideo": Plan(record="getAlephVideoDetails", text="prompt"),
    "generateLumaModifyVideo": Plan(record="getLumaModifyDetails", text="prompt"),
    "generateMusic": Plan(record=MUSIC, text="prompt", longest=V5),
    "extendMusic": Plan(
        record=MUSIC, text="prompt", things=SONG, sets={"continueAt": 12.5, "model": "V5_5"}, longest=V5
    ),
    "uploadAndCoverAudio": Plan(record=MUSIC, text="prompt", longest=V5),
    "uploadAndExtendAudio": Plan(record=MUSIC, text="title", sets={"continueAt": 12}, longest=V5),
    "addInstrumental": Plan(record=MUSIC, text="title"),
    "addVocals": Plan(record=MUSIC, text="prompt"),
    "replaceSection": Plan(record=MUSIC, text="prompt", things=SONG, sets={"infillStartS": 5.5, "infillEndS": 16}),
    "generateMashup": Plan(record=MUSIC, text="title"),
    "generateSounds": Plan(record=MUSIC, text="prompt", light=True),
    "generatePersona": Plan(things=SONG, sets={"vocalEnd": 20}, light=True, again=frozenset({409})),
    "getTimestampedLyrics": Plan(things=SONG, light=True),
    "boostMusicStyle": Plan(text="content", light=True),
    "generateCover": Plan(record="getCoverDetails", things=SONG, light=True, again=frozenset({400, 409})),
    "generateLyrics": Plan(record="getLyricsDetails", text="prompt", light=True, longest={"prompt": 200}),
    "convertToWav": Plan(record="getWavDetails", things=SONG, light=True, again=frozenset({409})),
    "separateVocals": Plan(record="getVocalSeparationDetails", things=SONG),
    "generateMidi": Plan(record="getMidiDetails", things={"taskId": "stems.task"}, light=True),
    "createMusicVideo": Plan(record="getMusicVideoDetails", things=SONG),
    "sunoVoiceValidate": Plan(record="sunoVoiceValidateInfo", light=True),
    "sunoVoiceRegenerate": Plan(record="sunoVoiceValidateInfo", things={"taskId": "phrase.task"}, light=True),
    "sunoVoiceGenerate": Plan(
        record="sunoVoiceRecordInfo", things={"taskId": "phrase.task", "verifyUrl": "phrase.spoken"}, light=True
    ),
    "sunoVoiceCheckVoice": Plan(things={"task_id": "voice.task"}, light=True, free=True),
    "recoveryAudio": Plan(record="getRecoveryAudioDetails", things={"sunoTaskId": "song.task"}, light=True),
    "createTask": Plan(record="getTaskDetails", text="input.prompt"),
    "geminiOmniAudio": Plan(light=True),
    "gptCodexResponses": Plan(sets={"model": "gpt-5.2-codex"}, light=True),
    "modelPricingPage": Plan(light=True, free=True),
    "grokResponses": Plan(sets={"model": "grok-4-5"}, light=True),
    "geminiOmniCharacter": Plan(
        things={"audio_ids": "voice-of-omni.list"}, light=True, gone=frozenset({422, 451, 500, 501})
    ),
}
"""By operation. One that is not here is asked with its examples as they are, and its answer is the result."""

QUIET = Plan(light=True)


def plan(operation_id: str) -> Plan:
    return PLANS.get(operation_id, QUIET)


PATHS: Mapping[str, str] = {"chatModel": "gemini-3-flash", "geminiModel": "gemini-3-5-flash"}
"""Parts of a path."""

TASK_ID = "taskId"
QUERIES: Mapping[str, str] = {"getRecoveryAudioDetails": "task_id"}
"""What a record calls the id of the task, where it is not ``taskId``."""

STATES = ("successFlag", "status", "state")
"""Where a record says how far the task is."""

RUNNING: Mapping[str, frozenset[Any]] = {"getCoverDetails": frozenset({0, 2})}
"""States of a task that goes on, where the usual ones say something else."""

UNFINISHED: frozenset[Any] = frozenset(
    {0, "GENERATING", "wait", "queueing", "generating", "PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS"}
    | {"wait_processing", "processing_validate", "waiting", "queuing"}
)
GOOD: frozenset[Any] = frozenset({1, "SUCCESS", "success", "wait_validating"})


CODED = frozenset({"getRecoveryAudioDetails"})
"""Records whose code is the state of the task."""


def data_of(body: Any) -> Any:
    """The record in an answer: a recovery has its parts in the envelope."""
    return body.get("data") if isinstance(body, dict) else None


def state(record: str, body: Mapping[str, Any]) -> str:
    """How far a task is, in the words of its record: ``successFlag 1, status SUCCESS``."""
    if record in CODED:
        return f"code {body['code']}"
    data = data_of(body)
    if not isinstance(data, dict):
        return "data null"
    return ", ".join(f"{name} {data[name]}" for name in STATES if name in data)


def over(record: str, body: Mapping[str, Any]) -> bool:
    if record in CODED:
        return bool(body["code"] != 201)
    data = data_of(body)
    if not isinstance(data, dict):
        return False
    running = RUNNING.get(record, UNFINISHED)
    said = [data[name] for name in STATES if name in data]
    # A failed Aleph task is still a 0: only the time of its end tells.
    return not any(each in running for each in said) or data.get("completeTime") is not None


def succeeded(record: str, body: Mapping[str, Any]) -> bool:
    if record in CODED:
        return bool(body["code"] == 200)
    data = data_of(body)
    return isinstance(data, dict) and any(data.get(name) in GOOD for name in STATES)

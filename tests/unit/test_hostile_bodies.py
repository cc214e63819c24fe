"""Whatever stands in a field: an operation refuses it or takes it, and what it took can be shown for ever."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tests.unit import market_samples
from tests.unit.videos import FILM, HOOK, PICTURE, TASK, TASK_ID, Counter, done, failed, file, link, running, wire

from tessera.contract.envelope import encode
from tessera.dialects.base import Call, Family, Route
from tessera.dialects.market import family as market
from tessera.dialects.registry import discover
from tessera.domain.errors import Refusal
from tessera.domain.task import MusicRequest, Piece, Reason, Task, VideoRequest
from tessera.kit.ids import part

FAMILIES = {name: family for name, family in discover().items() if name != "market"}
SERVED: dict[str, tuple[Family, Route]] = {
    route.operation.id: (family, route)
    for family in FAMILIES.values()
    for route in family.routes
    if isinstance(route.operation.body, type) and issubclass(route.operation.body, msgspec.Struct)
}

SONG_URL = "https://client.example.net/in/a.mp3"
STEMS_ID, PHRASE_ID, FILM_ID, TRAM_ID, PICTURE_ID = (f"{TASK_ID[:-1]}{digit}" for digit in "12345")
AUDIO, STEM = part(TASK_ID, 0), part(STEMS_ID, 0)
TRACK = {"taskId": TASK_ID, "audioId": AUDIO}
FACTS = {"title": "Harbour Lights", "tags": "dream pop", "lyrics": "Lanterns lean", "seconds": 171.84}
CUSTOM = {"model": "V5", "customMode": True, "instrumental": False, "prompt": "x", "style": "pop", "title": "T"}
WISHES = {
    "callBackUrl": HOOK,
    "negativeTags": "metal",
    "vocalGender": "f",
    "styleWeight": 0.5,
    "weirdnessConstraint": 0.5,
    "audioWeight": 0.5,
}
ON = {"model": "V5", "defaultParamFlag": True, "continueAt": 60, "prompt": "x", "style": "pop", "title": "T", **WISHES}
SECTION = {"prompt": "x", "tags": "pop", "title": "T", "infillStartS": 30, "infillEndS": 45, "fullLyrics": "all"}
FILMED = {"prompt": "x", "videoUrl": FILM, "callBackUrl": HOOK}

GOOD: Mapping[str, dict[str, Any]] = {
    "generate4oImage": {"prompt": "x", "size": "1:1", "filesUrl": [PICTURE], "nVariants": 2, "callBackUrl": HOOK},
    "get4oImageDownloadUrl": {"taskId": PICTURE_ID, "url": "https://files.example.net/s/a.png"},
    "generateOrEditImage": {"prompt": "x", "aspectRatio": "16:9", "inputImage": PICTURE, "callBackUrl": HOOK},
    "generateVeo31Video": {"prompt": "x", "model": "veo3", "seeds": 12345, "callBackUrl": HOOK},
    "getVeo31Video4k": {"taskId": FILM_ID, "index": 0, "callBackUrl": HOOK},
    "extendVeo31Video": {"taskId": FILM_ID, "prompt": "x", "callBackUrl": HOOK},
    "generateAiVideo": {"prompt": "x", "duration": 5, "quality": "720p", "aspectRatio": "16:9", "callBackUrl": HOOK},
    "extendAiVideo": {"taskId": TRAM_ID, "prompt": "x", "quality": "720p", "callBackUrl": HOOK},
    "generateAlephVideo": FILMED,
    "generateAlephVideoOfRunway": FILMED,
    "generateAlephVideoDoubled": FILMED,
    "generateLumaModifyVideo": FILMED,
    "generateMusic": {**CUSTOM, **WISHES},
    "extendMusic": {**ON, "audioId": AUDIO},
    "uploadAndCoverAudio": {**CUSTOM, **WISHES, "uploadUrl": SONG_URL},
    "uploadAndExtendAudio": {**ON, "uploadUrl": SONG_URL},
    "addInstrumental": {"uploadUrl": SONG_URL, "title": "T", "tags": "folk", **WISHES},
    "addVocals": {"uploadUrl": SONG_URL, "title": "T", "style": "folk", "prompt": "x", **WISHES},
    "replaceSection": {**SECTION, **WISHES, "uploadUrl": SONG_URL, "model": "V5"},
    "generateMashup": {**CUSTOM, **WISHES, "uploadUrlList": [SONG_URL, SONG_URL]},
    "generateSounds": {"prompt": "Rain", "model": "V5", "soundTempo": 90, "soundKey": "Any", "callBackUrl": HOOK},
    "generateLyrics": {"prompt": "x", "callBackUrl": HOOK},
    "getTimestampedLyrics": TRACK,
    "boostMusicStyle": {"content": "pop"},
    "convertToWav": {**TRACK, "callBackUrl": HOOK},
    "separateVocals": {**TRACK, "callBackUrl": HOOK},
    "generateMidi": {"taskId": STEMS_ID, "audioId": STEM, "callBackUrl": HOOK},
    "createMusicVideo": {**TRACK, "callBackUrl": HOOK},
    "generateCover": {"taskId": TASK_ID, "callBackUrl": HOOK},
    "generatePersona": {**TRACK, "name": "Quay", "description": "Alto", "vocalStart": 0, "vocalEnd": 25},
    "sunoVoiceValidate": {"voiceUrl": SONG_URL, "vocalStartS": 0, "vocalEndS": 10, "callBackUrl": HOOK},
    "sunoVoiceRegenerate": {"taskId": PHRASE_ID, "callBackUrl": HOOK},
    "sunoVoiceGenerate": {"taskId": PHRASE_ID, "verifyUrl": SONG_URL, "callBackUrl": HOOK},
    "sunoVoiceCheckVoice": {"task_id": PHRASE_ID},
    "recoveryAudio": {"task_id": TASK_ID, "call_back_url": HOOK},
}
"""A body for each operation that it takes."""

HOSTILE = (
    "null", "true", "0", "-1", "-0.0", "1.5", "1e308", "-1e308", "1e400", "5e-324", "1" * 400, "1" * 4400,
    '""', '" "', r'"\u0000"', r'"\ud800"', r'"\udc00x"', '"' + "x" * 20_000 + '"', '"1e308"', '"NaN"', '"Infinity"',
    '"-1"', '"' + "9" * 5000 + '"', '"٣"', '"²"', '"//"', '"http://["', '"http://[::1"', '"http://127.0.0.1:8099/x.mp3"',
    '"../../etc/passwd"', '"file:///etc/passwd"', r'"\u202e"', "[]", "[[]]", "[null]", '[""]', "[1e400]", "{}",
    '{"a":1e400}', '["http://[","http://[::1"]', "[" * 300 + "]" * 300, "[" * 5000 + "]" * 5000,
)  # fmt: skip


def room() -> Counter:
    """A desk with a finished task of each kind that an operation goes on from."""
    song = done(replace(TASK, family="suno", operation="music.generate", model="suno/V5"), "a.mp4", "b.mp4")
    song = replace(song, request=MusicRequest(), pieces=tuple(Piece(files={"audio": i}, facts=FACTS) for i in (0, 1)))
    stems = replace(song, id=STEMS_ID, operation="music.stems", model="suno/stems")
    phrase = replace(song, id=PHRASE_ID, operation="music.voice_validate", pieces=(Piece(facts={"phrase": "La"}),))
    phrase = replace(phrase, outputs=(), request=MusicRequest(audio=(SONG_URL,), start=0.0, end=10.0))
    film = done(replace(TASK, id=FILM_ID, family="veo", model="veo3_fast"), "c.mp4")
    film = replace(film, request=VideoRequest(prompt="x", seconds=8))
    tram = done(replace(TASK, id=TRAM_ID, family="runway", model="runway"), "d.mp4", "d.png")
    picture = done(replace(TASK, id=PICTURE_ID, family="gpt4o-image", operation="image.generate"), "a.png")
    desk = Counter().has(song, stems, phrase, film, tram, picture)
    desk.files["s/a.png"] = file("a.png", task_id=PICTURE_ID)
    return desk


def ends(task: Task) -> list[Task]:
    """What may become of a task."""
    made = replace(done(task, "a.png", "b.mp4"), pieces=(Piece(facts=FACTS),))
    return [task, running(task), made, failed(task, Reason.PROVIDER)]


async def shown(family: Family, task: Task) -> None:
    """Every record-info of the family about a task, and its callback."""
    desk = Counter().has(task)
    for route in family.routes:
        if route.operation.method == "get":
            query = {name.rstrip("!"): [task.id] for name in route.operation.query}
            try:
                encode(await route.answer(Call(query=query), desk))
            except Refusal:
                continue
    if task.state.terminal:
        encode(family.callback(task, link))


async def asked(operation: str, body: str) -> Counter | None:
    """The desk after a call, None after a refusal. Whatever else is raised is for the test to show."""
    desk, (_, route) = room(), SERVED[operation]
    try:
        encode(await route.answer(Call(body=body.encode()), desk))
    except Refusal as error:
        str(error).encode()  # what is said has to be sent, too
        return None
    return desk


def text(fields: Mapping[str, Any], **raw: str) -> str:
    """A body in which some fields hold JSON as it is given."""
    parts = {name: json.dumps(value) for name, value in fields.items()} | raw
    return "{" + ",".join(f'"{name}":{value}' for name, value in parts.items()) + "}"


def test_every_operation_has_a_body_that_it_takes() -> None:
    assert set(GOOD) == set(SERVED)


@pytest.mark.parametrize("operation", GOOD)
async def test_a_hostile_value_is_refused_or_can_be_shown_for_ever(operation: str) -> None:
    family, route = SERVED[operation]
    good = GOOD[operation]
    assert await asked(operation, text(good)) is not None, "the body has to be good, or nothing is tried"
    names = [field.encode_name for field in msgspec.structs.fields(route.operation.body)]
    for name in [*names, "unheardOf"]:
        for value in HOSTILE:
            desk = await asked(operation, text(good, **{name: value}))
            for draft in desk.drafts if desk else ():
                json.dumps(msgspec.to_builtins(draft.request), allow_nan=False)
                msgspec.json.decode(draft.params)
    desk = await asked(operation, text(good, unheardOf='{"a":[1e308,"\\u00e9"]}'))
    assert desk is not None
    for task in list(desk.tasks.values()):
        if task.id.startswith("child"):
            for end in ends(task):
                await shown(family, end)


@pytest.mark.parametrize("value", ["1e400", "[-1e999]", "1" * 4400, r'"\ud800"', '{"deep":{"er":1e400}}'])
@pytest.mark.parametrize("operation", [name for name in GOOD if SERVED[name][1].operation.creates])
async def test_what_could_not_be_read_again_is_refused_in_fields_that_nobody_reads(operation: str, value: str) -> None:
    assert await asked(operation, text(GOOD[operation], unheardOf=value)) is None


UNREADABLE = ('{"x":1e400}', "[" * 100_000 + "]" * 100_000, "[]", "", '{"model":')


@pytest.mark.parametrize("params", UNREADABLE)
def test_a_market_task_whose_body_cannot_be_read_any_more_is_still_shown(params: str) -> None:
    shown_ = wire(market.record(market_samples.task(params=params), link, market_samples.NOON))
    assert (shown_["model"], json.loads(shown_["param"])["input"]) == ("veo-3-1", "{}")


@pytest.mark.parametrize("params", UNREADABLE)
@pytest.mark.parametrize("operation", ["generateMusic", "extendMusic", "convertToWav", "separateVocals"])
async def test_a_task_whose_body_cannot_be_read_any_more_is_still_shown(operation: str, params: str) -> None:
    family, _ = SERVED[operation]
    desk = await asked(operation, text(GOOD[operation]))
    assert desk is not None
    for task in [task for task in desk.tasks.values() if task.id.startswith("child")]:
        for end in ends(replace(task, params=params)):
            await shown(family, end)

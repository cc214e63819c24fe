"""Songs and sounds: nine ways to ask for them."""

import re
from collections.abc import Mapping
from typing import Any

from tessera.contract.envelope import TaskCreated
from tessera.contract.operations import Operation
from tessera.contract.suno import (
    SunoAddInstrumental,
    SunoAddVocals,
    SunoExtend,
    SunoGenerate,
    SunoMashup,
    SunoMusicRecord,
    SunoReplaceSection,
    SunoSounds,
    SunoUploadCover,
    SunoUploadExtend,
    SunoWishes,
)
from tessera.dialects.base import Desk, Route, bounded, read, urls
from tessera.dialects.suno import source
from tessera.dialects.suno.source import MUSIC, Track
from tessera.dialects.suno.stages import record
from tessera.dialects.suno.terms import (
    NAME,
    PRICES,
    SONGS,
    WITH_LENGTH,
    draft,
    hook,
    limits,
    makes,
    model,
    moment,
    shows,
)
from tessera.domain.errors import Invalid, NotFound
from tessera.domain.task import Draft, MusicRequest, Task
from tessera.kit.ids import whole

COUNT = 2
"""Every task makes two versions, but for a section that is made anew."""

MAX_IDEA = 3000
MAX_IDEA_ON_UPLOADS = 500
"""Characters of a prompt without custom mode: what is uploaded says the rest."""
MAX_TAGS = 1000
MAX_NEGATIVE = 200
MAX_LYRICS = 5000
MAX_TITLE = 100
MAX_SOUND = 500
LENGTHS = (10, 360)
TEMPI = (1, 300)
SECTION = 10
"""Seconds of the shortest section that can be made anew."""

NOWHERE = "unknown:track"
"""The source of a song that goes on from a track that is not there. It has no host: it fails, and nothing is called."""
ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*:|.*//", re.IGNORECASE | re.DOTALL)

SINGERS = frozenset({"music.persona", "music.voice_generate"})
"""The operations that a ``personaId`` comes from."""

WEIGHTS = {"styleWeight": "style", "weirdnessConstraint": "weirdness", "audioWeight": "audio"}
DEFAULT_UPLOAD_MODEL = "V4_5PLUS"


# ---- what is asked for ----


async def generate(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoGenerate, body)
    callback = hook(wire.callBackUrl)
    song = _song(wire, MAX_IDEA) | await _wishes(wire, desk, wire.customMode)
    return draft(body, "music.generate", wire.model, MusicRequest(**song), price=PRICES["song"], callback=callback)


async def upload_cover(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoUploadCover, body)
    callback = hook(wire.callBackUrl)
    audio = _uploaded(uploadUrl=wire.uploadUrl)
    song = _song(wire, MAX_IDEA_ON_UPLOADS, long_titles=True) | await _wishes(wire, desk, wire.customMode)
    request = MusicRequest(audio=tuple(audio.values()), **song)
    return draft(body, "music.cover", wire.model, request, price=PRICES["song"], callback=callback, given=audio)


async def mashup(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoMashup, body)
    callback = hook(wire.callBackUrl)
    if len(wire.uploadUrlList) != 2:
        raise Invalid(f"uploadUrlList: needs exactly 2 URLs, got {len(wire.uploadUrlList)}", field="uploadUrlList")
    audio = urls(uploadUrlList=wire.uploadUrlList)
    song = _song(wire, MAX_IDEA_ON_UPLOADS) | await _wishes(wire, desk, wire.customMode)
    request = MusicRequest(audio=tuple(audio.values()), **song)
    return draft(body, "music.mashup", wire.model, request, price=PRICES["song"], callback=callback, given=audio)


async def extend(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoExtend, body)
    callback = hook(wire.callBackUrl)
    found = await source.by_audio(desk, wire.audioId)
    own, start = wire.defaultParamFlag, _start(wire, found.seconds if found else None)
    wishes = await _wishes(wire, desk, own)
    if found is None:
        # It is accepted all the same, and fails later: that is recorded.
        _check_id(wire.audioId)
        request = MusicRequest(audio=(NOWHERE,), start=start, **wishes)
        request = _joined(request, _continued(wire, strict=True) if own else {"count": COUNT})
        return draft(body, "music.extend", wire.model, request, price=PRICES["song"], callback=callback)
    _same_model(wire.model, found.task)
    url = source.usable(desk, found.task, found.piece, field="audioId")
    song = _continued(wire, strict=True) if own else _inherited(found)
    facts = {**found.piece.facts, **wishes.pop("facts", {})}
    request = MusicRequest(audio=(url,), start=start, facts=facts, **song, **wishes)
    return draft(body, "music.extend", wire.model, request, price=PRICES["song"], callback=callback, parent=found.task)


async def upload_extend(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoUploadExtend, body)
    callback = hook(wire.callBackUrl)
    audio = _uploaded(uploadUrl=wire.uploadUrl)
    own = wire.defaultParamFlag
    start = _start(wire, None)
    # Accepted without style and title, too: that is recorded.
    song = _continued(wire, strict=False) if own else {"count": COUNT, "instrumental": bool(wire.instrumental)}
    request = MusicRequest(audio=tuple(audio.values()), start=start, **song, **await _wishes(wire, desk, own))
    return draft(body, "music.extend", wire.model, request, price=PRICES["song"], callback=callback, given=audio)


async def add_instrumental(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoAddInstrumental, body)
    callback = hook(wire.callBackUrl)
    audio = _uploaded(uploadUrl=wire.uploadUrl)
    name = wire.model or DEFAULT_UPLOAD_MODEL
    request = MusicRequest(
        count=COUNT,
        audio=tuple(audio.values()),
        title=bounded("title", wire.title, limits(name, long_titles=True).title, required=True),
        style=bounded("tags", wire.tags, MAX_TAGS, required=True),
        **await _wishes(wire, desk, True, MAX_NEGATIVE),
    )
    return draft(body, "music.instrumental", name, request, price=PRICES["song"], callback=callback, given=audio)


async def add_vocals(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoAddVocals, body)
    callback = hook(wire.callBackUrl)
    audio = _uploaded(uploadUrl=wire.uploadUrl)
    name = wire.model or DEFAULT_UPLOAD_MODEL
    most = limits(name, long_titles=True)
    request = MusicRequest(
        count=COUNT,
        audio=tuple(audio.values()),
        title=bounded("title", wire.title, most.title, required=True),
        style=bounded("style", wire.style, MAX_TAGS, required=True),
        **_words(bounded("prompt", wire.prompt, most.prompt, required=True)),
        **await _wishes(wire, desk, True, MAX_NEGATIVE),
    )
    return draft(body, "music.vocals", name, request, price=PRICES["song"], callback=callback, given=audio)


async def replace_section(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoReplaceSection, body)
    callback = hook(wire.callBackUrl, required=False)
    found, audio = await _section_source(wire, desk)
    url = source.usable(desk, found.task, found.piece, field="audioId") if found else audio["uploadUrl"]
    _check_section(wire, found.seconds if found else None)
    whole_text = bounded("fullLyrics", wire.fullLyrics or wire.lyrics, MAX_LYRICS, required=True)
    wishes = await _wishes(wire, desk, True)
    request = MusicRequest(
        audio=(url,),
        lyrics=bounded("prompt", wire.prompt, MAX_LYRICS, required=True),
        style=bounded("tags", wire.tags, MAX_TAGS, required=True),
        title=bounded("title", wire.title, MAX_TITLE, required=True),
        start=wire.infillStartS,
        end=wire.infillEndS,
        facts={**(found.piece.facts if found else {}), "fullLyrics": whole_text, **wishes.pop("facts", {})},
        **wishes,
    )
    parent = found.task if found else None
    name = wire.model or (parent.model.removeprefix(f"{NAME}/") if parent and parent.model in SONG_MODELS else "V5")
    return draft(
        body, "music.replace", name, request, price=PRICES["section"], callback=callback, given=audio, parent=parent
    )


async def sounds(body: bytes, desk: Desk) -> Draft:
    wire = read(SunoSounds, body)
    tempo = wire.soundTempo
    if tempo is not None and not (float(tempo).is_integer() and TEMPI[0] <= tempo <= TEMPI[1]):
        raise Invalid(f"soundTempo: has to be a whole number from {TEMPI[0]} to {TEMPI[1]}", field="soundTempo")
    request = MusicRequest(
        count=COUNT,
        prompt=bounded("prompt", wire.prompt, MAX_SOUND, required=True),
        loop=bool(wire.soundLoop),
        tempo=tempo,
        key="" if wire.soundKey in {None, "Any"} else str(wire.soundKey),
        instrumental=True,
        facts={"version": wire.model},
    )
    callback = hook(wire.callBackUrl, required=False)
    return draft(body, "music.sounds", "sounds", request, price=PRICES["sounds"], callback=callback)


SONG_MODELS = frozenset(map(model, SONGS))


def _song(wire: SunoGenerate | SunoMashup, most_idea: int, *, long_titles: bool = False) -> dict[str, Any]:
    """What is to be sung or played. Without custom mode all but the idea is left to the maker."""
    quiet = bool(wire.instrumental)
    if not wire.customMode:
        idea = bounded("prompt", wire.prompt, most_idea, required=True)
        return {"prompt": idea, "instrumental": quiet, "count": COUNT}
    most = limits(wire.model, long_titles=long_titles)
    lyrics = bounded("lyrics", getattr(wire, "lyrics", None), most.prompt)
    prompt = bounded("prompt", wire.prompt, most.prompt, required=not quiet and not lyrics)
    said = {"prompt": prompt, "lyrics": "" if quiet else lyrics} if quiet or lyrics else {"lyrics": prompt}
    return {
        **said,
        "count": COUNT,
        "instrumental": quiet,
        "style": bounded("style", wire.style, most.style, required=True),
        "title": bounded("title", wire.title, most.title, required=True),
        "seconds": _length(wire.duration) if wire.model in WITH_LENGTH else None,
    }


def _length(seconds: float | None) -> float | None:
    if seconds is not None and not LENGTHS[0] <= seconds <= LENGTHS[1]:
        raise Invalid(f"duration: has to be from {LENGTHS[0]} to {LENGTHS[1]} seconds", field="duration")
    return seconds


def _check_id(audio_id: str) -> None:
    """An id that names nothing is taken; an address, which never is one, is not. Raises Invalid and NotFound."""
    if ADDRESS.match(bounded("audioId", audio_id, 100, required=True)):
        raise NotFound(source.MISSING)


def _continued(wire: SunoExtend | SunoUploadExtend, *, strict: bool) -> dict[str, Any]:
    """How a song goes on by the caller's own words."""
    most, quiet = limits(wire.model, long_titles=True), bool(wire.instrumental)
    prompt = bounded("prompt", wire.prompt, most.prompt, required=strict and not quiet)
    return {
        "count": COUNT,
        "instrumental": quiet,
        "style": bounded("style", wire.style, most.style, required=strict),
        "title": bounded("title", wire.title, most.title, required=strict),
        **({} if quiet else _words(prompt)),
    }


def _inherited(track: Track) -> dict[str, Any]:
    """How a song goes on by itself."""
    asked = track.task.request
    return {
        "count": COUNT,
        "instrumental": isinstance(asked, MusicRequest) and asked.instrumental,
        "style": track.fact("tags"),
        "title": track.fact("title"),
        "lyrics": source.said(track.piece, "lyrics", "prompt"),
    }


def _joined(request: MusicRequest, song: Mapping[str, Any]) -> MusicRequest:
    fields = {name: getattr(request, name) for name in MusicRequest.__dataclass_fields__}
    return MusicRequest(**{**fields, **song})


def _words(prompt: str) -> dict[str, Any]:
    """Where one field is for lyrics and for hints: what has lines or section marks is sung."""
    sung = "\n" in prompt or prompt.startswith("[")
    return {"lyrics": prompt} if sung else {"prompt": prompt}


def _start(wire: SunoExtend | SunoUploadExtend, seconds: float | None) -> float | None:
    """Where a song is continued; at its end where the caller left that to us."""
    if not wire.defaultParamFlag and wire.continueAt is None:
        return None
    if wire.continueAt is None:
        raise Invalid("continueAt: is required", field="continueAt")
    if wire.continueAt <= 0:
        raise Invalid("continueAt: has to be above 0", field="continueAt")
    moment("continueAt", wire.continueAt)
    if seconds is not None and wire.continueAt >= seconds:
        raise Invalid(f"continueAt: has to be below {seconds:g}, the length of the track", field="continueAt")
    return wire.continueAt


def _same_model(name: str, task: Task) -> None:
    if task.model in SONG_MODELS and task.model != model(name):
        made_with = task.model.removeprefix(f"{NAME}/")
        raise Invalid(f"model: has to be {made_with}, which the track was made with", field="model")


async def _section_source(wire: SunoReplaceSection, desk: Desk) -> tuple[Track | None, dict[str, str]]:
    """Exactly one of an own track and an uploaded file. Raises Invalid and NotFound."""
    own = bool(wire.taskId or wire.audioId)
    if own == bool(wire.uploadUrl):
        raise Invalid("uploadUrl: give either taskId and audioId, or uploadUrl and model", field="uploadUrl")
    if not own:
        if wire.model is None:
            raise Invalid("model: is required", field="model")
        return None, urls(uploadUrl=wire.uploadUrl)
    for name in ("taskId", "audioId"):
        bounded(name, getattr(wire, name), 100, required=True)
    return await source.track(desk, wire.taskId or "", wire.audioId or ""), {}


def _check_section(wire: SunoReplaceSection, seconds: float | None) -> None:
    """Raises Invalid for a section that is too short or too long, or is none."""
    start, end = moment("infillStartS", wire.infillStartS), moment("infillEndS", wire.infillEndS)
    if end <= start:
        raise Invalid("infillEndS: has to be above infillStartS", field="infillEndS")
    if end - start < SECTION:
        raise Invalid(f"infillEndS: the section has to be of {SECTION} seconds at the least", field="infillEndS")
    if seconds is not None and end - start > seconds / 2:
        raise Invalid("infillEndS: the section may be half of the track at the most", field="infillEndS")


def _uploaded(**given: str) -> dict[str, str]:
    for name, url in given.items():
        bounded(name, url, 8192, required=True)
    return urls(**given)


async def _wishes(wire: SunoWishes, desk: Desk, custom: bool, negative: int = MAX_TAGS) -> dict[str, Any]:
    """What acts in custom mode only. Raises Invalid for a persona or voice that the caller does not have."""
    if not custom:
        return {}
    persona = bounded("personaId", wire.personaId, 100)
    return {
        "avoid": bounded("negativeTags", wire.negativeTags, negative),
        "voice": wire.vocalGender if wire.vocalGender in {"m", "f"} else "",
        "weights": {
            name: _weight(field, value)
            for field, name in WEIGHTS.items()
            if (value := getattr(wire, field)) is not None
        },
        "persona": persona,
        **({"facts": {"persona": await _persona(persona, desk)}} if persona else {}),
    }


def _weight(field: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise Invalid(f"{field}: has to be from 0 to 1", field=field)
    if abs(value - round(value, 2)) > 1e-9:
        raise Invalid(f"{field}: has two decimals at the most", field=field)
    return value


async def _persona(persona_id: str, desk: Desk) -> Mapping[str, Any]:
    """What is known of a persona, or of a voice: both are named by ``personaId``."""
    found = whole(persona_id)
    task = await desk.task(found[0]) if found else None
    known = task is not None and task.family == NAME and task.operation in SINGERS
    if found is None or task is None or not known or found[1] >= len(task.pieces):
        raise Invalid("personaId: you have no such persona or voice", field="personaId")
    return task.pieces[found[1]].facts


# ---- the operations ----


def _operation(path: str, id_: str, summary: str, body: Any, tag: str = "Suno Music") -> Operation:
    return Operation(
        method="post",
        path=f"/api/v1/generate{path}",
        id=id_,
        summary=summary,
        tag=tag,
        body=body,
        data=TaskCreated,
        creates=True,
    )


RECORD = Operation(
    method="get",
    path="/api/v1/generate/record-info",
    id="getMusicDetails",
    summary="State and tracks of a music task",
    tag="Suno Music",
    query=("taskId!",),
    data=SunoMusicRecord,
)

ROUTES = (
    Route(_operation("", "generateMusic", "Start a music task (two tracks)", SunoGenerate), makes(generate)),
    Route(RECORD, shows(record, MUSIC)),
    Route(_operation("/extend", "extendMusic", "Continue an own track", SunoExtend), makes(extend)),
    Route(
        _operation("/upload-cover", "uploadAndCoverAudio", "Restyle an uploaded track", SunoUploadCover),
        makes(upload_cover),
    ),
    Route(
        _operation("/upload-extend", "uploadAndExtendAudio", "Continue an uploaded track", SunoUploadExtend),
        makes(upload_extend),
    ),
    Route(
        _operation(
            "/add-instrumental", "addInstrumental", "Add backing to an uploaded voice track", SunoAddInstrumental
        ),
        makes(add_instrumental),
    ),
    Route(
        _operation("/add-vocals", "addVocals", "Add singing to an uploaded backing track", SunoAddVocals),
        makes(add_vocals),
    ),
    Route(
        _operation("/replace-section", "replaceSection", "Re-make a span of a track", SunoReplaceSection),
        makes(replace_section),
    ),
    Route(_operation("/mashup", "generateMashup", "Blend two uploaded tracks", SunoMashup), makes(mashup)),
    Route(
        _operation("/sounds", "generateSounds", "Make a sound effect or loop", SunoSounds, "Suno Sounds"),
        makes(sounds),
    ),
)

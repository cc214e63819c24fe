"""Songs: composed and performed, taken apart, told about."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

from tessera.domain.errors import Failed, Rejected
from tessera.domain.task import Json, MusicRequest, Piece, Reason
from tessera.providers.base import Job, LocalFile, Output
from tessera.providers.sandbox import lyrics, tape
from tessera.providers.sandbox.makers.base import MISSING, Made, Work, seed, source, together
from tessera.providers.sandbox.render import Order, render
from tessera.providers.sandbox.score import Song, Word
from tessera.providers.sandbox.tape import Recording
from tessera.providers.sandbox.trouble import BadMediaError

STAGES = ((0.3, "text"), (0.65, "first"))
STAGED = frozenset(
    {
        "music.generate",
        "music.extend",
        "music.cover",
        "music.mashup",
        "music.instrumental",
        "music.vocals",
    }
)
"""What is told in stages: the text first, then the first of the songs."""

FROM_WORDS = frozenset({"music.generate", "music.sounds", "music.lyrics", "music.style"})
LONGEST = 240.0
USUAL = 60.0
"""Seconds of a song: at most, and where the request names no length."""


class Songs:
    @property
    def operations(self) -> frozenset[str]:
        return STAGED | frozenset(_MAKE)

    def stages(self, job: Job) -> tuple[tuple[float, str], ...]:
        return STAGES if job.operation in STAGED else ()

    async def check(self, work: Work) -> None:
        if not tape.available():
            raise Rejected(MISSING)
        operation, audio = work.job.operation, work.job.of("audio")
        if operation in _AUDIO and len(audio) < _AUDIO[operation]:
            raise Rejected(f"This needs {_AUDIO[operation]} song(s) to work on", reason=Reason.INPUT_INVALID)
        for file in audio:
            await work.cpu.run(tape.listen, file.path)

    async def make(self, work: Work, stage: str | None) -> Made:
        if work.job.operation in STAGED:
            return await _staged(work, stage)
        return await _MAKE[work.job.operation](work)


def _request(work: Work) -> MusicRequest:
    assert isinstance(work.request, MusicRequest)  # that is what these operations come with
    return work.request


async def _staged(work: Work, stage: str | None) -> Made:
    """The songs, each with its cover; of a stage, what is there by then."""
    total = _request(work).count
    if stage == "text":
        return Made(pieces=tuple(_planned(work, index) for index in range(total)))
    ready = 1 if stage == "first" else total
    made = await together(_song_made(work, index) for index in range(ready))
    outputs: list[Output] = []
    pieces = []
    for index, facts in enumerate(made):
        files = {"audio": len(outputs)}
        outputs.append(LocalFile(path=_track_path(work, index)))
        if _cover_path(work, index).exists():
            files["cover"] = len(outputs)
            outputs.append(LocalFile(path=_cover_path(work, index)))
        pieces.append(Piece(files=files, facts=facts))
    pieces += [_planned(work, index) for index in range(ready, total)]
    return Made(outputs=tuple(outputs), pieces=tuple(pieces), facts={"seed": seed(work)})


async def _song_made(work: Work, index: int) -> dict[str, Json]:
    """The facts of a song that is in the folder then. What an earlier stage has made there is not made again."""
    known = _track_path(work, index).with_suffix(".json")
    try:
        facts: dict[str, Json] = json.loads(await asyncio.to_thread(known.read_text))
    except FileNotFoundError:
        facts = _facts(work, index, await _track(work, index))
        heard = await work.cpu.run(tape.listen, _track_path(work, index))
        facts["waveform"] = list(heard.outline)
        await asyncio.to_thread(known.write_text, json.dumps(facts))
    return facts


def _track_path(work: Work, index: int) -> Path:
    return work.job.workdir / f"sandbox-{index + 1}.mp3"


def _cover_path(work: Work, index: int) -> Path:
    return work.job.workdir / f"sandbox-{index + 1}.jpg"


async def _track(work: Work, index: int) -> Recording:
    order, folder, name = _song(work, index), work.job.workdir, f"sandbox-{index + 1}"
    audio, request = [file.path for file in work.job.of("audio")], _request(work)
    run = work.cpu.run
    match work.job.operation:
        case "music.extend":
            return await run(tape.extend, audio[0], order, request.start, folder, name)
        case "music.cover":
            return await run(tape.cover, audio[0], order, folder, name)
        case "music.mashup":
            return await run(tape.mashup, audio[0], audio[1], order, folder, name)
        case "music.instrumental":
            return await run(tape.add_instrumental, audio[0], order, folder, name)
        case "music.vocals":
            return await run(tape.add_vocals, audio[0], order, folder, name)
    return await run(tape.song, order, folder, name)


def _song(work: Work, index: int) -> Song:
    request = _request(work)
    sung = request.lyrics
    if not sung and not request.instrumental and lyrics.looks_like_lyrics(request.prompt):
        sung = request.prompt
    idea = request.prompt or request.title or request.style
    return Song(
        prompt=idea,
        style=request.style,
        lyrics=_words(work, index) if not request.instrumental and not sung else sung,
        title=request.title or lyrics.title(idea, seed(work), index),
        negative=request.avoid,
        gender={"male": "m", "m": "m", "female": "f", "f": "f"}.get(request.voice.lower(), ""),
        key=request.key,
        bpm=round(request.tempo) if request.tempo else None,
        seconds=min(LONGEST, request.seconds or USUAL),
        weirdness=request.weights.get("weirdness", 0.5),
        instrumental=request.instrumental,
        seed=seed(work),
        index=index,
    )


def _words(work: Work, index: int) -> str:
    request = _request(work)
    return lyrics.write_lyrics(request.prompt or request.title or request.style, seed(work), index)[1]


def _planned(work: Work, index: int) -> Piece:
    """A song before it is made: its words are there."""
    song = _song(work, index)
    return Piece(
        facts={
            "title": song.title,
            "tags": lyrics.tags(song.style, song.prompt, song.seed),
            "lyrics": "" if song.instrumental else song.lyrics,
            "model": work.job.model,
        }
    )


def _facts(work: Work, index: int, made: Recording) -> dict[str, Json]:
    planned = _planned(work, index).facts
    told: dict[str, Json] = {"seconds": round(made.seconds, 2), "key": made.key, "bpm": made.bpm}
    return {
        **planned,
        **told,
        "title": made.title or planned["title"],
        "tags": made.tags or planned["tags"],
        "lyrics": made.lyrics or planned["lyrics"],
        "words": _timed(made.words),
    }


def _timed(words: tuple[Word, ...]) -> list[Json]:
    return [{"word": word.text, "startS": word.start, "endS": word.end, "mark": word.mark} for word in words]


async def _replace(work: Work) -> Made:
    request = _request(work)
    start, end = request.start or 0.0, request.end or 0.0
    made = await work.cpu.run(
        tape.replace_section, source(work), _song(work, 0), start, end, work.job.workdir, "sandbox-1"
    )
    return _single(work, made)


async def _sounds(work: Work) -> Made:
    request = _request(work)
    order = tape.Sounds(
        prompt=request.prompt,
        seconds=request.seconds,
        loop=request.loop,
        key=request.key,
        bpm=round(request.tempo) if request.tempo else None,
        seed=seed(work),
    )
    made = await together(
        work.cpu.run(tape.effect, replace(order, seed=seed(work) + index), work.job.workdir, f"sandbox-{index + 1}")
        for index in range(request.count)
    )
    pieces = tuple(
        Piece(files={"audio": index}, facts={"title": request.prompt[:80], "seconds": round(each.seconds, 2)})
        for index, each in enumerate(made)
    )
    return Made(outputs=tuple(LocalFile(path=each.path) for each in made), pieces=pieces)


async def _lyrics(work: Work) -> Made:
    request = _request(work)
    texts = [lyrics.write_lyrics(request.prompt, seed(work), index) for index in range(max(2, request.count))]
    return Made(pieces=tuple(Piece(facts={"title": title, "text": text}) for title, text in texts))


async def _style(work: Work) -> Made:
    request = _request(work)
    return Made(pieces=(Piece(facts={"text": lyrics.boost_style(request.style or request.prompt, seed(work))}),))


async def _wav(work: Work) -> Made:
    made = await work.cpu.run(tape.wav, source(work), work.job.workdir / "sandbox-1.wav")
    return _single(work, made)


async def _stems(work: Work) -> Made:
    request = _request(work)
    kind, _, wanted = (request.stems[0] if request.stems else "separate_vocal").partition(":")
    made = await work.cpu.run(tape.stems, source(work), kind, work.job.workdir, "sandbox", wanted)
    pieces = tuple(
        Piece(files={"audio": index}, facts={"name": each.stem, "seconds": round(each.seconds, 2)})
        for index, each in enumerate(made)
    )
    return Made(outputs=tuple(LocalFile(path=each.path) for each in made), pieces=pieces)


async def _midi(work: Work) -> Made:
    """The notes of each file, one piece a file; our own songs and stems also as a Standard MIDI File."""
    sources = [file.path for file in work.job.of("audio")]
    notes = await together(work.cpu.run(tape.notes, path) for path in sources)
    paths = [work.job.workdir / f"sandbox-{index + 1}.mid" for index in range(len(sources))]
    outputs: list[Output] = []
    pieces = []
    for origin, path, found in zip(sources, paths, notes, strict=True):
        try:
            await work.cpu.run(tape.midi, origin, path)
        except BadMediaError:  # sound of others: its notes are a guess, and no score
            pieces.append(Piece(facts={"instruments": found}))
        else:
            pieces.append(Piece(files={"midi": len(outputs)}, facts={"instruments": found}))
            outputs.append(LocalFile(path=path))
    return Made(outputs=tuple(outputs), pieces=tuple(pieces))


async def _art(work: Work) -> Made:
    """Covers for a song: pictures of its title and mood."""
    request = _request(work)
    words = request.title or str(request.facts.get("title", "")) or request.prompt or "A song"
    style = request.style or str(request.facts.get("tags", ""))
    order = Order(
        prompt=", ".join(text for text in (words, style) if text),
        seed=seed(work),
        ratio="1:1",
        count=2,
        model=work.job.model,
        enhance=False,
        folder=work.job.workdir,
    )
    paths = await together(work.cpu.run(render, order, index) for index in range(order.count))
    pieces = tuple(Piece(files={"image": index}) for index in range(len(paths)))
    return Made(outputs=tuple(LocalFile(path=path) for path in paths), pieces=pieces)


async def _persona(work: Work) -> Made:
    request = _request(work)
    heard = await work.cpu.run(tape.listen, source(work))
    facts: dict[str, Json] = {**request.facts, "name": request.title, "description": request.prompt}
    return Made(pieces=(Piece(facts={**facts, "style": request.style or heard.style}),))


async def _timing(work: Work) -> Made:
    words = await work.cpu.run(tape.words, source(work))
    heard = await work.cpu.run(tape.listen, source(work))
    facts: dict[str, Json] = {"words": _timed(words), "waveform": list(heard.outline), "seconds": heard.seconds}
    return Made(pieces=(Piece(facts=facts),))


async def _recover(work: Work) -> Made:
    """Copies of the songs that are still there, with what is known of them."""
    request, outputs, pieces = _request(work), list[Output](), list[Piece]()
    kept = work.job.of("audio")
    for index, track in enumerate(request.facts.get("tracks") or ()):
        place = track.get("audio")
        if isinstance(place, int) and place < len(kept):
            path = work.job.workdir / f"sandbox-{index + 1}.mp3"
            await asyncio.to_thread(shutil.copyfile, kept[place].path, path)
            pieces.append(Piece(files={"audio": len(outputs)}, facts={"title": track.get("title", "")}))
            outputs.append(LocalFile(path=path))
        else:
            pieces.append(Piece(facts={"error": "clip_error"}))
    return Made(outputs=tuple(outputs), pieces=tuple(pieces))


async def _phrase(work: Work) -> Made:
    """A line to sing, for who says that a voice is his: another one each time that it is asked for."""
    request = _request(work)
    heard = await work.cpu.run(tape.listen, source(work))
    if request.start is not None and request.start >= heard.seconds:
        raise Failed(f"The recording is only {heard.seconds:.1f} seconds long", reason=Reason.INPUT_INVALID)
    known, turn = set(request.facts.get("phrases") or ()), int(request.facts.get("turn") or 0)
    subject = "时光 远方" if str(request.facts.get("language")).startswith("zh") else "morning river"
    for index in count(turn):
        text = lyrics.write_lyrics(subject, seed(work), index)[1]
        lines = [line for line in text.splitlines() if line and not line.startswith("[")]
        fresh = next((line for line in lines if line not in known), None)
        if fresh is not None:
            return Made(pieces=(Piece(facts={"phrase": fresh}),))
    raise AssertionError  # there are more lines than anybody asks for


async def _voice(work: Work) -> Made:
    """A voice: what it sounds like. Of our own speech we know what was said, so a wrong phrase is noticed."""
    request = _request(work)
    said = await work.cpu.run(tape.transcribe, source(work))
    phrase = str(request.facts.get("phrase") or "")
    if said.known and not _alike(said.text, phrase):
        raise Failed("The recording does not say the validation phrase", reason=Reason.INPUT_INVALID)
    heard = await work.cpu.run(tape.listen, source(work))
    facts: dict[str, Json] = {"name": request.title, "description": request.prompt, "phrase": phrase}
    return Made(pieces=(Piece(facts={**facts, "style": request.style or heard.style, "key": heard.key}),))


def _alike(said: str, phrase: str) -> bool:
    one, other = ("".join(char for char in text.lower() if char.isalnum()) for text in (said, phrase))
    return other in one


def _single(work: Work, made: Recording) -> Made:
    piece = Piece(files={"audio": 0}, facts=_facts(work, 0, made))
    return Made(outputs=(LocalFile(path=made.path),), pieces=(piece,))


_MAKE: Mapping[str, Callable[[Work], Awaitable[Made]]] = {
    "music.replace": _replace,
    "music.sounds": _sounds,
    "music.lyrics": _lyrics,
    "music.style": _style,
    "music.wav": _wav,
    "music.stems": _stems,
    "music.midi": _midi,
    "music.art": _art,
    "music.persona": _persona,
    "music.timing": _timing,
    "music.recover": _recover,
    "music.voice_validate": _phrase,
    "music.voice_generate": _voice,
}
_AUDIO = {
    "music.extend": 1,
    "music.cover": 1,
    "music.mashup": 2,
    "music.instrumental": 1,
    "music.vocals": 1,
    "music.replace": 1,
    "music.wav": 1,
    "music.stems": 1,
    "music.midi": 1,
    "music.persona": 1,
    "music.timing": 1,
    "music.voice_validate": 1,
    "music.voice_generate": 1,
}
"""How many songs have to be there, by operation."""

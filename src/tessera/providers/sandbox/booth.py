"""The booth where sound is made and remade: what stands behind the doors of ``tape``. Runs in a child process."""

import io
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tessera.providers.sandbox import (
    art,
    dsp,
    effects,
    lyrics,
    midi,
    music,
    recording,
    score,
    splitting,
    styles,
    voices,
)
from tessera.providers.sandbox.dsp import RATE, Sound
from tessera.providers.sandbox.lettering import Caption, caption
from tessera.providers.sandbox.memo import Label, Memo
from tessera.providers.sandbox.score import STEMS, Score, Song, Word
from tessera.providers.sandbox.tape import MP3, Heard, Line, Recording, Sounds, Transcript
from tessera.providers.sandbox.trouble import BadMediaError

_COVER = 640
_CROSS = 1.2
"""Seconds of a crossfade between what was there and what is new."""

_GAP = 0.35
"""Seconds between two speakers."""


def song(order: Song, folder: Path, name: str) -> Recording:
    made = score.compose(order)
    sound = music.perform(made)[""]
    return _kept(sound, Memo(song=order), order, made, folder / f"{name}.mp3")


def _kept(sound: Sound, note: Memo, order: Song, made: Score, path: Path) -> Recording:
    """The finished song as a file, its cover in it and beside it."""
    tags = lyrics.tags(order.style, order.prompt, order.seed)
    picture = _cover(made.title, order)
    label = Label(title=made.title, style=tags, lyrics=made.lyrics, memo=note, cover=picture)
    recording.save(sound, path, label)
    beside = path.with_suffix(".jpg")
    beside.write_bytes(picture)
    return Recording(
        path=path,
        seconds=sound.shape[-1] / RATE,
        title=made.title,
        tags=tags,
        lyrics=made.lyrics,
        key=made.key,
        bpm=made.bpm,
        cover=beside,
        words=made.words if note.song else note.words,
    )


def _cover(title: str, order: Song) -> bytes:
    """A picture for a song, drawn as the sandbox draws, with the title on it: a JPEG file."""
    idea = f"{title} {order.prompt} {order.style}"[:500]
    image = art.draw(idea, order.seed, order.index, (_COVER, _COVER))
    caption(
        image,
        Caption(prompt=title, facts=(lyrics.tags(order.style, order.prompt)[:60],)),
        art.palette(idea, order.seed),
    )
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=86)
    return out.getvalue()


# Remaking: the sound of a file, and new music that suits it.


@lru_cache(maxsize=4)
def _known(path: Path, stamp: tuple[int, int]) -> Memo | None:
    return recording.memo(path)


def _memo(path: Path) -> Memo | None:
    about = path.stat()
    return _known(path, (about.st_mtime_ns, about.st_size))


def _suited(path: Path, sound: Sound, order: Song) -> Song:
    """The order, with a source's tempo and key where its words name none, and the source's words where it has any."""
    note = _memo(path)
    own = note.song if note else None
    said = f"{order.style}\n{order.prompt}"
    if own is not None:
        made = score.compose(own)
        bpm, key = float(made.bpm), (made.tonic, made.minor)
        order = replace(
            order,
            style=order.style or own.style,
            prompt=order.prompt or own.prompt,
            title=order.title or made.title,
            gender=order.gender or made.gender,
        )
    else:
        bpm, key = dsp.tempo(sound)[0], dsp.guess_key(sound)
    named = styles.bpm(said), styles.key(said)
    spelled = lyrics.key_name(key[0], minor=key[1]).replace("Eb", "D#").replace("Ab", "G#").replace("Bb", "A#")
    short = spelled.removesuffix(" minor") + "m" if key[1] else spelled.removesuffix(" major")
    return replace(order, bpm=order.bpm or named[0] or round(bpm), key=order.key or ("" if named[1] else short))


def _like(new: Sound, source: Sound) -> Sound:
    """New music at the level of a source."""
    level, wanted = dsp.rms(new), dsp.rms(source)
    return new * min(4.0, wanted / level) if level and wanted else new


def _shift(words: tuple[Word, ...], by: float) -> tuple[Word, ...]:
    return tuple(replace(w, start=round(w.start + by, 3), end=round(w.end + by, 3)) for w in words)


def _held(sound: Sound) -> Sound:
    """No peak above the ceiling; where none is, not a sample changes."""
    return (
        sound if np.abs(sound).max(initial=0) <= 0.98 else sound * np.minimum(1.0, dsp.gain(sound, loudness=0, most=1))
    )


def _remade(sound: Sound, found: tuple[Word, ...], order: Song, made: Score, folder: Path, name: str) -> Recording:
    text = " ".join(word.text for word in found) if found else ""
    note = Memo(text=text[:20_000], title=made.title[:200], words=found[:20_000])
    return _kept(_held(sound), note, order, made, folder / f"{name}.mp3")


def extend(path: Path, order: Song, at: float | None, folder: Path, name: str) -> Recording:
    sound = recording.load(path)
    length = sound.shape[1] / RATE
    cut = length if at is None else min(length, max(0.5, at))
    cross = min(_CROSS, cut / 2)
    after = cut + cross <= length  # the source goes on after the cut: it fades under the new beginning
    wished = order.seconds or score.USUAL
    order = replace(_suited(path, sound, order), seconds=wished if after else wished + cross)
    made = score.compose(order)
    head = sound[:, : round((cut + cross if after else cut) * RATE)]
    new = _like(music.perform(made)[""], head)
    out = dsp.join(head, new, cross)
    start = (head.shape[1] / RATE) - cross
    before = tuple(word for word in words(path) if word.end <= cut)
    return _remade(out, before + _shift(made.words, start), order, made, folder, name)


def cover(path: Path, order: Song, folder: Path, name: str) -> Recording:
    sound = recording.load(path)
    note = _memo(path)
    if note and note.song and not order.lyrics and not order.instrumental:
        order = replace(order, lyrics=score.compose(note.song).lyrics)
    elif note and note.words and not order.lyrics and not order.instrumental:
        order = replace(order, lyrics=_lines(note.words))
    length = min(score.LONGEST, max(score.SHORTEST, sound.shape[1] / RATE))
    return song(replace(_suited(path, sound, order), seconds=length), folder, name)


def _lines(found: tuple[Word, ...]) -> str:
    """Words as lines of seven, to be sung again."""
    texts = [word.text for word in found]
    return "\n".join(" ".join(texts[start : start + 7]) for start in range(0, len(texts), 7))[:5000]


def mashup(first: Path, second: Path, order: Song, folder: Path, name: str) -> Recording:
    one, two = recording.load(first), recording.load(second)
    pace, start = dsp.tempo(one)
    other, _ = dsp.tempo(two)
    factor = pace / other
    while factor > 1.42:
        factor /= 2
    while factor < 0.7:
        factor *= 2
    two = dsp.stretch(_like(two, one), factor)
    beat = 60 / pace
    lead = round(((start - dsp.tempo(two)[1]) % beat) * RATE)
    two = np.pad(two, ((0, 0), (lead, 0)))
    seconds = order.seconds or max(one.shape[1], two.shape[1]) / RATE
    total = round(min(seconds, recording.WORKED) * RATE)
    out = _laid(one, total, beat, (1.0, 0.8, 0.75, 0.35)) + _laid(two, total, beat, (0.0, 0.75, 0.8, 1.0))
    order = replace(_suited(first, one, order), seconds=None)
    return _remade(dsp.fade(dsp.master(out), 0.01, 1.0), (), order, score.compose(order), folder, name)


def _laid(sound: Sound, total: int, beat: float, levels: tuple[float, ...]) -> Sound:
    """A sound repeated to a length, with a level for every quarter of it, changed within four beats."""
    step = max(1, round(sound.shape[1] / RATE / beat)) * beat
    period = round(step * RATE)
    out = np.zeros((2, total), np.float32)
    for start in range(0, total, period):
        piece = dsp.fade(sound[:, :period] if start else sound, 0.01, 0.02)
        end = min(total, start + piece.shape[1])
        out[:, start:end] += piece[:, : end - start]
    edges, values = [0.0], [levels[0]]
    for quarter in range(1, 4):
        edges += [total * quarter / 4 - 2 * beat * RATE, total * quarter / 4 + 2 * beat * RATE]
        values += [levels[quarter - 1], levels[quarter]]
    return np.asarray(out * np.interp(np.arange(total), np.maximum.accumulate(edges), values), np.float32)


def replace_section(path: Path, order: Song, start: float, end: float, folder: Path, name: str) -> Recording:
    sound = recording.load(path)
    length = sound.shape[1] / RATE
    start, end = max(0.0, min(start, length)), max(0.0, min(end, length))
    if end - start < 0.5:
        raise BadMediaError("The section to replace is shorter than half a second")
    order = replace(_suited(path, sound, order), seconds=max(score.SHORTEST, end - start + 2))
    made = score.compose(order)
    first, last = round(start * RATE), round(end * RATE)
    new = dsp.fit(_like(music.perform(made)[""], sound), last - first)
    cross = min(_CROSS / 4, (end - start) / 4)
    weight = dsp.fade(np.ones(last - first, np.float32), cross if first else 0.0, cross if end < length else 0.0)
    out = sound.copy()
    out[:, first:last] = sound[:, first:last] * np.sqrt(1 - weight**2) + new * weight
    old = words(path)
    inside = tuple(word for word in _shift(made.words, start) if word.end <= end)
    found = tuple(w for w in old if w.end <= start) + inside + tuple(w for w in old if w.start >= end)
    return _remade(out, found, order, made, folder, name)


def add_instrumental(path: Path, order: Song, folder: Path, name: str) -> Recording:
    sound = recording.load(path)
    return _with(path, sound, replace(order, instrumental=True), "Instrumental", 0.6, folder, name)


def add_vocals(path: Path, order: Song, folder: Path, name: str) -> Recording:
    sound = recording.load(path)
    return _with(path, sound, replace(order, instrumental=False), "All Vocals", 0.9, folder, name)


def _with(path: Path, sound: Sound, order: Song, stem: str, share: float, folder: Path, name: str) -> Recording:
    """A source and a stem of a new song as long as it, at a share of its level."""
    length = sound.shape[1] / RATE
    order = replace(_suited(path, sound, order), seconds=min(score.LONGEST, max(score.SHORTEST, length)))
    made = score.compose(order)
    new = dsp.fit(music.perform(made, [stem])[stem], sound.shape[1])
    found = words(path) if order.instrumental else tuple(w for w in made.words if w.end <= length)
    return _remade(dsp.master(sound + share * _like(new, sound)), found, order, made, folder, name)


# Taking apart.

_FAMILIES = (
    ("Backing Vocals", ("backing vocal", "choir", "synth voice")),
    ("Vocals", ("vocal", "voice")),
    ("Drums", ("drum kit", "kick", "snare", "cymbal", "hi-hat", "taiko", "electronic drum", "hand clap", "drums")),
    ("Woodwinds", ("wood", "flute", "clarinet", "sax", "oboe", "bassoon", "piccolo", "whistle", "harmonica",
    "melodica")),
    ("Bass", ("bass", "808", "tuba")),
    ("Guitar", ("guitar", "banjo", "mandolin", "ukulele", "koto", "sitar", "guzheng")),
    ("Keyboard", ("piano", "organ", "keys", "keyboard", "rhodes", "harpsichord", "celesta", "accordion")),
    ("Brass", ("brass", "trumpet", "trombone", "horn")),
    ("Strings", ("string", "violin", "viola", "cello", "fiddle", "harp", "orchestra", "double bass")),
    ("FX", ("riser", "effect", "fx")),
    ("Synth", ("synth", "arpegg", "pad", "theremin", "drone")),
    ("Percussion", ("percussion", "shaker", "tambourine", "conga", "bongo", "marimba", "vibra", "xylo", "bell", "glock",
                    "timpani", "djembe", "tabla", "cowbell", "steel drum", "music box")),
)  # fmt: skip


def family(wanted: str) -> str:
    """The stem that an instrument's name belongs to; ``Synth`` for one that nobody knows."""
    low = wanted.lower()
    if low.startswith(("synth", "steel drum")) and not low.endswith(("bass", "voice")):
        return "Percussion" if low.startswith("steel") else "Synth"
    return next((stem for stem, keys in _FAMILIES if any(key in low for key in keys)), "Synth")


def stems(path: Path, kind: str, folder: Path, name: str, wanted: str) -> tuple[Recording, ...]:
    note = _memo(path)
    own = note.song if note and not note.stem else None
    found = _own_stems(own, kind, wanted) if own else _foreign_stems(path, kind, wanted)
    made = []
    for number, (stem, sound) in enumerate(found.items()):
        title = f"{own.title if own else ''} ({stem})".strip()
        label = Label(title=title, memo=Memo(song=own, stem=stem) if own else None)
        file = recording.save(sound, folder / f"{name}-{number + 1}.mp3", label)
        made.append(Recording(path=file, seconds=sound.shape[1] / RATE, title=title, stem=stem))
    return tuple(made)


def _own_stems(order: Song, kind: str, wanted: str) -> dict[str, Sound]:
    made = score.compose(order)
    if kind == "separate_vocal":
        found = music.perform(made, ["All Vocals", "Instrumental"])
        return {"Vocals": found["All Vocals"], "Instrumental": found["Instrumental"]}
    if kind == "split_stem":
        return music.perform(made, made.stems)
    stem = family(wanted)
    found = music.perform(made, ["", stem])
    return {wanted: found[stem], f"No {wanted}": found[""] - found[stem]}


def _foreign_stems(path: Path, kind: str, wanted: str) -> dict[str, Sound]:
    sound = recording.load(path)
    parts = splitting.split(sound)
    if kind == "separate_vocal":
        return {"Vocals": parts["Vocals"], "Instrumental": sound - parts["Vocals"]}
    if kind == "split_stem":
        return parts
    stem = family(wanted)
    part = parts[{"Backing Vocals": "Vocals", "Percussion": "Drums"}.get(stem, stem if stem in parts else "Other")]
    return {wanted: part, f"No {wanted}": sound - part}


def notes(path: Path) -> list[dict[str, Any]]:
    note = _memo(path)
    if note is None or note.song is None:
        line = splitting.melody(recording.load(path))
        rows = [{"pitch": p, "start": a, "end": b, "velocity": v} for p, a, b, v in line]
        return [{"name": "Melody", "stem": "", "notes": rows}] if rows else []
    made = score.compose(note.song)
    return score.notes(_part(made, note.stem))


def _part(made: Score, stem: str) -> Score:
    """A score with the tracks of a stem alone; a name of no stem is an instrument's, or ``No`` and one."""
    if stem.startswith("No "):
        without = family(stem.removeprefix("No "))
        return replace(made, tracks=tuple(track for track in made.tracks if track.stem != without))
    if stem == "Vocals":
        stem = "All Vocals"
    elif stem not in {"", "Instrumental", *STEMS}:
        stem = family(stem)
    return replace(made, tracks=tuple(music.tracks_of(made, stem)))


def midi_file(path: Path, out: Path) -> Path:
    note = _memo(path)
    if note is None or note.song is None:
        raise BadMediaError("Only songs that the sandbox composed have a MIDI file")
    out.write_bytes(midi.write(_part(score.compose(note.song), note.stem)))
    return out


def wav(path: Path, out: Path) -> Recording:
    note = _memo(path)
    title = note.title or (note.song.title if note.song else "") if note else ""
    facts = recording.wav(path, out, Label(title=title, memo=note))
    return Recording(path=out, seconds=facts.seconds, title=title)


# Speech and sounds.


def say(lines: tuple[Line, ...], seed: int, folder: Path, name: str, form: str = MP3) -> Recording:
    pieces: list[Sound] = []
    found: list[Word] = []
    seconds = 0.0
    for number, line in enumerate(lines):
        speed = min(2.0, max(0.5, line.speed))
        sound, times = voices.say(line.text, voices.voice(line.voice), seed + number, speed)
        if number:
            sound = np.pad(sound, (int(_GAP * RATE), 0))
            times = list(_shift(tuple(times), int(_GAP * RATE) / RATE))
        found += _shift(tuple(replace(word, speaker=line.speaker or line.voice) for word in times), seconds)
        level = dsp.rms(sound)
        pieces.append(sound * (0.1 / level if level else 1.0))
        seconds += sound.size / RATE
    whole = dsp.master(np.concatenate(pieces) if pieces else np.zeros(RATE, np.float32))
    text = " ".join(line.text for line in lines)
    title = " ".join(text.split())[:60]
    bounded = tuple(replace(word, text=word.text[:200], speaker=word.speaker[:100]) for word in found)
    note = Memo(text=text[:20_000], title=title, words=bounded)
    path = recording.save(
        whole, folder / f"{name}{recording.suffix(form)}", Label(title=title, lyrics=text, memo=note), form
    )
    return Recording(path=path, seconds=whole.size / RATE, title=title, lyrics=text, words=bounded)


def effect(order: Sounds, folder: Path, name: str, form: str = MP3) -> Recording:
    asked = effects.Effect(
        prompt=order.prompt, seconds=order.seconds, loop=order.loop, key=order.key, bpm=order.bpm, seed=order.seed
    )
    sound = effects.make(asked)
    title = " ".join(order.prompt.split())[:60]
    tags = ", ".join(effects.kinds(order.prompt)) or "texture"
    path = recording.save(sound, folder / f"{name}{recording.suffix(form)}", Label(title=title, style=tags), form)
    return Recording(
        path=path, seconds=sound.shape[1] / RATE, title=title, tags=tags, key=order.key, bpm=order.bpm or 0
    )


def isolate(path: Path, folder: Path, name: str) -> Recording:
    note = _memo(path)
    if note and note.song:
        made = score.compose(note.song)
        sound = music.perform(made, ["All Vocals"])["All Vocals"]
        kept = Memo(song=note.song, stem="Vocals")
    else:
        sound = dsp.master(splitting.voice(recording.load(path)))
        kept = note or Memo()
    file = recording.save(sound, folder / f"{name}.mp3", Label(title="Voice", memo=kept if note else None))
    return Recording(path=file, seconds=sound.shape[1] / RATE, title="Voice", stem="Vocals")


def words(path: Path) -> tuple[Word, ...]:
    note = _memo(path)
    if note is None:
        return ()
    return score.compose(note.song).words if note.song else note.words


def transcribe(path: Path) -> Transcript:
    note = _memo(path)
    sound = recording.load(path, longest=900.0)
    seconds, found = sound.shape[1] / RATE, splitting.segments(sound)
    said = tuple(word for word in words(path) if word.end <= seconds + 0.05)
    if said:
        text = note.text if note and note.text else " ".join(word.text for word in said)
        return Transcript(text=text, seconds=seconds, words=said, segments=tuple(found), known=True)
    text = f"[sandbox: {seconds:.1f} seconds of sound, {len(found)} segments of voice]"
    return Transcript(text=text, seconds=seconds, segments=tuple(found))


def listen(path: Path) -> Heard:
    sound = recording.load(path)
    note = _memo(path)
    bpm, (tonic, minor) = dsp.tempo(sound)[0], dsp.guess_key(sound)
    key = lyrics.key_name(tonic, minor=minor)
    own = note.song if note else None
    style = (
        lyrics.tags(own.style, own.prompt, own.seed)
        if own
        else f"{'dark' if minor else 'bright'}, {bpm:.0f} bpm, {key}"
    )
    return Heard(seconds=sound.shape[1] / RATE, bpm=bpm, key=key, style=style, outline=tuple(dsp.bars(sound)), song=own)

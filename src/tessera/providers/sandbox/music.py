"""A score performed: every note placed, panned, given its share of the hall, and mixed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tessera.providers.sandbox import dsp, instruments, voices
from tessera.providers.sandbox.dsp import RATE, Sound
from tessera.providers.sandbox.score import KICK, Score, Track

_HALL = {"ambient": 3.2, "cinematic": 2.6, "classical": 2.2, "ballad": 2.0, "lullaby": 2.2}
_DRY = 1.3
"""Seconds of the hall's echo: larger where the genre floats."""

_DUCKED = frozenset({"house", "techno", "trance", "disco"})
_STEP = RATE // 100
"""Notes are made in lengths of whole hundredths of a second, so that one serves many times."""


@dataclass(slots=True)
class Bus:
    """What is added up: left and right, and what goes to the hall."""

    dry: Sound
    send: Sound
    seconds: float = 0.0
    _levels: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: int) -> "Bus":
        return cls(dry=np.zeros((2, samples), np.float32), send=np.zeros(samples, np.float32))

    def put(self, sound: Sound, start: int, left: float, right: float, send: float) -> None:
        """Add a sound ``(2, n)`` or ``(n,)``; what would stand after the end is cut."""
        end = min(self.send.size, start + sound.shape[-1])
        if start < 0 or end <= start:
            return
        piece = sound[..., : end - start]
        pair = piece if piece.ndim == 2 else (piece, piece)
        self.dry[0, start:end] += left * pair[0]
        self.dry[1, start:end] += right * pair[1]
        if send:
            self.send[start:end] += send * (pair[0] + pair[1])


def perform(score: Score, stems: Sequence[str] | None = None) -> dict[str, Sound]:
    """The mix under ``""``, or the stems asked for by their names: each ``(2, samples)``, as long as the song.

    All stems of a score add up to its mix. ``Instrumental`` is everything but the voices. A stem that the score does
    not have is silent.
    """
    groups: dict[str, list[Track]] = {
        name: list(tracks_of(score, name)) for name in (("",) if stems is None else stems)
    }
    whole = _mix(score, [track for track in score.tracks if track.notes])
    gain = dsp.gain(whole) * _ending(score)
    if stems is None:
        return {"": np.clip(whole * gain, -1, 1)}
    return {name: np.asarray(_mix(score, tracks) * gain, np.float32) for name, tracks in groups.items()}


def tracks_of(score: Score, name: str) -> Iterator[Track]:
    """The tracks of a stem; of ``Instrumental``, of ``All Vocals``, and of ``""``, which is everything."""
    sung = {"Vocals", "Backing Vocals"}
    for track in score.tracks:
        voice = track.stem in sung
        if name in {"", track.stem} or (name == "Instrumental" and not voice) or (name == "All Vocals" and voice):
            yield track


def _ending(score: Score) -> Sound:
    """A short fade at both ends, so that nothing begins or breaks off with a click."""
    ones = np.ones(round(score.seconds * RATE), np.float32)
    return dsp.fade(ones, 0.005, min(1.2, score.seconds / 6))


def _mix(score: Score, tracks: Sequence[Track]) -> Sound:
    samples = round(score.seconds * RATE)
    bus = Bus.of(samples)
    ducked = score.genre in _DUCKED
    struck = Bus.of(samples) if ducked else bus
    for track in tracks:
        _play(score, track, struck if track.channel == 9 else bus)
    out = bus.dry
    if bus.send.any():
        out += dsp.room(bus.send, _HALL.get(score.genre, _DRY))
    if ducked:
        out *= _duck(score, samples)
        out += struck.dry
        if struck.send.any():
            out += dsp.room(struck.send, _HALL.get(score.genre, _DRY))
    return out


def _play(score: Score, track: Track, bus: Bus) -> None:
    if track.instrument in {"voice", "backing"}:
        _voice(score, track, bus)
    elif track.channel == 9:
        _strike(score, track, bus)
    elif track.instrument == "fx":
        for note in track.notes:
            start, length = _span(score, note.start, note.length)
            bus.put(instruments.riser(length), start, track.level * 0.5, track.level * 0.5, 0.1)
    else:
        _notes(score, track, bus)


def _span(score: Score, start: int, length: int) -> tuple[int, int]:
    """First sample and samples of a span in ticks."""
    first = round(score.at(start) * RATE)
    return first, max(_STEP, round(score.at(length) * RATE / _STEP) * _STEP)


def _sides(pan: float) -> tuple[float, float]:
    angle = (pan + 1) * np.pi / 4
    return float(np.cos(angle) * 1.2), float(np.sin(angle) * 1.2)


def _notes(score: Score, track: Track, bus: Bus) -> None:
    timbre = instruments.TIMBRES[track.instrument]
    left, right = _sides(track.pan)
    for note in track.notes:
        start, length = _span(score, note.start, note.length)
        sound = instruments.note(track.instrument, note.pitch, length, loud=note.velocity + 20 * score.bright > 84)
        level = 0.16 * track.level * (note.velocity / 100) ** 1.4
        bus.put(sound, start, level * left, level * right, level * timbre.send * 0.7)


def _strike(score: Score, track: Track, bus: Bus) -> None:
    send = 0.02 if score.genre in _DUCKED else 0.06
    for note in track.notes:
        sound, pan = instruments.drum(note.pitch)
        left, right = _sides(pan)
        level = 0.42 * track.level * (note.velocity / 100) ** 1.3
        bus.put(
            sound,
            round(score.at(note.start) * RATE),
            level * left,
            level * right,
            0 if note.pitch == KICK else level * send,
        )


def _voice(score: Score, track: Track, bus: Bus) -> None:
    second = track.instrument == "backing"
    who = voices.singer(score.gender, 2 if second else 1)
    starts = [score.at(note.start) for note in track.notes]
    lengths = [score.at(note.length) for note in track.notes]
    sound = voices.sing(track.notes, starts, lengths, who, 2 if second else 1)
    level = track.level * 0.13 / max(1e-6, dsp.rms(sound))
    if second:
        bus.put(sound, 0, level * 1.1, level * 0.2, level * 0.2)
        bus.put(sound, int(0.018 * RATE), level * 0.2, level * 1.1, 0.0)
    else:
        bus.put(sound, 0, level, level, level * 0.13)


def _duck(score: Score, samples: int) -> NDArray[np.float32]:
    """The pump of club music: everything steps back when the kick drum comes."""
    out = np.ones(samples, np.float32)
    length = int(0.22 * RATE)
    dip = 1 - 0.6 * np.cos(np.linspace(0, np.pi / 2, length, dtype=np.float32)) ** 2
    dip[: RATE // 200] = np.linspace(1, dip[RATE // 200], RATE // 200, dtype=np.float32)
    for track in score.tracks:
        for note in track.notes if track.instrument == "drums" else ():
            if note.pitch == KICK:
                start = round(score.at(note.start) * RATE)
                piece = out[start : start + length]
                np.minimum(piece, dip[: piece.size], out=piece)
    return out

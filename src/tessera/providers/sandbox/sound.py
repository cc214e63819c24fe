"""Sound tracks: a quiet piece of music for a film, and the sounds of files that were given.

A track is played, not sampled: a slow progression of chords by a soft pad, and plucked notes of a pentatonic scale with
a little echo. Key, mode, pace and tune come from the prompt and the seed.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
from av.audio.resampler import AudioResampler

from tessera.providers.sandbox.canvas import chance
from tessera.providers.sandbox.palette import words
from tessera.providers.sandbox.probe import MOST_SECONDS, opened, pictures, voices
from tessera.providers.sandbox.trouble import BadMediaError

Sound = npt.NDArray[np.int16]
"""Samples at ``RATE``, a row each, left and right."""

Wave = npt.NDArray[np.float32]

RATE = 48_000
_FADE = 0.03
"""Seconds in which a sound that is cut off becomes silent: no click."""

_LOUD = 10 ** (-21.5 / 20)
"""The mean level of a track; with the weights of the ear that is about -20 LUFS."""

_GAP = 2.0
"""The longest silence, in seconds, that is kept where a sound begins after its pictures."""

_BRIGHT = (0, 2, 4, 5, 7, 9, 11)
_DARK = (0, 2, 3, 5, 7, 8, 10)
_FIVE = {True: (0, 2, 4, 7, 9), False: (0, 3, 5, 7, 10)}
_ROADS = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 2, 5, 3), (0, 3, 5, 4))
"""Progressions, as steps of the scale."""

_SOMBER = (
    "night dark storm rain sad lonely ghost winter war noir horror moon space deep fog ruin melancholy "
    "夜 雨 悲 孤 冬 月 雾"
)


def score(prompt: str, seed: int, seconds: float) -> Sound:
    """A track of the given length: the same for the same prompt and seed, with a soft beginning and end."""
    rng = chance("sound", prompt, seed)
    count = round(seconds * RATE)
    bright = not words(prompt).has(_SOMBER) and rng.random() < 0.7
    root = 110.0 * 2 ** (rng.randrange(-5, 6) / 12)
    beat = 60 / rng.uniform(66, 88)
    wave = np.zeros((count + RATE, 2), np.float32)
    _pads(wave, rng, root, beat, bright=bright)
    _plucks(wave, rng, root, beat, bright=bright)
    return _finished(wave[:count])


def _pads(wave: Wave, rng: Random, root: float, beat: float, *, bright: bool) -> None:
    """A chord for every four beats, each fading into the next."""
    scale, road = _BRIGHT if bright else _DARK, rng.choice(_ROADS)
    long = round(4 * beat * RATE)
    for index, start in enumerate(range(0, len(wave), long)):
        step = road[index % 4]
        notes = [_pitch(scale, root, step + third) for third in (0, 2, 4)]
        notes = [note / 2 if note > root * 2.2 else note for note in notes]
        _add(wave, start - long // 5, _pad([_bass(notes[0]), *notes], long + long * 2 // 5))


def _bass(note: float) -> float:
    """The same note in the bass: 55 to 110 Hz."""
    while note >= 110:
        note /= 2
    return note


def _pitch(scale: tuple[int, ...], root: float, step: int) -> float:
    octave, degree = divmod(step, len(scale))
    return root * 2 ** (octave + scale[degree] / 12)


def _pad(notes: list[float], count: int) -> Wave:
    """Slow sines, a little out of tune against each other, wide in the room."""
    time = np.arange(count, dtype=np.float32) / RATE
    sound = np.zeros((count, 2), np.float32)
    for index, note in enumerate(notes):
        weight = 0.55 if index == 0 else 0.34
        for side, drift in ((0, 0.9985), (1, 1.0015)):
            phase = (math.tau * note * drift) * time
            sound[:, side] += weight * (np.sin(phase) + 0.22 * np.sin(2 * phase + 0.7))
    swell = 1 + 0.12 * np.sin(math.tau * 0.21 * time)
    rise = count * 2 // 7
    shape = np.minimum(1.0, np.minimum(np.arange(count), np.arange(count)[::-1]) / rise)
    return sound * (np.sin(shape * (math.pi / 2)) ** 2 * swell)[:, None].astype(np.float32)


def _plucks(wave: Wave, rng: Random, root: float, beat: float, *, bright: bool) -> None:
    """A tune that wanders up and down five notes, with two echoes of each."""
    scale, place = _FIVE[bright], rng.randrange(5, 9)
    for number in range(math.ceil(len(wave) / RATE / beat * 2)):
        if rng.random() > (0.72 if number % 2 == 0 else 0.36):
            continue
        place = min(12, max(3, place + rng.choice((-2, -1, -1, 1, 1, 2))))
        side, loud = rng.uniform(0.25, 0.75), rng.uniform(0.45, 0.8)
        note = _pluck(_pitch(scale, root, place), loud)
        start = round(number * beat / 2 * RATE)
        for echo, fade in ((0, 1.0), (0.75, 0.32), (1.5, 0.12)):
            pan = side if echo != 0.75 else 1 - side
            _add(
                wave,
                start + round(echo * beat * RATE),
                note[:, None] * np.array([[1 - pan, pan]], np.float32) * np.float32(fade),
            )


def _pluck(pitch: float, loud: float) -> Wave:
    time = np.arange(round(1.5 * RATE), dtype=np.float32) / RATE
    phase = (math.tau * pitch) * time
    tone = np.sin(phase) + 0.4 * np.exp(-6 * time) * np.sin(2 * phase) + 0.2 * np.exp(-11 * time) * np.sin(3 * phase)
    attack = np.minimum(1, time / 0.006) * np.minimum(1, (1.5 - time) / 0.2)
    return np.asarray(loud * np.exp(-3.4 * time) * attack * tone, np.float32)


def _add(wave: Wave, start: int, piece: Wave) -> None:
    first, last = max(0, start), min(len(wave), start + len(piece))
    if last > first:
        wave[first:last] += piece[first - start : last - start]


def _finished(wave: Wave) -> Sound:
    """At the right loudness, peaks rounded off, faded in and out."""
    level = float(np.sqrt(np.mean(np.square(wave)))) if len(wave) else 0.0
    wave = np.tanh(wave * (_LOUD / level if level else 0.0))
    edge_in, edge_out = min(len(wave) // 4, RATE // 3), min(len(wave) // 3, RATE)
    if edge_out:
        wave[:edge_in] *= (np.arange(edge_in, dtype=np.float32) / max(1, edge_in))[:, None]
        wave[-edge_out:] *= (np.arange(edge_out, dtype=np.float32)[::-1] / edge_out)[:, None] ** 2
    return np.round(wave * 32767).astype(np.int16)


def read(path: Path, most: float = MOST_SECONDS["audio"]) -> Sound | None:
    """The sound of a file, at most ``most`` seconds of it; None where it has none. Raises BadMediaError.

    It begins with silence where it begins later than the pictures beside it.
    """
    with opened(path) as container:
        stream = voices(container)
        if stream is None:
            return None
        video = pictures(container)
        begin = float(video.start_time * video.time_base) if video and video.start_time and video.time_base else 0.0
        resampler = AudioResampler(format="s16", layout="stereo", rate=RATE)
        parts: list[Sound] = []
        count, room = 0, round(most * RATE)
        for frame in container.decode(stream):
            if not parts and frame.time is not None and video is not None:
                gap = min(max(0.0, frame.time - begin), _GAP)
                parts.append(np.zeros((round(gap * RATE), 2), np.int16))
            for piece in resampler.resample(frame):
                parts.append(_rows(piece.to_ndarray()))
                count += piece.samples
            if count >= room:
                break
    if not count:
        raise BadMediaError("The sound of the file is empty")
    return np.concatenate(parts)[:room]


def _rows(samples: npt.NDArray[np.generic]) -> Sound:
    return samples.reshape(-1, 2).astype(np.int16)


def fit(sound: Sound, seconds: float) -> Sound:
    """The sound at exactly this length: cut with a short fade, or followed by silence."""
    count = round(seconds * RATE)
    if len(sound) < count:
        return np.concatenate([faded(sound), np.zeros((count - len(sound), 2), np.int16)])
    return faded(sound[:count]) if len(sound) > count else sound


def faded(sound: Sound) -> Sound:
    """The sound with a very short fade at its end."""
    edge = min(len(sound), round(_FADE * RATE))
    if not edge:
        return sound
    result = sound.copy()
    result[-edge:] = result[-edge:] * np.linspace(1, 0, edge)[:, None]
    return result


def envelope(sound: Sound, fps: int, frames: int) -> npt.NDArray[np.float64]:
    """How loud each frame is, 0..1 of the sound's own loudest; 0 where it has ended."""
    levels = np.zeros(frames)
    for number, part in enumerate(_frames(sound, fps, frames)):
        levels[number] = math.sqrt(float(np.mean(np.square(part.astype(np.float32))))) if len(part) else 0.0
    loudest = float(np.percentile(levels, 97)) if frames else 0.0
    return np.clip(levels / loudest, 0, 1) if loudest > 30 else np.zeros(frames)


def _frames(sound: Sound, fps: int, frames: int) -> Iterator[Sound]:
    for number in range(frames):
        yield sound[number * RATE // fps : (number + 1) * RATE // fps]

"""Sound of others taken apart, roughly: by where it stands between left and right, by its band, by how it changes."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tessera.providers.sandbox.dsp import RATE, Sound, good

Spectra = NDArray[np.complex64]
Mask = NDArray[np.float32]
PARTS = ("Vocals", "Drums", "Bass", "Other")

_SIZE, _HOP = 2048, 512
_PIECE, _MARGIN = 1600, 24
"""Frames that are worked on at once, and the frames around them that the work looks at."""

_BINS = np.fft.rfftfreq(_SIZE, 1 / RATE).astype(np.float32)
_WINDOW = np.sqrt(np.hanning(_SIZE + 1)[:-1]).astype(np.float32)


def split(sound: Sound) -> dict[str, Sound]:
    """``PARTS`` of a stereo sound, each ``(2, samples)``; together they are the sound again."""
    masked = filtered(sound, _parts, len(PARTS))
    return dict(zip(PARTS, masked, strict=True))


def voice(sound: Sound) -> Sound:
    """The voice alone: what stands in the middle, in its band, above the noise between the words."""
    floor = _floor(sound)

    def gate(left: Spectra, right: Spectra) -> Sequence[Mask]:
        power = np.abs(left + right) ** 2 / 4
        clear = np.maximum(0, 1 - 4 * floor[None, :] / np.maximum(power, 1e-12))
        return [(_centre(left, right) * _between(85, 9000) * np.maximum(0.02, _box(clear, 5, 0))).astype(np.float32)]

    return filtered(sound, gate, 1)[0]


def filtered(sound: Sound, masks: Callable[[Spectra, Spectra], Sequence[Mask]], count: int) -> list[Sound]:
    """The sound through each of the masks, which are found anew from piece to piece of the spectra of both sides."""
    samples = sound.shape[1]
    frames = samples // _HOP + _SIZE // _HOP + 1
    padded = np.zeros((2, (frames + 1) * _HOP + 2 * _SIZE), np.float32)
    padded[:, _SIZE : _SIZE + samples] = sound
    outs = [np.zeros_like(padded) for _ in range(count)]
    for start in range(0, frames, _PIECE):
        first, end = max(0, start - _MARGIN), min(frames, start + _PIECE + _MARGIN)
        span = slice(first * _HOP, (end - 1) * _HOP + _SIZE)
        views = np.lib.stride_tricks.sliding_window_view(padded[:, span], _SIZE, axis=1)[:, ::_HOP]
        spectra = np.fft.rfft(views * _WINDOW).astype(np.complex64)
        keep = slice(start - first, min(frames, start + _PIECE) - first)
        for out, mask in zip(outs, masks(spectra[0], spectra[1]), strict=True):
            _lay(out[:, start * _HOP :], spectra[:, keep] * mask[keep])
    return [out[:, _SIZE : _SIZE + samples] for out in outs]


def _lay(out: Sound, spectra: Spectra) -> None:
    frames = np.fft.irfft(spectra, _SIZE).astype(np.float32) * (_WINDOW * 0.5)
    for offset in range(4):
        part = frames[:, offset::4]
        flat = part.reshape(2, -1)
        out[:, offset * _HOP : offset * _HOP + flat.shape[1]] += flat


def _parts(left: Spectra, right: Spectra) -> Sequence[Mask]:
    """Masks that add up to one everywhere."""
    level = np.abs(left) + np.abs(right)
    steady, sudden = _box(level, 17, 0), _box(level, 17, 1)
    struck = (sudden**2 / np.maximum(steady**2 + sudden**2, 1e-12)) ** 2
    struck = np.where(struck > 0.3, struck, 0.15 * struck)
    low = (1 / (1 + (_BINS / 190) ** 8))[None, :]
    drums = struck * (1 - 0.4 * low)
    bass = (1 - drums) * low
    sung = (1 - drums - bass) * _centre(left, right) * _between(140, 7500)
    return [np.asarray(mask, np.float32) for mask in (sung, drums, bass, 1 - drums - bass - sung)]


def _centre(left: Spectra, right: Spectra) -> Mask:
    """1 where both sides are alike, 0 where only one sounds or they are opposed."""
    both = np.abs(left) ** 2 + np.abs(right) ** 2
    alike = 2 * np.real(left * np.conj(right)) / np.maximum(both, 1e-12)
    return np.asarray(np.clip(_box(alike, 3, 0), 0, 1) ** 4, np.float32)


def _between(low: float, high: float) -> Mask:
    edge = 1 / (1 + (low / np.maximum(_BINS, 1)) ** 6) / (1 + (_BINS / high) ** 6)
    return np.asarray(edge[None, :], np.float32)


def _box(values: NDArray[np.floating], width: int, axis: int) -> Mask:
    """A moving mean over an odd number of neighbours."""
    half = width // 2
    padding = [(half + 1, half) if place == axis else (0, 0) for place in (0, 1)]
    sums = np.cumsum(np.pad(values.astype(np.float64), padding, mode="edge"), axis=axis)
    upper, lower = (sums[width:], sums[:-width]) if axis == 0 else (sums[:, width:], sums[:, :-width])
    return np.asarray((upper - lower) / width, np.float32)


def _floor(sound: Sound) -> NDArray[np.float32]:
    """The power of the noise that is there all the time, for every frequency."""
    mono = sound.mean(axis=0)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(mono, (0, _SIZE)), _SIZE)
    some = frames[:: max(_HOP, frames.shape[0] // 1500)]
    power = np.abs(np.fft.rfft(some * _WINDOW)) ** 2
    return np.asarray(np.percentile(power, 15, axis=0), np.float32)


def segments(sound: Sound) -> list[tuple[float, float]]:
    """When there is sound, in seconds: louder than the floor, gaps below 0.3 s closed, less than 0.12 s left out."""
    mono = sound if sound.ndim == 1 else sound.mean(axis=0)
    step = RATE // 50
    rows = mono[: mono.size // step * step].reshape(-1, step)
    if not len(rows):
        return []
    level = np.sqrt((rows.astype(np.float64) ** 2).mean(axis=1))
    top, floor = float(np.percentile(level, 98)), float(np.percentile(level, 10))
    loud = level > max(1e-3, 0.06 * top, min(2.5 * floor, 0.5 * top))
    edges = np.flatnonzero(np.diff(np.concatenate(([0], loud.astype(np.int8), [0]))))
    found: list[tuple[float, float]] = []
    for start, end in zip(edges[::2] / 50, edges[1::2] / 50, strict=True):
        if found and start - found[-1][1] < 0.3:
            found[-1] = (found[-1][0], float(end))
        else:
            found.append((float(start), float(end)))
    return [(round(start, 2), round(end, 2)) for start, end in found if end - start >= 0.12]


def melody(sound: Sound) -> list[tuple[int, float, float, float]]:
    """The strongest line of a sound: (MIDI pitch, start, end, loudness 0..1); rough, one note at a time."""
    mono = sound if sound.ndim == 1 else sound.mean(axis=0)
    size, hop = 4096, 1024
    if mono.size < size:
        return []
    frames = np.lib.stride_tricks.sliding_window_view(mono, size)[::hop]
    pitches = np.arange(40, 89)
    hertz = 440 * 2 ** ((pitches - 69) / 12)
    places = np.round(hertz[:, None] * np.arange(1, 5) * 2 * size / RATE).astype(int)
    rows, levels = [], []
    for start in range(0, len(frames), 1000):
        spectrum = np.abs(
            np.fft.rfft(frames[start : start + 1000] * np.hanning(size).astype(np.float32), good(2 * size))
        )
        rows.append((np.log1p(spectrum[:, places]) * np.array([1, 0.8, 0.6, 0.4])).sum(axis=2).argmax(axis=1))
        levels.append(np.sqrt((frames[start : start + 1000] ** 2).mean(axis=1)))
    line, loud = pitches[np.concatenate(rows)], np.concatenate(levels)
    top = max(1e-6, float(loud.max()))
    line = np.where(loud > 0.08 * top, line, 0)
    cuts = np.flatnonzero(np.diff(np.concatenate(([-1], line, [-1]))))
    return [
        (int(line[a]), round(a * hop / RATE, 3), round(b * hop / RATE, 3), round(float(loud[a:b].max()) / top, 3))
        for a, b in itertools.pairwise(cuts)
        if line[a] and b - a >= 3
    ]

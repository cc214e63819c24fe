"""Tools for sound as arrays: filters, echo of a room, limiter, crossfades, tempo and level of what is there.

A sound is a float32 array of shape ``(2, samples)`` (left, right) or ``(samples,)``, at ``RATE``, full scale 1.0.
"""

import hashlib
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 44_100
Sound = NDArray[np.float32]
CEILING = 0.84
"""The highest peak of what we deliver: -1.5 dB, so that what a lossy coder adds does not clip."""
LOUDNESS = -16.0
"""The level of music and speech: root mean square, in decibels below full scale."""


def noise(*parts: object, count: int) -> Sound:
    """White noise of unit level, the same for the same parts."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return generator(digest).standard_normal(count, dtype=np.float32)


def generator(digest: bytes) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16])))


def chance(*parts: object) -> np.random.Generator:
    """A source of chance, the same for the same parts."""
    return generator(hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest())


def good(count: int) -> int:
    """The next length that a Fourier transform likes."""
    best = 1 << (count - 1).bit_length()
    for factor in (3, 5, 9, 15):
        size = factor
        while size < count:
            size *= 2
        best = min(best, size)
    return best


def band(sound: Sound, low: float = 0.0, high: float = 0.0, *, steep: float = 4.0) -> Sound:
    """Keep what lies between two frequencies in Hz (0 leaves that side open), without moving anything in time."""
    count = sound.shape[-1]
    size = good(count + RATE // 20)
    spectrum = np.fft.rfft(sound, size)
    place = np.fft.rfftfreq(size, 1 / RATE)
    if low > 0:
        spectrum *= (1 / np.sqrt(1 + (low / np.maximum(place, 1e-3)) ** steep)).astype(np.float32)
    if high > 0:
        spectrum *= (1 / np.sqrt(1 + (place / high) ** steep)).astype(np.float32)
    return np.asarray(np.fft.irfft(spectrum, size)[..., :count], np.float32)


def room(send: Sound, seconds: float, tail: int = 0) -> Sound:
    """The echo of a hall, left and right, of a mono sound; convolved block by block with a noise that dies away."""
    length = int(seconds * RATE)
    time = np.arange(length, dtype=np.float32) / RATE
    fade = np.exp(-6.9 * time / seconds) * np.minimum(1, time / 0.012)
    walls = np.stack([noise("room", side, count=length) * fade for side in "lr"])
    walls = band(walls.astype(np.float32), 180, 5200, steep=2.0)
    walls /= np.sqrt(np.sum(walls**2, axis=1, keepdims=True))
    size = good(2 * length)
    hop = size - length
    count = send.size + tail
    blocks = -(-count // hop)
    padded = np.zeros(blocks * hop, np.float32)
    padded[: send.size] = send
    answer = np.fft.rfft(walls, size)
    out = np.zeros((2, blocks * hop + length), np.float32)
    for block in range(blocks):
        piece = padded[block * hop : (block + 1) * hop]
        if piece.any():
            out[:, block * hop : block * hop + size] += np.fft.irfft(np.fft.rfft(piece, size) * answer, size)
    return out[:, :count]


def rms(sound: Sound) -> float:
    """Root mean square, where there is sound: silence of whole tenths of a second does not count."""
    mono = sound if sound.ndim == 1 else sound.mean(axis=0)
    step = RATE // 10
    rows = mono[: mono.size // step * step].reshape(-1, step) if mono.size >= step else mono[None, :]
    power = np.square(rows).mean(axis=1, dtype=np.float64)
    loud = power[power > max(1e-7, float(power.max(initial=0.0)) * 1e-4)]
    return float(np.sqrt(loud.mean())) if loud.size else 0.0


def gain(sound: Sound, *, loudness: float = LOUDNESS, most: float = 30.0) -> Sound:
    """How much to multiply every sample by, for the wished level and no peak above ``CEILING``: shape ``(samples,)``.

    A gain rather than a shaped wave: given to every stem, the stems still add up to the mix.
    """
    level = rms(sound)
    lift = min(most, 10 ** (loudness / 20) / level) if level > 0 else 1.0
    step = 64
    mono = np.abs(sound) if sound.ndim == 1 else np.abs(sound).max(axis=0)
    count = mono.size
    rows = np.zeros(-(-count // step) * step, np.float32)
    rows[:count] = mono
    peaks = rows.reshape(-1, step).max(axis=1) * lift
    wanted = np.minimum(1.0, CEILING / np.maximum(peaks, 1e-9))
    reach = 12  # blocks of look-ahead and release: 17 ms each way
    padded = np.pad(wanted, 2 * reach, constant_values=1.0)
    lowest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 3)[:, :].min(axis=1)
    kernel = np.hanning(2 * reach + 1)
    smooth = np.convolve(np.pad(lowest, reach, mode="edge"), kernel / kernel.sum(), "valid")
    centres = (np.arange(smooth.size) - reach + 1 + 0.5) * step
    out = np.empty(count, np.float32)
    for start in range(0, count, 1 << 20):  # in pieces: a long sound must not fill the memory
        end = min(count, start + (1 << 20))
        out[start:end] = np.interp(np.arange(start, end), centres, smooth) * lift
    return out


def master(sound: Sound, *, loudness: float = LOUDNESS) -> Sound:
    """The sound at the usual level, its peaks held, no constant offset."""
    centred = sound - sound.mean(axis=-1, keepdims=True)
    out = centred * gain(centred, loudness=loudness)
    return np.asarray(np.clip(out, -CEILING, CEILING), np.float32)


def fade(sound: Sound, start: float = 0.0, end: float = 0.0) -> Sound:
    """A copy that comes in and goes out within so many seconds."""
    out = np.array(sound, np.float32)
    count = out.shape[-1]
    for seconds, where in ((start, slice(None)), (end, slice(None, None, -1))):
        length = min(count, int(seconds * RATE))
        if length:
            out[..., where][..., :length] *= _rise(length)
    return out


def join(first: Sound, second: Sound, seconds: float) -> Sound:
    """One after the other, overlapping by a crossfade of equal power."""
    length = min(int(seconds * RATE), first.shape[-1], second.shape[-1])
    out = np.zeros((*first.shape[:-1], first.shape[-1] + second.shape[-1] - length), np.float32)
    out[..., : first.shape[-1]] = first
    if length:
        out[..., first.shape[-1] - length : first.shape[-1]] *= _rise(length)[::-1]
        out[..., first.shape[-1] - length : first.shape[-1]] += second[..., :length] * _rise(length)
    out[..., first.shape[-1] :] = second[..., length:]
    return out


def _rise(length: int) -> Sound:
    return np.sin(np.linspace(0, np.pi / 2, length, dtype=np.float32))


def stereo(sound: Sound) -> Sound:
    return sound if sound.ndim == 2 else np.stack([sound, sound])


def fit(sound: Sound, count: int) -> Sound:
    """Exactly so many samples: cut, or silence added."""
    out = np.zeros((*sound.shape[:-1], count), np.float32)
    length = min(count, sound.shape[-1])
    out[..., :length] = sound[..., :length]
    return out


def stretch(sound: Sound, factor: float) -> Sound:
    """Play faster (factor > 1) or slower at the same pitch, by overlapping windows laid where they match best."""
    if abs(factor - 1) < 0.005:
        return sound
    size, hop, seek = 2048, 512, 384
    mono = sound if sound.ndim == 1 else sound.mean(axis=0)
    count = int(sound.shape[-1] / factor)
    window = np.hanning(size).astype(np.float32)
    source = np.pad(sound, [(0, 0)] * (sound.ndim - 1) + [(seek, size + 2 * seek)])
    guide = np.pad(mono, (seek, size + 2 * seek))
    out = np.zeros((*sound.shape[:-1], count + size), np.float32)
    weight = np.zeros(count + size, np.float32)
    last = seek
    for place in range(0, count, hop):
        ideal = seek + int(place * factor)
        best = ideal
        if place and last + hop + size <= guide.size:
            natural = guide[last + hop : last + hop + size : 4]
            options = guide[ideal - seek : ideal + seek + size]
            views = np.lib.stride_tricks.sliding_window_view(options, size)[::16, ::4]
            best = ideal - seek + 16 * int(np.argmax(views @ natural))
        out[..., place : place + size] += source[..., best : best + size] * window
        weight[place : place + size] += window
        last = best
    return np.asarray(out[..., :count] / np.maximum(weight[:count], 1e-3), np.float32)


def onsets(sound: Sound) -> tuple[NDArray[np.float32], float]:
    """How strongly something begins, over time; and how many values there are in a second."""
    mono = sound if sound.ndim == 1 else sound.mean(axis=0)
    size, hop = 1024, 512
    if mono.size < size + hop:
        return np.zeros(1, np.float32), RATE / hop
    frames = np.lib.stride_tricks.sliding_window_view(mono, size)[::hop]
    previous: Any = None
    rows = []
    for start in range(0, len(frames), 2048):  # in pieces: a long file must not fill the memory
        level = np.log1p(200 * np.abs(np.fft.rfft(frames[start : start + 2048] * np.hanning(size).astype(np.float32))))
        shifted = np.vstack([level[:1] if previous is None else previous, level[:-1]])
        rows.append(np.maximum(0, level - shifted).sum(axis=1))
        previous = level[-1:]
    flux = np.concatenate(rows)
    return np.asarray(flux - flux.mean(), np.float32), RATE / hop


def tempo(sound: Sound) -> tuple[float, float]:
    """The beats per minute that fit best within 60..180, and the second of the first beat; rough."""
    flux, rate = onsets(sound[..., : 90 * RATE])
    if flux.size < 4 * rate or not flux.any():
        return 100.0, 0.0
    size = good(2 * flux.size)
    power = np.abs(np.fft.rfft(flux, size)) ** 2
    echo = np.fft.irfft(power, size)[: flux.size]
    speeds = np.arange(60.0, 180.5, 0.5)
    lags = 60 * rate / speeds
    score = sum(np.interp(lags * times, np.arange(flux.size), echo) / times**0.5 for times in (1, 2, 4))
    score = score * np.exp(-0.5 * (np.log2(speeds / 112) / 0.9) ** 2)
    best = float(speeds[int(np.argmax(score))])
    lag = 60 * rate / best
    phases = np.arange(0, lag)
    hits = [flux[np.arange(phase, flux.size - 1, lag).astype(int)].sum() for phase in phases]
    return best, float(phases[int(np.argmax(hits))] / rate)


def chroma(sound: Sound) -> NDArray[np.float64]:
    """How strong each of the twelve pitch classes is, C first; they add up to 1."""
    mono = sound if sound.ndim == 1 else sound.mean(axis=0)
    size = 1 << 15
    mono = fit(mono, max(size, min(mono.size, 120 * RATE) // size * size))
    spectrum = (np.abs(np.fft.rfft(mono.reshape(-1, size) * np.hanning(size).astype(np.float32))) ** 2).sum(axis=0)
    place = np.fft.rfftfreq(size, 1 / RATE)
    inside = (place > 80) & (place < 1500)
    classes = np.round(69 + 12 * np.log2(place[inside] / 440)).astype(int) % 12
    found = np.bincount(classes, weights=np.sqrt(spectrum[inside]), minlength=12)
    return np.asarray(found / max(found.sum(), 1e-12), np.float64)


def guess_key(sound: Sound) -> tuple[int, bool]:
    """Tonic and whether minor: the scale whose notes fit the strongest pitch classes; rough."""
    found = chroma(sound)
    major = np.array([6.4, 2.2, 3.5, 2.3, 4.4, 4.1, 2.5, 5.2, 2.4, 3.7, 2.3, 2.9])
    minor = np.array([6.3, 2.7, 3.5, 5.4, 2.6, 3.5, 2.5, 4.8, 4.0, 2.7, 3.3, 3.2])
    fits = [
        (float(np.corrcoef(np.roll(shape, tonic), found + 1e-9 * np.arange(12))[0, 1]), tonic, mode)
        for mode, shape in ((False, major), (True, minor))
        for tonic in range(12)
    ]
    _, tonic, mode = max(fits)
    return tonic, mode


def bars(sound: Sound, count: int = 100) -> list[float]:
    """The outline of a sound: so many levels from 0 to 1."""
    mono = np.abs(sound if sound.ndim == 1 else sound.mean(axis=0))
    edges = np.linspace(0, mono.size, count + 1).astype(int)
    levels = [float(mono[a:b].max()) if b > a else 0.0 for a, b in itertools.pairwise(edges)]
    top = max(levels, default=0.0) or 1.0
    return [round(level / top, 3) for level in levels]

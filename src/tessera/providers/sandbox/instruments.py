"""Instruments as sound: every note is made once from its overtones, and drums from sweeps and noise.

A note is read from wave tables: one cycle of a band of overtones each, so that the high ones can die away before the
low ones, or open up after them. What comes out has a level near 1 at its loudest and begins and ends in silence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tessera.providers.sandbox.dsp import RATE, Sound, band, noise

_TABLE = 8192
_HIGHEST = 15_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timbre:
    """How an instrument sounds.

    ``slope``: overtone k has 1/k**slope. ``even``: weight of the even ones. ``formants``: (Hz, width, boost).
    ``decay``: seconds to a thousandth at middle C, 0 for a tone that is held. ``damp``: how much sooner high overtones
    die. ``attack`` and ``release`` in seconds. ``vibrato`` and ``unison`` in cents. ``breath``: noise in the tone.
    ``open``: how slowly a held tone becomes bright, seconds. ``drive``: distortion. ``send``: to the hall.
    """

    slope: float = 1.2
    even: float = 1.0
    pluck: float = 0.0
    formants: tuple[tuple[float, float, float], ...] = ()
    decay: float = 0.0
    damp: float = 0.25
    attack: float = 0.004
    release: float = 0.12
    vibrato: float = 0.0
    unison: tuple[float, ...] = (0.0,)
    wide: float = 0.0
    breath: float = 0.0
    knock: float = 0.0
    open: float = 0.0
    drive: float = 0.0
    ratios: tuple[tuple[float, float], ...] = ()
    send: float = 0.2


TIMBRES: dict[str, Timbre] = {
    "piano": Timbre(slope=1.25, pluck=0.12, decay=7, damp=0.16, unison=(-0.7, 0.8), wide=1.5, knock=0.25, send=0.22),
    "epiano": Timbre(slope=2.2, decay=5, damp=0.5, ratios=((14.0, 0.12),), unison=(0.0,), wide=3, release=0.2),
    "organ": Timbre(slope=0.9, even=1.2, attack=0.012, release=0.06, vibrato=4, unison=(-1.5, 1.5), wide=2),
    "acoustic_guitar": Timbre(slope=1.05, pluck=0.18, decay=4.5, damp=0.3, knock=0.35, release=0.25, send=0.16),
    "electric_guitar": Timbre(slope=0.9, pluck=0.23, decay=7, damp=0.12, drive=3.2, release=0.1, send=0.14),
    "banjo": Timbre(slope=0.8, pluck=0.1, decay=1.6, damp=0.35, knock=0.4, release=0.2, send=0.12),
    "guzheng": Timbre(slope=0.9, pluck=0.09, decay=4.5, damp=0.22, knock=0.3, release=0.6, vibrato=5, send=0.28),
    "harp": Timbre(slope=1.5, pluck=0.4, decay=4, damp=0.35, release=0.7, send=0.34),
    "strings": Timbre(slope=1.15, attack=0.14, release=0.3, vibrato=9, unison=(-8, 1, 9), wide=5, open=0.3, breath=0.02,
                      formants=((500, 300, 0.6), (2800, 900, 0.5)), send=0.36),
    "violin": Timbre(slope=1.05, attack=0.07, release=0.12, vibrato=18, open=0.1, breath=0.03,
                     formants=((480, 200, 0.8), (1200, 300, 0.4), (2900, 700, 0.8)), send=0.34),
    "cello": Timbre(slope=1.15, attack=0.09, release=0.18, vibrato=14, open=0.15, breath=0.03, unison=(-2, 2), wide=2,
                    formants=((250, 120, 0.8), (600, 250, 0.6)), send=0.32),
    "erhu": Timbre(slope=0.95, attack=0.06, release=0.12, vibrato=30, breath=0.04,
                   formants=((700, 250, 1.2), (1800, 400, 1.0)), send=0.34),
    "flute": Timbre(slope=2.4, attack=0.06, release=0.1, vibrato=12, breath=0.1, send=0.32),
    "clarinet": Timbre(slope=1.3, even=0.12, attack=0.04, release=0.08, vibrato=5, breath=0.04, send=0.26),
    "saxophone": Timbre(slope=1.05, attack=0.045, release=0.1, vibrato=14, breath=0.06, open=0.08,
                        formants=((650, 250, 0.9), (1500, 500, 0.6)), send=0.26),
    "harmonica": Timbre(slope=0.75, attack=0.03, release=0.07, vibrato=14, unison=(-3, 3), breath=0.04,
                        formants=((1800, 700, 0.6),), send=0.22),
    "trumpet": Timbre(slope=0.85, attack=0.035, release=0.08, vibrato=8, open=0.07,
                      formants=((1200, 500, 0.9),), send=0.26),
    "brass": Timbre(slope=0.85, attack=0.05, release=0.1, unison=(-5, 4), wide=4, open=0.09,
                    formants=((900, 400, 0.7),), send=0.28),
    "horn": Timbre(slope=1.3, attack=0.08, release=0.16, vibrato=4, open=0.14, formants=((450, 250, 0.9),), send=0.36),
    "choir": Timbre(slope=1.0, attack=0.25, release=0.4, vibrato=16, unison=(-9, 0, 8), wide=6, breath=0.05,
                    formants=((700, 130, 2.6), (1150, 160, 1.8), (2700, 300, 0.8)), send=0.45),
    "bells": Timbre(ratios=((1, 1.0), (2.76, 0.5), (5.4, 0.25), (8.93, 0.1)), decay=4, damp=0.12, release=0.8,
    send=0.4),
    "vibraphone": Timbre(ratios=((1, 1.0), (3.98, 0.35), (10.2, 0.08)), decay=3.5, damp=0.3, release=0.4, send=0.26),
    "synth_lead": Timbre(slope=1.0, attack=0.008, release=0.12, vibrato=9, unison=(-7, 7), wide=3, open=0.03,
    send=0.24),
    "synth_keys": Timbre(slope=1.0, attack=0.004, decay=1.8, damp=0.5, unison=(-9, 0, 9), wide=5, release=0.1,
    send=0.22),
    "pluck": Timbre(slope=0.9, even=0.4, decay=1.1, damp=0.6, unison=(-4, 4), wide=4, release=0.2, send=0.3),
    "pad": Timbre(slope=1.5, attack=0.4, release=0.6, vibrato=4, unison=(-11, -3, 4, 10), wide=5, open=0.9, send=0.42),
    "bass": Timbre(slope=1.4, pluck=0.15, decay=5, damp=0.5, release=0.06, knock=0.12, send=0.02),
    "double_bass": Timbre(slope=1.7, pluck=0.3, decay=2.4, damp=0.6, release=0.09, knock=0.2, send=0.06),
    "synth_bass": Timbre(slope=1.0, attack=0.004, decay=2.0, damp=0.45, release=0.04, unison=(-3, 3), send=0.0),
    "sub": Timbre(slope=3.0, attack=0.004, decay=6, damp=0.3, release=0.08, drive=1.3, send=0.0),
}  # fmt: skip


def _clock(samples: int) -> Sound:
    """The seconds of so many samples."""
    return np.asarray(np.arange(samples, dtype=np.float32) / np.float32(RATE), np.float32)


@lru_cache(maxsize=512)
def note(instrument: str, pitch: int, samples: int, *, loud: bool) -> Sound:
    """One note of ``samples`` at ``RATE`` and what rings on after it: shape ``(2, n)``."""
    timbre = TIMBRES[instrument]
    total = samples + int(timbre.release * RATE)
    hertz = 440.0 * 2 ** ((pitch - 69) / 12)
    sides = (-1, 1) if timbre.wide else (0,)
    out = np.stack([_side(timbre, instrument, hertz, total, side, loud=loud) for side in sides])
    if timbre.decay:
        out *= _struck(timbre, samples, total)
    else:
        out *= _held(timbre, samples, total)
    return out if len(out) == 2 else np.repeat(out, 2, axis=0)


def _side(timbre: Timbre, name: str, hertz: float, total: int, side: int, *, loud: bool) -> Sound:
    out = np.zeros(total, np.float32)
    slope = timbre.slope - (0.12 if loud else -0.12)
    for voice, cents in enumerate(timbre.unison):
        detuned = hertz * 2 ** ((cents + side * timbre.wide * (1 if voice % 2 else -1)) / 1200)
        phase = _phase(timbre, detuned, total, shift=0.13 * voice + 0.29 * (side > 0))
        out += _tone(timbre, slope, hertz, phase, total)
    out /= len(timbre.unison) ** 0.5
    if timbre.ratios:
        out += _partials(timbre, hertz, total)
    if timbre.breath:
        hiss = band(noise("breath", name, total, side, count=total), hertz * 0.9, min(_HIGHEST, hertz * 5), steep=2.0)
        out += timbre.breath * hiss
    if timbre.knock:
        length = min(total, int(0.03 * RATE))
        knock = band(noise("knock", name, side, count=length), 150, 2600, steep=2.0)
        out[:length] += timbre.knock * knock * np.exp(-np.arange(length) / (0.006 * RATE)).astype(np.float32)
    if timbre.drive:
        out = np.tanh(timbre.drive * out).astype(np.float32) * 0.8
        out -= out.mean()
    return out


def _phase(timbre: Timbre, hertz: float, total: int, shift: float) -> NDArray[np.float64]:
    time = np.arange(total, dtype=np.float64)
    phase = time * (hertz / RATE) + shift
    if timbre.vibrato:
        depth = timbre.vibrato / 1200 * np.log(2) * hertz / (2 * np.pi * 5.3)
        arrives = np.minimum(1, time / (0.45 * RATE)) ** 2
        phase += depth * arrives * np.sin(2 * np.pi * 5.3 / RATE * time + 6 * shift)
    return phase


def _tone(timbre: Timbre, slope: float, hertz: float, phase: NDArray[np.float64], total: int) -> Sound:
    """The harmonic overtones in bands, each with its own life."""
    if timbre.ratios and timbre.ratios[0][0] == 1:
        return np.zeros(total, np.float32)  # bells have none
    index = (phase * _TABLE).astype(np.int64) & (_TABLE - 1)
    time = _clock(total)
    out = np.zeros(total, np.float32)
    most = max(1, int(_HIGHEST / hertz))
    edges = [edge for edge in (1, 2, 3, 5, 9, 17) if edge <= most]
    if not timbre.decay:
        edges = [edge for edge in (1, 4) if edge <= most]
    for first, end in zip(edges, [*edges[1:], min(most, 64) + 1], strict=True):
        table = _table(timbre, round(slope, 2), round(hertz, 3), first, end)
        out += table[index] * _life(timbre, hertz, first, time)
    return out


def _life(timbre: Timbre, hertz: float, first: int, time: Sound) -> Sound | float:
    if timbre.decay:
        seconds = timbre.decay * (262 / hertz) ** 0.55 / (1 + timbre.damp * (first - 1))
        return np.asarray(np.exp(-6.9 * time / max(0.08, seconds)), np.float32)
    if timbre.open and first > 1:
        return np.asarray(1 - 0.75 * np.exp(-time / timbre.open), np.float32)
    return 1.0


@lru_cache(maxsize=2048)
def _table(timbre: Timbre, slope: float, hertz: float, first: int, end: int) -> Sound:
    """One cycle of the overtones ``first`` to ``end`` (exclusive), in the level they have in the whole tone."""
    k = np.arange(1, max(2, min(64, int(_HIGHEST / hertz))) + 1)
    level = 1 / k**slope
    level[1::2] *= timbre.even
    if timbre.pluck:
        level *= np.abs(np.sin(np.pi * k * timbre.pluck)) + 0.05
    for centre, width, boost in timbre.formants:
        level *= 1 + 3 * boost * np.exp(-0.5 * ((k * hertz - centre) / width) ** 2)
    level /= np.sqrt(np.sum(level**2))
    spectrum = np.zeros(_TABLE // 2 + 1, np.complex128)
    inside = k[(k >= first) & (k < end) & (k * hertz < _HIGHEST)]
    spectrum[inside] = level[inside - 1] * np.exp(2j * np.pi * (inside * 0.618 % 1)) * _TABLE / 2
    return np.fft.irfft(spectrum, _TABLE).astype(np.float32)


def _partials(timbre: Timbre, hertz: float, total: int) -> Sound:
    """The overtones of metal and wood, which are in no simple ratio."""
    time = np.arange(total, dtype=np.float32) / RATE
    out = np.zeros(total, np.float32)
    for ratio, level in timbre.ratios:
        if hertz * ratio < _HIGHEST:
            seconds = timbre.decay * (523 / hertz) ** 0.4 / (1 + timbre.damp * (ratio - 1))
            out += level * np.sin(2 * np.pi * hertz * ratio * time) * np.exp(-6.9 * time / seconds)
    return out


def _struck(timbre: Timbre, samples: int, total: int) -> Sound:
    """A quick beginning, and the damper at the end."""
    out = np.ones(total, np.float32)
    attack = max(32, int(timbre.attack * RATE))
    out[:attack] = np.linspace(0, 1, attack, dtype=np.float32)[: out[:attack].size]
    tail = total - samples
    out[samples:] = np.cos(np.linspace(0, np.pi / 2, tail, dtype=np.float32)) ** 2
    return out


def _held(timbre: Timbre, samples: int, total: int) -> Sound:
    out = np.ones(total, np.float32)
    attack = min(max(64, int(timbre.attack * RATE)), max(64, samples // 2), total)
    out[:attack] = np.sin(np.linspace(0, np.pi / 2, attack, dtype=np.float32)) ** 2
    out[attack:] *= 0.85 + 0.15 * np.exp(-np.arange(total - attack, dtype=np.float32) / (0.4 * RATE))
    tail = total - samples
    out[samples:] *= np.cos(np.linspace(0, np.pi / 2, tail, dtype=np.float32)) ** 2
    return out


# Drums: each sound once, by its General MIDI number.


def _time(seconds: float) -> Sound:
    return _clock(int(seconds * RATE))


def sweep(time: Sound, low: float, high: float, fall: float) -> Sound:
    """A sine that falls from ``high`` to ``low`` Hz."""
    phase = low * time + (high - low) * fall * (1 - np.exp(-time / fall))
    return np.asarray(np.sin(2 * np.pi * phase), np.float32)


def _kick() -> Sound:
    time = _time(0.42)
    click = noise("click", count=time.size) * np.exp(-time / 0.002) * 0.25
    return np.asarray(np.tanh(1.6 * sweep(time, 47, 190, 0.028) * np.exp(-time / 0.13)) + click, np.float32)


def _snare() -> Sound:
    time = _time(0.3)
    body = 0.5 * sweep(time, 180, 260, 0.02) * np.exp(-time / 0.06)
    wires = band(noise("snare", count=time.size), 900, 11_000) * np.exp(-time / 0.075)
    return np.asarray(body + 0.75 * wires, np.float32)


def _clap() -> Sound:
    time = _time(0.3)
    hands = sum((np.exp(-np.abs(time - at) / 0.004) * (time >= at) for at in (0.0, 0.011, 0.023)), np.zeros_like(time))
    tail = np.exp(-time / 0.07) * (time > 0.03) * 0.7
    return np.asarray(band(noise("clap", count=time.size), 700, 6500) * (hands + tail), np.float32)


def _metal(name: str, seconds: float, fall: float, low: float, level: float) -> Callable[[], Sound]:
    """Cymbals: noise above ``low`` Hz with a few inharmonic tones in it."""

    def make() -> Sound:
        time = _time(seconds)
        ring = sum((np.sin(2 * np.pi * f * time) for f in (3150, 4230, 5410, 6790, 8210)), np.zeros_like(time))
        hiss = band(noise(name, count=time.size), low, 14_500)
        return np.asarray(level * (hiss + 0.06 * ring) * np.exp(-time / fall), np.float32)

    return make


def _skin(low: float, high: float, fall: float, hiss: float) -> Callable[[], Sound]:
    def make() -> Sound:
        time = _time(max(0.15, 5 * fall))
        skin = sweep(time, low, high, 0.03) * np.exp(-time / fall)
        return np.asarray(skin + hiss * noise("skin", low, count=time.size) * np.exp(-time / 0.012), np.float32)

    return make


def _rim() -> Sound:
    time = _time(0.1)
    return np.asarray((np.sin(2 * np.pi * 1700 * time) + np.sin(2 * np.pi * 820 * time)) * 0.6 * np.exp(-time / 0.012))


_DRUMS: dict[int, tuple[Callable[[], Sound], float, float]] = {
    36: (_kick, 1.0, 0.0),
    37: (_rim, 0.5, 0.2),
    38: (_snare, 0.75, 0.05),
    39: (_clap, 0.7, -0.05),
    41: (_skin(52, 110, 0.35, 0.3), 1.0, 0.0),
    42: (_metal("hat", 0.12, 0.022, 7000, 0.6), 0.4, 0.3),
    44: (_metal("pedal", 0.12, 0.03, 5200, 0.5), 0.4, 0.3),
    45: (_skin(95, 165, 0.16, 0.15), 0.8, -0.3),
    46: (_metal("open", 0.5, 0.12, 6500, 0.55), 0.4, 0.3),
    49: (_metal("crash", 2.2, 0.5, 3500, 0.6), 0.5, -0.35),
    51: (_metal("ride", 0.9, 0.2, 5800, 0.5), 0.35, 0.4),
    54: (_metal("tambourine", 0.2, 0.05, 8000, 0.7), 0.4, -0.4),
    63: (_skin(210, 300, 0.09, 0.1), 0.6, -0.25),
    70: (_metal("shaker", 0.09, 0.025, 5000, 0.5), 0.35, -0.3),
}
"""How a drum is made, its level, and its place from left to right."""


@lru_cache(maxsize=64)
def drum(pitch: int) -> tuple[Sound, float]:
    """A drum's sound, mono, and its place. A number that no drum has is a rim click. It begins and ends in silence."""
    make, level, pan = _DRUMS.get(pitch, _DRUMS[37])
    out = np.array(make(), np.float32) * level
    rise, fall = 24, min(out.size, RATE // 50)
    out[:rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    out[-fall:] *= np.linspace(1, 0, fall, dtype=np.float32)
    return out, pan


def riser(samples: int) -> Sound:
    """Noise that opens and swells over so many samples, then breaks off softly; mono."""
    time = np.linspace(0, 1, samples, dtype=np.float32)
    hiss = noise("riser", count=samples)
    out = band(hiss, 300, 1500) * (1 - time) + band(hiss, 1500, 9000) * time
    out *= time**2
    fall = min(samples, RATE // 30)
    out[-fall:] *= np.linspace(1, 0, fall, dtype=np.float32)
    return np.asarray(out * 0.5, np.float32)

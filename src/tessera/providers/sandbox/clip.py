"""Music videos: a song with its cover, its title, a spectrum that follows it, and a line that shows how far it is."""

from dataclasses import dataclass
from itertools import pairwise
from math import dist
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from tessera.providers.sandbox import art, edit, sound
from tessera.providers.sandbox.film import picture
from tessera.providers.sandbox.lettering import badge, measure, wrap, write
from tessera.providers.sandbox.palette import RGB, Palette, along, lab, shade
from tessera.providers.sandbox.planes import Planes, turn
from tessera.providers.sandbox.probe import MOST_SECONDS
from tessera.providers.sandbox.recorder import Recorder
from tessera.providers.sandbox.reel import Film
from tessera.providers.sandbox.trouble import BadMediaError

SIZE = (1280, 720)
_BARS = 56
_WINDOW = 4096
_LOWEST, _HIGHEST = 45.0, 7_000.0
_COVER = (76, 84, 456)
"""Left, top and side of the cover."""

_LEFT, _RIGHT = 592, 1204
_FLOOR, _TALL = 540, 190
"""The foot of the spectrum and the height of its highest bar."""

_WAVE = (76, 628, 1128, 44)
"""Left, middle, width and height of the whole song's wave."""

_LONG = 90.0
"""Seconds from which on fewer frames a second are made."""


def music_video(
    audio: Path,
    cover: Path | None,
    title: str,
    author: str,
    domain: str,
    folder: Path,
    name: str,
    seconds: float | None = None,
) -> Film:
    """The song as a film of 1280 x 720, the first ``seconds`` of it where they are given.

    24 frames a second, 12 of a long song. Raises BadMediaError, BadPictureError and OSError.
    """
    song = sound.read(audio, min(seconds or MOST_SECONDS["audio"], MOST_SECONDS["audio"]))
    if song is None:
        raise BadMediaError("There is no sound in the file")
    fps = 24 if len(song) / sound.RATE <= _LONG else 12
    total = max(1, round(len(song) / sound.RATE * fps))
    palette = art.palette(title, 0)
    sheet = _sheet(cover, (title, author, domain), palette)
    wave = Show(turn(sheet), song, fps, total, _bright(palette))
    facts = {"title": title[:1000].replace("\0", ""), "artist": author[:300].replace("\0", "")}
    track = sound.fit(song, total / fps)
    with Recorder(folder / f"{name}.mp4", SIZE, fps, sound=track, about=facts) as recorder:
        for number in range(total):
            recorder.add(wave.at(number))
    return recorder.film()


def _bright(palette: Palette) -> tuple[RGB, RGB]:
    """Two colours of the palette that glow on a dark ground."""
    warm = lab(palette.warm)
    other = max((*palette.accents, palette.sky[1]), key=lambda color: dist(lab(color)[1:], warm[1:]))
    return _lifted(other), _lifted(palette.warm)


def _lifted(color: RGB) -> RGB:
    """The colour, made light enough for a dark ground."""
    return shade(color, max(0.0, 0.74 - lab(color)[0]))


def _sheet(cover: Path | None, words: tuple[str, str, str], palette: Palette) -> Image.Image:
    """All that stays: the cover on a dark, blurred echo of itself, and the words."""
    front = picture(cover) if cover is not None else art.draw(words[0], 0, 0, (640, 640))
    ground = edit.fit(front, (SIZE[0] // 4, SIZE[1] // 4)).filter(ImageFilter.GaussianBlur(14))
    ground = ImageEnhance.Brightness(ImageEnhance.Color(ground).enhance(1.15)).enhance(0.36)
    sheet = ground.resize(SIZE, Image.Resampling.BICUBIC)
    _hang(sheet, front)
    _words(sheet, words)
    badge(sheet, (_COVER[0], SIZE[1] - 40), 15, palette)
    return sheet


def _hang(sheet: Image.Image, front: Image.Image) -> None:
    left, top, side = _COVER
    shadow = Image.new("L", SIZE)
    ImageDraw.Draw(shadow).rectangle((left, top + 14, left + side, top + side + 14), fill=190)
    sheet.paste((0, 0, 0), (0, 0, *SIZE), shadow.filter(ImageFilter.GaussianBlur(22)))
    mask = Image.new("L", (side * 2, side * 2))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side * 2 - 1, side * 2 - 1), 28, fill=255)
    sheet.paste(edit.fit(front, (side, side)), (left, top), mask.reduce(2))


def _words(sheet: Image.Image, words: tuple[str, str, str]) -> None:
    title, author, domain = words
    large = 54 if measure(title, 54) < 1.6 * (_RIGHT - _LEFT) else 40
    y = float(_COVER[1])
    for line in wrap(title or "(no title)", large, _RIGHT - _LEFT, 3):
        write(sheet, (_LEFT, y), line, large, (255, 255, 255))
        y += large * 1.22
    y += 10
    for text, size, color in ((author, 27, (226, 229, 236)), (domain, 20, (176, 181, 194))):
        for line in wrap(text, size, _RIGHT - _LEFT, 1) if text else []:
            write(sheet, (_LEFT, y), line, size, color)
            y += size * 1.5


@dataclass(frozen=True, slots=True)
class _Ink:
    """A colour as it lies in the planes."""

    y: int
    u: int
    v: int


def _ink(color: RGB) -> _Ink:
    planes = turn(Image.new("RGB", (2, 2), color))
    return _Ink(int(planes.y[0, 0]), int(planes.u[0, 0]), int(planes.v[0, 0]))


class Show:
    """What moves: the bars of the spectrum, the wave of the song and its playhead, the clock."""

    def __init__(self, sheet: Planes, song: sound.Sound, fps: int, total: int, colors: tuple[RGB, RGB]) -> None:
        self._sheet, self._fps, self._total = sheet, fps, total
        self._levels = spectrum(song, fps, total)
        self._inks = [_ink(along(colors, index / (_BARS - 1))) for index in range(_BARS)]
        self._wave = _outline(song)
        self._played = _ink(colors[1])

    def at(self, number: int) -> Planes:
        """Frame ``number``, from 0."""
        frame = self._sheet.copy()
        self._bars(frame, number)
        self._line(frame, (number + 1) / self._total)
        self._clock(frame, number / self._fps)
        return frame

    def _bars(self, frame: Planes, number: int) -> None:
        step = (_RIGHT - _LEFT) / _BARS
        for index, level in enumerate(self._levels[number]):
            left = round((_LEFT + index * step) / 2) * 2
            right = left + max(2, round(step * 0.62 / 2) * 2)
            tall = max(4, round(float(level) * _TALL / 2) * 2)
            _fill(frame, (left, _FLOOR - tall, right, _FLOOR), self._inks[index], 1.0)
            _fill(frame, (left, _FLOOR + 4, right, _FLOOR + 4 + tall // 8 * 2), self._inks[index], 0.22)

    def _line(self, frame: Planes, part: float) -> None:
        left, middle, wide, tall = _WAVE
        for index, level in enumerate(self._wave):
            x = left + index * 6
            high = max(2, round(float(level) * tall / 2) * 2)
            done = index * 6 < wide * part
            ink, strength = (self._played, 1.0) if done else (_Ink(235, 128, 128), 0.26)
            _fill(frame, (x, (middle - high // 2) // 2 * 2, x + 4, (middle + high // 2 + 1) // 2 * 2), ink, strength)

    def _clock(self, frame: Planes, time: float) -> None:
        text = f"{_minutes(time)} / {_minutes(self._total / self._fps)}"
        wide = round(measure(text, 17)) + 2
        letters = Image.new("RGB", (wide, 24))
        write(letters, (0, 0), text, 17, (255, 255, 255))
        mask = np.asarray(letters.getchannel(0)).astype(np.uint16)
        top, left = SIZE[1] - 41, _RIGHT - wide
        place = frame.y[top : top + 24, left : left + wide]
        place[...] = (place * (255 - mask) + 230 * mask) // 255


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _fill(frame: Planes, box: tuple[int, int, int, int], ink: _Ink, strength: float) -> None:
    """A rectangle of even corners, in a colour more or less strong."""
    left, top, right, bottom = box
    half = np.s_[top // 2 : bottom // 2, left // 2 : right // 2]
    for plane, part, value in (
        (frame.y, np.s_[top:bottom, left:right], ink.y),
        (frame.u, half, ink.u),
        (frame.v, half, ink.v),
    ):
        if strength >= 1:
            plane[part] = value
        else:
            plane[part] = (plane[part] * (1 - strength) + value * strength).astype(np.uint8)


def spectrum(song: sound.Sound, fps: int, total: int) -> npt.NDArray[np.float32]:
    """How high each bar is in each frame, 0..1: the loudness of its band, rising at once and falling slowly."""
    bands = _bands()
    window = np.hanning(_WINDOW).astype(np.float32)
    result, held = np.zeros((total, _BARS), np.float32), np.zeros(_BARS, np.float32)
    for number in range(total):
        part = song[number * sound.RATE // fps :][:_WINDOW].mean(axis=1, dtype=np.float32) / 32768
        power = np.abs(np.fft.rfft(part * window[: len(part)], _WINDOW)).astype(np.float32) ** 2
        summed = np.add.reduceat(power, bands[:-1]) / np.diff(bands)
        level = (10 * np.log10(summed + 1e-6) + np.linspace(0, 12, _BARS)) / 58 + 0.05
        level = np.clip(level, 0, 1) ** 1.3
        level[1:-1] = np.maximum(level[1:-1], 0.62 * np.maximum(level[:-2], level[2:]))  # a fuller skyline
        held = np.maximum(level, held - np.float32(1.9 / fps)).astype(np.float32)
        result[number] = held
    return result


def _bands() -> npt.NDArray[np.intp]:
    """Where each band begins and the last ends, as indices of the spectrum; each has one at least."""
    edges = _LOWEST * (_HIGHEST / _LOWEST) ** (np.arange(_BARS + 1) / _BARS) * _WINDOW / sound.RATE
    bands = np.round(edges).astype(np.intp)
    for index in range(1, len(bands)):
        bands[index] = max(bands[index], bands[index - 1] + 1)
    return bands


def _outline(song: sound.Sound) -> npt.NDArray[np.float64]:
    """The loudness of the whole song, in as many parts as the wave has lines."""
    count = _WAVE[2] // 6
    edges = np.linspace(0, len(song), count + 1).astype(int)
    parts = [song[a:b].astype(np.float32) for a, b in pairwise(edges)]
    peaks = np.array([float(np.abs(part).mean()) if len(part) else 0.0 for part in parts])
    return peaks / peaks.max() if peaks.max() > 0 else peaks

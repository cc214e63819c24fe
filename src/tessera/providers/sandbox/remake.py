"""Films from films: a longer one, one in another material, a larger one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.video.reformatter import Interpolation
from PIL import Image

from tessera.providers.sandbox import art, edit, sound
from tessera.providers.sandbox.canvas import chance
from tessera.providers.sandbox.film import about, card_of, count, scene
from tessera.providers.sandbox.footage import frames
from tessera.providers.sandbox.palette import Palette, along
from tessera.providers.sandbox.planes import Bytes, Planes, lay, scale, turn
from tessera.providers.sandbox.probe import MOST_SECONDS, opened, probe, small, voices
from tessera.providers.sandbox.recorder import Recorder
from tessera.providers.sandbox.reel import Film, Probe, Shot, sized
from tessera.providers.sandbox.titles import tag
from tessera.providers.sandbox.trouble import BadMediaError

_STRENGTH = 0.72
"""How much of the colours of a changed film are the palette's."""

_SHARP = 0.35


def _source(shot: Shot) -> tuple[Path, Probe]:
    if shot.source is None:
        raise BadMediaError("There is no video to work on")
    small(*shot.size)
    return shot.source, _video(shot.source)


def _video(path: Path) -> Probe:
    found = probe(path)
    if found.kind != "video":
        raise BadMediaError("The file has no moving pictures")
    sized(max(1, found.width) / max(1, found.height), found.height)  # of a shape that a film may have?
    return found


def extend(shot: Shot) -> Film:
    """The source, then ``seconds`` more that begin with its last frame. Raises BadMediaError and OSError."""
    path, found = _source(shot)
    track = _longer(shot, path, found)
    with Recorder(shot.folder / f"{shot.name}.mp4", shot.size, shot.fps, sound=track, about=about(shot)) as recorder:
        last = None
        for frame in frames(path, shot.size, shot.fps, MOST_SECONDS["video"]):
            recorder.add(frame)
            last = frame
        assert last is not None  # frames() has at least one
        for frame in scene(shot, count(shot), begin=last):
            recorder.add(frame)
    return recorder.film()


def _longer(shot: Shot, path: Path, found: Probe) -> sound.Sound | None:
    """The source's sound and music after it; silence stands for the one that is missing."""
    if not shot.sound and not found.has_sound:
        return None
    old = sound.read(path, found.seconds) if found.has_sound else None
    silence = np.zeros((0, 2), np.int16)
    before = sound.fit(old if old is not None else silence, found.seconds)
    after = sound.score(shot.prompt, shot.seed, count(shot) / shot.fps) if shot.sound else silence
    return np.concatenate([sound.faded(before), after])


def modify(shot: Shot) -> Film:
    """The source in another material, cut to ``seconds`` where that is above 0. Raises BadMediaError and OSError."""
    path, found = _source(shot)
    seconds = min(shot.seconds, found.seconds) if shot.seconds > 0 else found.seconds
    total = max(1, round(seconds * shot.fps))
    old = sound.read(path, seconds) if found.has_sound and shot.sound else None
    track = sound.fit(old, seconds) if old is not None else None
    material, card = Material(shot.prompt, shot.seed, shot.size), card_of(shot, shot.size)
    with Recorder(shot.folder / f"{shot.name}.mp4", shot.size, shot.fps, sound=track, about=about(shot)) as recorder:
        for number, frame in enumerate(frames(path, shot.size, shot.fps, total / shot.fps)):
            result = material.of(frame)
            card.put(result, min(number + 1, total), total)
            recorder.add(result)
    return recorder.film()


class Material:
    """Frames in the prompt's colours, as a mosaic, a poster or a halftone print; with the grain of a film."""

    def __init__(self, prompt: str, seed: int, size: tuple[int, int]) -> None:
        self._palette = art.palette(prompt, seed)
        self._size = size
        self._name = {"mosaic": "mosaic", "glass": "mosaic", "halftone": "halftone"}.get(
            edit.effect(prompt, seed, 0), "poster"
        )
        self._rng = chance("grain", prompt, seed)
        noise = np.frombuffer(self._rng.randbytes((size[0] + 64) * (size[1] + 64)), np.uint8)
        self._noise = (noise // 43).reshape(size[1] + 64, size[0] + 64)  # 0..5
        self._screen = _dots(size) if self._name == "halftone" else _bevel(size)
        self._tables: tuple[Bytes, Bytes, Bytes] | None = None
        works = {"mosaic": self._mosaic, "poster": self._poster, "halftone": self._halftone}
        self._work = works[self._name]

    def of(self, frame: Planes) -> Planes:
        """One frame, worked on. The first one decides what counts as dark and light in all."""
        if self._tables is None:
            self._tables = _tables(frame.y, self._palette, self._name)
        result = self._work(self._dyed(frame, self._tables), frame)
        x, y = self._rng.randrange(64), self._rng.randrange(64)
        np.minimum(result.y, 230, out=result.y)
        result.y[...] += self._noise[y : y + self._size[1], x : x + self._size[0]]
        return result

    def _dyed(self, frame: Planes, tables: tuple[Bytes, Bytes, Bytes]) -> Planes:
        small, own = frame.y[::2, ::2], round(256 * (1 - _STRENGTH))
        u, v = (
            ((np.take(table, small) * np.uint16(256 - own) + old * np.uint16(own)) >> 8).astype(np.uint8)
            for table, old in ((tables[1], frame.u), (tables[2], frame.v))
        )
        return Planes(np.take(tables[0], frame.y), u, v)

    def _mosaic(self, dyed: Planes, frame: Planes) -> Planes:
        """Square stones with lit and shaded rims."""
        side = _stone(self._size)
        few = self._size[0] // side // 2 * 2, self._size[1] // side // 2 * 2
        result = scale(scale(dyed, few, Interpolation.AREA), self._size, Interpolation.POINT)
        bright, dark = self._screen
        y = np.maximum(result.y, dark) - dark
        return Planes(np.minimum(y, 235 - bright) + bright, result.u, result.v)

    def _poster(self, dyed: Planes, frame: Planes) -> Planes:
        """Flat inks and dark lines around things."""
        half = self._size[0] // 4 * 2, self._size[1] // 4 * 2
        calm = scale(scale(frame, half, Interpolation.AREA), self._size).y
        lines = np.zeros_like(calm)
        lines[:-2, :-2] = np.maximum(_apart(calm[2:, :-2], calm[:-2, :-2]), _apart(calm[:-2, 2:], calm[:-2, :-2]))
        lines = np.minimum(np.maximum(lines, 6) - np.uint8(6), 50) * np.uint8(4)
        return Planes(np.maximum(np.maximum(dyed.y, lines) - lines, 16), dyed.u, dyed.v)

    def _halftone(self, dyed: Planes, frame: Planes) -> Planes:
        """Dots of ink on paper, large where it is dark."""
        level = (frame.y.astype(np.int16) - self._screen[0]) * 6 + 128
        return Planes(np.clip(level, 34, 226).astype(np.uint8), dyed.u, dyed.v)


def _tables(y: Bytes, palette: Palette, name: str) -> tuple[Bytes, Bytes, Bytes]:
    """What light becomes: the palette from its darkest to its lightest, in steps for a poster."""
    low, high = (float(value) for value in np.percentile(y, (1, 99)))
    spots = np.clip((np.arange(256) - low) / max(24.0, high - low), 0, 1)
    if name == "poster":
        steps = spots * 4.999
        spots = (np.floor(steps) + np.clip((steps % 1 - 0.8) / 0.2, 0, 1) * 0.8) / 4.8
    colors = [along(palette.ramp, float(spot)) for spot in spots]
    strip = Image.new("RGB", (512, 2))
    strip.putdata([color for color in colors for _ in (0, 1)] * 2)
    dyes = turn(strip)
    light = _STRENGTH * dyes.y[0, ::2] + (1 - _STRENGTH) * np.arange(256)
    return np.clip(np.round(light), 16, 235).astype(np.uint8), dyes.u[0], dyes.v[0]


def _stone(size: tuple[int, int]) -> int:
    return max(6, round(min(size) / 52 / 2) * 2)


def _bevel(size: tuple[int, int]) -> tuple[Bytes, Bytes]:
    """How much lighter and how much darker each pixel of a mosaic is for the rims of its stones."""
    side = _stone(size)
    few = size[0] // side // 2 * 2, size[1] // side // 2 * 2
    x = (np.arange(size[0]) * few[0] / size[0]) % 1 * side
    y = (np.arange(size[1]) * few[1] / size[1]) % 1 * side
    near = np.minimum(x[None, :], y[:, None])
    far = np.minimum((side - x)[None, :], (side - y)[:, None])
    bright = np.where(near < 2, 18, 0)
    dark = np.where(far <= 1.5, 44, np.where(far <= 2.5, 16, 0))
    return bright.astype(np.uint8), dark.astype(np.uint8)


def _dots(size: tuple[int, int]) -> tuple[Bytes, Bytes]:
    """The screen of a print: at each pixel, the light from which on it stays paper."""
    step = max(5.0, min(size) / 92)
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    a, b = (x * 0.866 + y * 0.5) / step, (y * 0.866 - x * 0.5) / step
    wave = (np.cos(2 * np.pi * a) + np.cos(2 * np.pi * b)) / 4 + 0.5
    screen = (30 + 190 * wave).astype(np.uint8)
    return screen, screen


def _apart(first: Bytes, second: Bytes) -> Bytes:
    return np.maximum(first, second) - np.minimum(first, second)


def upscale(path: Path, folder: Path, name: str, width: int, height: int, label: tuple[str, ...] = ()) -> Film:
    """The video at a larger size: each frame sharpened and enlarged by Lanczos; its sound as it is.

    Sound that is AAC is copied, other sound coded anew. Raises BadMediaError and OSError.
    """
    found = _video(path)
    size = max(32, width // 2 * 2), max(32, height // 2 * 2)
    small(*size)
    fps = min(60, max(1, round(found.fps)))
    text = f"upscaled {found.width} x {found.height} > {size[0]} x {size[1]}"
    piece, x, y = tag("  ·  ".join((text, *label)), size, art.palette(text, 0))
    whole = max(2, found.width // 2 * 2), max(2, found.height // 2 * 2)
    facts = {"title": text, "comment": ", ".join(label)}
    with Recorder(folder / f"{name}.mp4", size, fps, sound=_other(path, found), about=facts) as recorder:
        if found.has_sound and not recorder.has_sound:
            recorder.copy(path)
        for frame in _enlarged(path, whole, size, fps):
            lay(frame, piece, x, y)
            recorder.add(frame)
    return recorder.film()


def _other(path: Path, found: Probe) -> sound.Sound | None:
    """The sound, where it cannot be copied as it is."""
    if not found.has_sound:
        return None
    with opened(path) as container:
        stream = voices(container)
        if stream is not None and stream.codec_context.name == "aac":
            return None
    return sound.read(path, found.seconds)


def _enlarged(path: Path, whole: tuple[int, int], size: tuple[int, int], fps: int) -> Iterator[Planes]:
    """Frames at the video's own size, sharpened there, where it costs least, and enlarged."""
    for frame in frames(path, _part(whole, size), fps, MOST_SECONDS["video"]):
        sharp = Planes(_sharper(frame.y), frame.u, frame.v)
        yield scale(sharp, size, Interpolation.LANCZOS)


def _part(whole: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The video's size, cut to the proportions of the result."""
    factor = max(size[0] / whole[0], size[1] / whole[1])
    return max(2, round(size[0] / factor / 2) * 2), max(2, round(size[1] / factor / 2) * 2)


def _sharper(y: Bytes) -> Bytes:
    """An unsharp mask over the four neighbours."""
    wide = y.astype(np.int16)
    middle = wide[1:-1, 1:-1] * 4 - wide[:-2, 1:-1] - wide[2:, 1:-1] - wide[1:-1, :-2] - wide[1:-1, 2:]
    wide[1:-1, 1:-1] += (middle * round(_SHARP * 16)) >> 6
    return np.clip(wide, 16, 235).astype(np.uint8)

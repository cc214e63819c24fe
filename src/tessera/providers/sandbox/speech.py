"""A portrait that speaks: its mouth and its head follow the loudness of a sound.

Where the mouth is, is guessed from the colours of skin; without any, it is a little below the middle. The lower part of
the face moves down while the mouth is open, and the mouth itself is drawn.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from tessera.providers.sandbox import edit, sound
from tessera.providers.sandbox.canvas import chance
from tessera.providers.sandbox.film import about, card_of, picture, stage
from tessera.providers.sandbox.motion import Thing
from tessera.providers.sandbox.planes import Bytes, Planes, Still, scale, turn
from tessera.providers.sandbox.probe import MOST_SECONDS
from tessera.providers.sandbox.recorder import Recorder
from tessera.providers.sandbox.reel import Film, Shot
from tessera.providers.sandbox.trouble import BadMediaError

_POSES = 14
_FINE = 4


def talk(shot: Shot) -> Film:
    """The portrait ``first`` speaking ``audio``, cut to ``seconds`` where that is above 0.

    Raises BadPictureError, BadMediaError and OSError.
    """
    if shot.first is None or shot.audio is None:
        raise BadMediaError("A portrait and a sound are needed to make one speak")
    voice = sound.read(shot.audio, shot.seconds if shot.seconds > 0 else MOST_SECONDS["video"])
    if voice is None:
        raise BadMediaError("There is no sound in the file")
    total = max(1, round(len(voice) / sound.RATE * shot.fps))
    size = stage(shot.size)
    face = Face(turn(edit.fit(picture(shot.first), size)), sound.envelope(voice, shot.fps, total), shot)
    card, track = card_of(shot, size), sound.fit(voice, total / shot.fps)
    with Recorder(shot.folder / f"{shot.name}.mp4", shot.size, shot.fps, sound=track, about=about(shot)) as recorder:
        for number in range(total):
            frame = face.at(number)
            card.put(frame, number + 1, total)
            recorder.add(scale(frame, shot.size))
    return recorder.film()


@dataclass(frozen=True, slots=True)
class Mouth:
    """The middle of a mouth and its width, in pixels."""

    x: float
    y: float
    width: float


def find(portrait: Planes) -> Mouth:
    """Where the mouth of a portrait may be."""
    wide, tall = portrait.size
    skin = _skin(portrait)
    if not 0.02 < float(skin.mean()) < 0.7:
        return Mouth(wide * 0.5, tall * 0.6, min(wide, tall) * 0.17)
    rows, columns = np.nonzero(skin)
    top, left, right = (float(np.percentile(values, part)) for values, part in ((rows, 4), (columns, 8), (columns, 92)))
    upper = rows < top + (right - left) * 1.25  # the neck and the hands are further down
    middle = float(np.median(columns[upper]))
    across = max(8.0, float(np.percentile(columns[upper], 90) - np.percentile(columns[upper], 10)))
    step = wide / skin.shape[1]
    y = min(0.85 * tall, (top + across * 0.92) * step)
    return Mouth(middle * step, y, min(across * step * 0.42, wide * 0.3))


def _skin(portrait: Planes) -> npt.NDArray[np.bool_]:
    """Which pixels have the colour of skin, on a coarse grid."""
    step = max(1, portrait.size[0] // 2 // 160)
    u, v, y = portrait.u[::step, ::step], portrait.v[::step, ::step], portrait.y[:: step * 2, :: step * 2]
    y = y[: u.shape[0], : u.shape[1]]
    return (u > 76) & (u < 126) & (v > 134) & (v < 176) & (y > 60)


class Face:
    """A portrait and how wide it opens its mouth in each frame."""

    def __init__(self, portrait: Planes, loud: npt.NDArray[np.float64], shot: Shot) -> None:
        self._still, self._size = Still(portrait), portrait.size
        self._mouth = find(portrait)
        self._open, self._calm = _eased(loud, 0.7, 0.45), _eased(loud, 0.12, 0.08)
        self._phase, self._fps = chance("face", shot.prompt, shot.seed).random() * 6, shot.fps
        self._lips = Thing(self._draw, _POSES)

    def at(self, number: int) -> Planes:
        """Frame ``number``, from 0."""
        left, top, right, bottom = self._box(number)
        frame = self._still.seen((left, top, right, bottom), self._size)
        factor = self._size[0] / (right - left)
        place = (self._mouth.x - left) * factor, (self._mouth.y - top) * factor
        wide, gape = self._mouth.width * factor, float(self._open[number])
        drop = gape * wide * 0.42
        if drop >= 1:
            self._lower(frame, place, wide, drop)
            pose = (0.5 + round(gape * (_POSES - 1))) / _POSES
            self._lips.put(frame, (place[0], place[1] + drop * 0.5), pose, min(1.0, gape * 4))
        return frame

    def _box(self, number: int) -> tuple[float, float, float, float]:
        """The head comes a little nearer with the voice, and is never quite still."""
        time, (wide, tall) = number / self._fps + self._phase, self._size
        part = 0.965 - 0.03 * float(self._calm[number])
        x = (1 - part) * (0.5 + 0.4 * np.sin(time * 0.9)) * wide
        y = (1 - part) * (0.5 + 0.35 * np.sin(time * 1.3 + 1) - 0.12 * float(self._calm[number])) * tall
        return x, y, x + part * wide, y + part * tall

    def _lower(self, frame: Planes, place: tuple[float, float], wide: float, drop: float) -> None:
        """Move what is below the mouth down: most at the mouth, not at all at the edge of the face."""
        for plane, part in zip(frame, (1, 2, 2), strict=True):
            _sink(plane, (place[0] / part, place[1] / part), wide / part, drop / part)

    def _draw(self, pose: float) -> Image.Image:
        """The mouth at four times its size, from all but closed to wide open."""
        gape = pose * _POSES / (_POSES - 1)
        wide = self._mouth.width * _FINE * (1 - 0.14 * gape)
        tall = max(2.0 * _FINE, self._mouth.width * _FINE * 0.5 * gape)
        image = Image.new("RGBA", (round(wide * 1.3), round(tall + wide * 0.34)), (120, 44, 46, 0))
        draw = ImageDraw.Draw(image)
        x, y = image.width / 2, image.height / 2
        lip = wide * 0.06
        draw.ellipse((x - wide / 2, y - tall / 2 - lip, x + wide / 2, y + tall / 2 + lip), fill=(150, 62, 62, 235))
        inner = (x - wide * 0.45, y - tall * 0.5, x + wide * 0.45, y + tall * 0.5)
        draw.ellipse(inner, fill=(48, 12, 18, 255))
        if gape > 0.3:
            _within(image, inner, (wide, tall))
        return image.filter(ImageFilter.GaussianBlur(wide * 0.008 + 1))


def _within(image: Image.Image, inner: tuple[float, float, float, float], size: tuple[float, float]) -> None:
    """Teeth above and the tongue below, inside the lips."""
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).ellipse(inner, fill=255)
    layer = image.copy()
    draw = ImageDraw.Draw(layer)
    x, wide, tall = image.width / 2, size[0], size[1]
    draw.ellipse(
        (x - wide * 0.27, inner[3] - tall * 0.34, x + wide * 0.27, inner[3] + tall * 0.4), fill=(178, 74, 80, 255)
    )
    draw.rectangle((x - wide * 0.31, inner[1], x + wide * 0.31, inner[1] + tall * 0.2), fill=(240, 236, 228, 255))
    image.paste(layer, (0, 0), mask)


def _sink(plane: Bytes, place: tuple[float, float], wide: float, drop: float) -> None:
    """Move what lies below a place down, by at most ``drop`` pixels."""
    top, left = max(0, round(place[1])), max(0, round(place[0] - wide * 1.1))
    bottom, right = (
        min(plane.shape[0], round(place[1] + wide * 1.25)),
        min(plane.shape[1], round(place[0] + wide * 1.1)),
    )
    if bottom - top < 2 or right - left < 2:
        return
    y = np.arange(bottom - top, dtype=np.float32)[:, None]
    x = (np.arange(left, right, dtype=np.float32)[None, :] - place[0]) / (wide * 1.1)
    reach = drop * np.cos(np.clip(x, -1, 1) * (np.pi / 2)) ** 2 * (1 - y / (bottom - top)) ** 1.2
    source = np.clip(y - reach, 0, bottom - top - 1)
    low = source.astype(np.int32)
    part = source - low
    region = plane[top:bottom, left:right]
    above = np.take_along_axis(region, low, axis=0)
    below = np.take_along_axis(region, np.minimum(low + 1, bottom - top - 1), axis=0)
    region[...] = np.round(above * (1 - part) + below * part).astype(np.uint8)


def _eased(loud: npt.NDArray[np.float64], rise: float, fall: float) -> npt.NDArray[np.float64]:
    """The loudness without jitter: quick to open, slower to close."""
    result, held = np.zeros_like(loud), 0.0
    for index, value in enumerate(loud):
        held += (value - held) * (rise if value > held else fall)
        result[index] = held
    return result

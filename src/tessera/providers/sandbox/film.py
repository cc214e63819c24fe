"""Films: a camera over the sandbox's pictures, things in the wind, a card that says what it is, and a quiet track.

A film that is given its first picture begins with exactly that, and one that is given its last ends with exactly that:
there the card and the weather fade in and out. Frames above 2 megapixels are drawn at half the size and enlarged.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from tessera.providers.sandbox import art, edit, sound
from tessera.providers.sandbox.canvas import chance
from tessera.providers.sandbox.footage import frame_at
from tessera.providers.sandbox.motion import Camera, Weather, ease, push, travel
from tessera.providers.sandbox.planes import Patch, Planes, Still, Words, image, lay, mix, patch, scale, turn
from tessera.providers.sandbox.recorder import Recorder
from tessera.providers.sandbox.reel import Film, Shot
from tessera.providers.sandbox.titles import Card
from tessera.providers.sandbox.trouble import BadMediaError

_STAGE = 1920 * 1088
"""Pixels of a frame that are drawn one by one."""

_CANVAS = 1_150_000
"""Pixels of a background that are painted; a larger one is an enlargement."""

_FADE = 0.4
"""Seconds in which the card comes and goes beside a given picture."""

_MOST_REFERENCES = 12

Take = Callable[[float], Planes]
"""What the camera sees at 0..1 of the way, fresh for every call."""


def shoot(shot: Shot) -> Film:
    """Make the film. Raises BadPictureError and OSError."""
    total = count(shot)
    track = sound.score(shot.prompt, shot.seed, total / shot.fps) if shot.sound else None
    with Recorder(shot.folder / f"{shot.name}.mp4", shot.size, shot.fps, sound=track, about=about(shot)) as recorder:
        for frame in scene(shot, total):
            recorder.add(frame)
    return recorder.film()


def count(shot: Shot) -> int:
    """The frames of what is new in the shot; one at least."""
    return max(1, round(shot.seconds * shot.fps))


def about(shot: Shot) -> dict[str, str]:
    """What the file says about itself."""
    return {"title": shot.prompt[:1000].replace("\0", ""), "comment": f"seed {shot.seed}. " + ", ".join(shot.label)}


def scene(shot: Shot, total: int, begin: Planes | None = None) -> Iterator[Planes]:
    """All frames of a shot. ``begin``, in place of ``first``, is a frame that is there already and is followed.

    Raises BadPictureError.
    """
    size = stage(shot.size)
    take, props = _take(shot, size, begin), Props(shot.references, shot, size)
    weather, card = Weather(shot.prompt, shot.seed, size, shot.seconds), card_of(shot, size)
    given, before = begin is not None or shot.first is not None, int(begin is not None)
    for number in range(before, total + before):
        frame = take(number / max(1, total + before - 1))
        opacity = _presence(number, total + before, shot.fps, begins=given, ends=shot.last is not None)
        weather.put(frame, number / shot.fps, opacity)
        props.put(frame, number / shot.fps, opacity)
        card.put(frame, number + 1 - before, total, opacity)
        yield scale(frame, shot.size)


def stage(size: tuple[int, int]) -> tuple[int, int]:
    """The size at which frames are drawn."""
    if size[0] * size[1] <= _STAGE:
        return size
    return size[0] // 4 * 2, size[1] // 4 * 2


def card_of(shot: Shot, size: tuple[int, int]) -> Card:
    return Card(shot.prompt, (*shot.label, *_seed(shot)), size, art.palette(shot.prompt, shot.seed))


def _seed(shot: Shot) -> tuple[str, ...]:
    text = f"seed {shot.seed}"
    return () if text in shot.label else (text,)


def _presence(number: int, total: int, fps: int, *, begins: bool, ends: bool) -> float:
    """How visible our own additions are: not at all on the very frames that were given."""
    edge = max(1.0, min(_FADE * fps, total / 4))
    come = ease(number / edge) if begins else 1.0
    go = ease((total - 1 - number) / edge) if ends else 1.0
    return min(come, go)


def _take(shot: Shot, size: tuple[int, int], begin: Planes | None) -> Take:
    rng = chance("camera", shot.prompt, shot.seed)
    first = scale(begin, size) if begin is not None else _given(shot.first, size)
    last = _given(shot.last, size)
    if first is None and last is None:
        return over(Still(painted(shot.prompt, shot.seed, 0, size)), travel(rng), size)
    if last is None and begin is None:
        assert first is not None
        return over(Still(first), push(rng), size)
    opening, closing = first or painted(shot.prompt, shot.seed, 0, size), last
    one = over(Still(opening), push(rng), size)
    if closing is None:  # an extension: on into a picture of its prompt
        return cross(one, over(Still(painted(shot.prompt, shot.seed, 0, size)), travel(rng), size), (0.06, 0.36))
    back = push(rng)
    return cross(one, over(Still(closing), Camera(back.end, back.begin), size), (0.3, 0.7))


def _given(path: Path | None, size: tuple[int, int]) -> Planes | None:
    return turn(edit.fit(picture(path), size)) if path is not None else None


def picture(path: Path) -> Image.Image:
    """A picture file, or the first frame of a video. Raises BadPictureError."""
    try:
        return edit.load(path)
    except edit.BadPictureError as error:
        try:
            return image(frame_at(path, 0.0))
        except BadMediaError:
            raise error from None


def painted(prompt: str, seed: int, index: int, size: tuple[int, int]) -> Planes:
    """The sandbox's picture of a prompt as a background: a little larger than the frame where that is cheap."""
    factor = min(1.06, (_CANVAS / (size[0] * size[1])) ** 0.5)
    canvas = tuple(max(64, round(side * factor / 16) * 16) for side in size)
    drawn = art.draw(prompt, seed, index, (canvas[0], canvas[1]))
    whole = tuple(max(2, round(side * max(1.0, factor) / 2) * 2) for side in size)
    return turn(ImageOps.fit(drawn, (whole[0], whole[1]), Image.Resampling.BICUBIC))


def over(still: Still, camera: Camera, size: tuple[int, int]) -> Take:
    """A camera over a picture."""
    return lambda t: still.seen(camera.box(still.size, t), size)


def cross(first: Take, second: Take, span: tuple[float, float]) -> Take:
    """From one take to another, stone by stone, between two points of the way."""
    tiles: dict[tuple[int, int], Words] = {}

    def seen(t: float) -> Planes:
        if t <= span[0]:
            return first(t)
        if t >= span[1]:
            return second(t)
        one, two = first(t), second(t)
        if one.size not in tiles:
            tiles[one.size] = _order(one.size)
        return mix(one, two, _mask(tiles[one.size], one.size, (t - span[0]) / (span[1] - span[0])))

    return seen


def _order(size: tuple[int, int]) -> Words:
    """When each stone of a mosaic turns, 0..1000: a wave from the lower left, ragged at its front."""
    side = _side(size)
    columns, rows = -(-size[0] // side), -(-size[1] // side)
    rng = chance("stones", *size)
    ragged = np.array([[rng.random() for _ in range(columns)] for _ in range(rows)])
    x, y = np.arange(columns)[None, :] / columns, 1 - np.arange(rows)[:, None] / rows
    return np.round(1000 * (0.7 * (0.75 * x + 0.25 * y) + 0.3 * ragged)).astype(np.uint16)


def _side(size: tuple[int, int]) -> int:
    return max(4, round(min(size) / 22 / 2) * 2)


def _mask(order: Words, size: tuple[int, int], part: float) -> Words:
    """Which stones have turned, 0..256 a pixel; a stone takes a while."""
    turned = np.clip((part * 1.25 - order / 1000) / 0.25, 0, 1) * 256
    side = _side(size)
    large = np.repeat(np.repeat(np.round(turned).astype(np.uint16), side, axis=0), side, axis=1)
    return large[: size[1], : size[0]]


class Props:
    """Pictures that were given as references: prints that slide in one after the other and hang in the air."""

    def __init__(self, paths: tuple[Path, ...], shot: Shot, size: tuple[int, int]) -> None:
        self._size = size
        chosen = paths[:_MOST_REFERENCES]
        rng = chance("prints", shot.prompt, shot.seed)
        self._prints = [_print(picture(path), _height(len(chosen), size), rng.uniform(-4, 4)) for path in chosen]
        self._places = self._arranged()
        self._gap = min(0.45, 0.3 * shot.seconds / max(1, len(chosen)))

    def put(self, frame: Planes, time: float, opacity: float) -> None:
        """Lay them over the frame at a time in seconds."""
        for index, (x, y) in enumerate(self._places):
            come = ease((time - 0.15 - index * self._gap) / 0.7)
            if come > 0:
                drop = (1 - come) * self._size[1] * 0.5
                sway = np.sin(time * 1.3 + index * 1.9) * self._size[1] * 0.006
                lay(frame, self._prints[index], round(x), round(y - drop + sway), opacity * come)

    def _arranged(self) -> list[tuple[float, float]]:
        """The corners of the prints, from the left, in rows below the upper edge."""
        margin = min(self._size) * 0.05
        places, x, y, row = [], margin, margin, 0
        for piece in self._prints:
            if x + piece.size[0] > self._size[0] - margin and x > margin:
                x, y, row = margin, y + row * 1.02, 0
            places.append((x, y))
            x, row = x + piece.size[0] + margin * 0.25, max(row, piece.size[1])
        return places


def _height(number: int, size: tuple[int, int]) -> int:
    share = 0.42 if number <= 2 else 0.34 if number <= 4 else 0.24
    return max(24, round(min(size) * share))


def _print(given: Image.Image, height: int, angle: float) -> Patch:
    """A photograph on white paper with a shadow, a little askew."""
    ratio = min(1.6, max(0.6, given.width / given.height))
    inner = edit.fit(given, (max(16, round(height * 0.88 * ratio)), round(height * 0.88)))
    rim = max(2, round(height * 0.045))
    paper = Image.new("RGBA", (inner.width + 2 * rim, inner.height + 2 * rim), (250, 249, 245, 255))
    paper.paste(inner, (rim, rim))
    room = round(height * 0.1)
    sheet = Image.new("RGBA", (paper.width + 2 * room, paper.height + 2 * room), (250, 249, 245, 0))
    sheet.paste(paper, (room, room))
    sheet = sheet.rotate(angle, Image.Resampling.BICUBIC)
    dark = Image.new("RGBA", sheet.size, (8, 9, 14, 0))
    dark.putalpha(sheet.getchannel("A").filter(ImageFilter.GaussianBlur(height * 0.03)).point(lambda v: v * 3 // 5))
    return patch(Image.alpha_composite(dark, sheet))

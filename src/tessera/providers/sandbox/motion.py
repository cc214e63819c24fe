"""What moves in a film: the camera, and small things that drift through the picture as they suit it.

Everything is a function of time, so that any frame can be drawn alone. Things are drawn at four times their size and
kept at four by four fractions of a pixel, which makes slow ones glide.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tessera.providers.sandbox import art
from tessera.providers.sandbox.canvas import chance
from tessera.providers.sandbox.palette import RGB, Palette, mix, shade, words
from tessera.providers.sandbox.planes import Box, Bytes, Patch, Planes, lay, patch

Draw = Callable[[float], Image.Image]
"""Draws a thing in one of its poses, 0..1, at four times its size, in RGBA."""

Chosen = Callable[[Random, float], Any]
"""A field of a mover, from chance and from its depth (far is small)."""

_FINE = 4


def ease(t: float) -> float:
    """0..1 to 0..1, slow at both ends."""
    t = min(1.0, max(0.0, t))
    return t * t * (3 - 2 * t)


@dataclass(frozen=True, slots=True)
class Camera:
    """A move over a picture: centre (0..1 of it) and the share of it that is seen, from one to the other."""

    begin: tuple[float, float, float]
    end: tuple[float, float, float]

    def box(self, size: tuple[int, int], t: float) -> Box:
        """What is seen at 0..1 of the way, always inside the picture."""
        pace = 0.5 * t + 0.5 * ease(t)  # never quite still, and no jerk at the ends
        x, y, part = (a + (b - a) * pace for a, b in zip(self.begin, self.end, strict=True))
        wide, tall = size[0] * part, size[1] * part
        left = min(size[0] - wide, max(0.0, x * size[0] - wide / 2))
        top = min(size[1] - tall, max(0.0, y * size[1] - tall / 2))
        return left, top, left + wide, top + tall


def travel(rng: Random, part: float = 0.84) -> Camera:
    """A move between the whole picture and a part of it, in or out."""
    whole = (0.5, 0.5, 1.0)
    near = (rng.choice((0.4, 0.6)) + rng.uniform(-0.04, 0.04), rng.uniform(0.42, 0.5), part)
    return Camera(whole, near) if rng.random() < 0.6 else Camera(near, whole)


def push(rng: Random, part: float = 0.86) -> Camera:
    """Into a picture, from the whole of it."""
    return Camera((0.5, 0.5, 1.0), (rng.uniform(0.42, 0.58), rng.uniform(0.42, 0.5), part))


class Thing:
    """Something small in ``poses`` poses."""

    def __init__(self, draw: Draw, poses: int) -> None:
        self._draw, self._poses = draw, poses
        self._kept: dict[tuple[int, int, int], Patch] = {}

    def put(self, frame: Planes, place: tuple[float, float], pose: float, opacity: float) -> None:
        """Lay it over the frame, its middle at the place; ``pose`` goes round."""
        index = int(pose * self._poses) % self._poses
        fine = round(place[0] * _FINE), round(place[1] * _FINE)
        piece = self._patch(index, fine[0] % _FINE, fine[1] % _FINE)
        lay(frame, piece, fine[0] // _FINE - piece.size[0] // 2, fine[1] // _FINE - piece.size[1] // 2, opacity)

    def _patch(self, pose: int, right: int, down: int) -> Patch:
        key = pose, right, down
        if key not in self._kept:
            large = self._draw(pose / self._poses)
            wide, tall = (-(-(side + _FINE) // (2 * _FINE)) * 2 * _FINE for side in large.size)
            room = Image.new("RGBA", (wide, tall))
            room.paste(large, (right, down))
            self._kept[key] = patch(room.reduce(_FINE))
        return self._kept[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """A thing on its way: start and speed in pixels (and a second), a sway, a turn, a twinkle."""

    thing: Thing
    start: tuple[float, float]
    speed: tuple[float, float]
    sway: tuple[float, float] = (0.0, 0.0)
    pace: float = 0.3
    phase: float = 0.0
    spin: float = 0.0
    opacity: float = 1.0
    twinkle: float = 0.0
    wrap: float = 60.0

    def put(self, frame: Planes, time: float, opacity: float) -> None:
        """Draw it at a time in seconds; what leaves the frame comes back on the other side."""
        wave = math.sin(math.tau * (self.pace * time + self.phase))
        swing = math.cos(math.tau * (self.pace * time + self.phase))
        wide, tall = frame.size[0] + 2 * self.wrap, frame.size[1] + 2 * self.wrap
        x = (self.start[0] + self.speed[0] * time + self.wrap) % wide - self.wrap + self.sway[0] * wave
        y = (self.start[1] + self.speed[1] * time + self.wrap) % tall - self.wrap + self.sway[1] * swing
        strength = self.opacity * (1 - self.twinkle * (0.5 + 0.5 * wave))
        self.thing.put(frame, (x, y), self.spin * time + self.phase, strength * opacity)


class Weather:
    """All that drifts through one film, chosen by its prompt and its palette; and a light that passes over it."""

    def __init__(self, prompt: str, seed: int, size: tuple[int, int], seconds: float) -> None:
        self._palette = art.palette(prompt, seed)
        self._size, self._seconds = size, max(0.1, seconds)
        self._rng = chance("weather", prompt, seed)
        self._one = math.sqrt(size[0] * size[1]) / 1000
        self._glare = _glare(size)
        self._movers = [mover for kind in _kinds(prompt, seed, self._palette) for mover in self._of(kind)]

    def _of(self, kind: str) -> list[Mover]:
        made: list[Mover] = getattr(self, kind)()
        return made

    def put(self, frame: Planes, time: float, opacity: float = 1.0) -> None:
        """Everything at a time in seconds."""
        if opacity >= 1:
            self._shine(frame, min(1.0, time / self._seconds))  # an extension's last frame is a little late
        for mover in self._movers:
            mover.put(frame, time, opacity)

    def _shine(self, frame: Planes, t: float) -> None:
        wide = self._size[0]
        left = round((1 - t) * (self._glare.shape[1] - wide))
        bright = frame.y
        np.minimum(bright, 219, out=bright)
        bright += self._glare[:, left : left + wide]

    def _at(self) -> tuple[float, float]:
        return self._rng.uniform(0, self._size[0]), self._rng.uniform(0, self._size[1])

    def _several(
        self, count: int, draw: Callable[[float], Draw], sizes: tuple[float, ...], poses: int, **fields: Chosen
    ) -> list[Mover]:
        things = [Thing(draw(size * self._one), poses) for size in sizes]
        return [self._one_of(things, index, **fields) for index in range(count)]

    def _one_of(self, things: list[Thing], index: int, **fields: Chosen) -> Mover:
        """A mover whose given fields are functions of chance and of its depth, 0 (far) to 1."""
        depth = (index % len(things) + 1) / len(things)
        mover = Mover(thing=things[index % len(things)], start=self._at(), speed=(0.0, 0.0), phase=self._rng.random())
        return replace(mover, **{name: make(self._rng, depth * self._one) for name, make in fields.items()})

    def birds(self) -> list[Mover]:
        color = mix(self._palette.land[0], (0, 0, 0), 0.3)
        flock = Thing(lambda pose: _bird(11 * self._one, color, pose), 8)
        x, y = self._rng.uniform(-0.05, 0.3) * self._size[0], self._rng.uniform(0.16, 0.3) * self._size[1]
        sides = ((0, 0), (-26, -14), (-30, 13), (-58, -25), (-55, 4), (-84, -12))
        return [
            Mover(
                thing=flock,
                start=(x + dx * self._one * 1.3, y + dy * self._one * 1.2),
                speed=(62 * self._one, -4 * self._one),
                sway=(2 * self._one, 4 * self._one),
                pace=0.31,
                phase=self._rng.random(),
                spin=1.7,
                opacity=0.9,
            )
            for dx, dy in sides
        ]

    def balloon(self) -> list[Mover]:
        radius = 38 * self._one
        thing = Thing(lambda pose: _balloon(radius, self._palette), 1)
        start = self._rng.uniform(0.62, 0.72) * self._size[0], self._rng.uniform(0.3, 0.36) * self._size[1]
        speed = (-24 * self._one, -5 * self._one)
        return [Mover(thing=thing, start=start, speed=speed, sway=(3 * self._one, 6 * self._one), wrap=radius * 3)]

    def motes(self) -> list[Mover]:
        glow = self._palette.glow
        return self._several(
            12,
            lambda size: lambda pose: _soft(size, glow, 0.5),
            (3.0, 5.0, 9.0),
            1,
            speed=lambda rng, d: (rng.uniform(6, 22) * d, rng.uniform(-26, -8) * d),
            sway=lambda rng, d: (14 * d, 8 * d),
            twinkle=lambda rng, d: rng.uniform(0.3, 0.9),
            opacity=lambda rng, d: 0.8,
        )

    def snow(self) -> list[Mover]:
        return self._several(
            34,
            lambda size: lambda pose: _soft(size, (255, 255, 255), 1.0),
            (3.0, 4.4, 6.5),
            1,
            speed=lambda rng, d: (rng.uniform(-26, 6) * d, rng.uniform(60, 110) * d),
            sway=lambda rng, d: (rng.uniform(8, 22) * d, 0.0),
            opacity=lambda rng, d: 0.9,
        )

    def embers(self) -> list[Mover]:
        warm = mix(self._palette.warm, (255, 240, 190), 0.3)
        return self._several(
            26,
            lambda size: lambda pose: _soft(size, warm, 1.0),
            (2.6, 3.8, 5.6),
            1,
            speed=lambda rng, d: (rng.uniform(-10, 30) * d, rng.uniform(-130, -60) * d),
            sway=lambda rng, d: (rng.uniform(6, 18) * d, 0.0),
            twinkle=lambda rng, d: rng.uniform(0.4, 1.0),
        )

    def leaves(self) -> list[Mover]:
        colors = self._palette.accents
        return self._several(
            15,
            lambda size: lambda pose: _leaf(size, colors[round(size) % 3], pose),
            (8.0, 11.0, 14.0),
            16,
            speed=lambda rng, d: (rng.uniform(-64, -26) * d, rng.uniform(44, 90) * d),
            sway=lambda rng, d: (rng.uniform(14, 34) * d, 6 * d),
            spin=lambda rng, d: rng.choice((-1, 1)) * rng.uniform(0.18, 0.5),
        )

    def stones(self) -> list[Mover]:
        colors = (*self._palette.accents, (244, 244, 240))
        return self._several(
            13,
            lambda size: lambda pose: _stone(size, colors[round(size * 1.7) % 4], pose),
            (11.0, 15.0, 21.0, 29.0),
            24,
            speed=lambda rng, d: (rng.uniform(18, 46) * d, rng.uniform(-52, -16) * d),
            sway=lambda rng, d: (8 * d, 8 * d),
            spin=lambda rng, d: rng.choice((-1, 1)) * rng.uniform(0.14, 0.34),
        )

    def stars(self) -> list[Mover]:
        glow = mix(self._palette.glow, (255, 255, 255), 0.5)
        return self._several(
            16,
            lambda size: lambda pose: _sparkle(size, glow),
            (6.0, 9.0, 13.0),
            1,
            start=lambda rng, d: (rng.uniform(0, self._size[0]), rng.uniform(0, self._size[1] * 0.62)),
            speed=lambda rng, d: (0.0, 0.0),
            pace=lambda rng, d: rng.uniform(0.2, 0.6),
            twinkle=lambda rng, d: 1.0,
        )

    def comets(self) -> list[Mover]:
        glow, accent = self._palette.glow, self._palette.accents[1]
        return self._several(
            3,
            lambda size: lambda pose: _comet(size, glow, accent),
            (110.0, 150.0),
            1,
            start=lambda rng, d: (rng.uniform(-0.4, 1) * self._size[0], rng.uniform(0.02, 0.4) * self._size[1]),
            speed=lambda rng, d: (rng.uniform(250, 340) * d, rng.uniform(250, 340) * d * 0.36),
            wrap=lambda rng, d: self._size[0] * 0.4,
        )


def _kinds(prompt: str, seed: int, palette: Palette) -> tuple[str, ...]:
    style, found = art.style(prompt, seed, 0), words(prompt)
    if style == "orbits":
        return "stars", "comets"
    if style in ("mosaic", "truchet", "glass"):
        return "motes", "stones"
    if style == "ribbons":
        return ("motes", "stones")
    for kind, (name, keys) in _SEASONS.items():
        if palette.name == name or found.has(keys):
            return kind, "birds"
    return ("stars", "comets") if palette.night else ("motes", "balloon", "birds")


_SEASONS = {
    "snow": ("winter", "snow winter ice blizzard 雪 冰 冬"),
    "embers": ("fire", "fire lava volcano ember flames dragon 火 龙"),
    "leaves": ("autumn", "leaf leaves petals blossom cherry sakura autumn 花 樱 秋 枫"),
}


def _glare(size: tuple[int, int]) -> Bytes:
    """A soft slanting beam with dark on both sides, to be moved over a frame from one to the other. Adds up to 16."""
    wide, tall = size
    lean = (np.arange(tall) * 0.45).astype(np.int32)
    span = wide + int(tall * 0.45)
    place = np.arange(3 * span + span, dtype=np.float32) / span
    beam = 15 * np.exp(-(((place - 1.42) / 0.17) ** 2)) + 8 * np.exp(-(((place - 1.74) / 0.08) ** 2))
    sheared = beam.astype(np.float32)[np.arange(3 * span, dtype=np.int32)[None, :] + lean[:, None]]
    sheared += _DITHER[np.arange(tall)[:, None] % 8, np.arange(3 * span)[None, :] % 8]
    return np.asarray(sheared, np.uint8)


_DITHER = ((np.arange(8)[:, None] * 5 + np.arange(8)[None, :] * 3) % 8 / 8 * 0.9).astype(np.float32)
"""Less than one step of light, in a pattern: a slow gradient has no visible bands."""


# How the things look.


def _blank(wide: float, tall: float) -> Image.Image:
    return Image.new("RGBA", (max(8, math.ceil(wide * _FINE)), max(8, math.ceil(tall * _FINE))))


def _soft(radius: float, color: RGB, strength: float) -> Image.Image:
    """A round glow."""
    side = max(12, math.ceil(radius * 2 * _FINE))
    spot = Image.radial_gradient("L").point(lambda v: round(255 * strength * max(0.0, 1 - v / 178) ** 1.4))
    result = Image.new("RGBA", (side, side), color)
    result.putalpha(spot.resize((side, side), Image.Resampling.BICUBIC))
    return result


def _sparkle(radius: float, color: RGB) -> Image.Image:
    """A star of four points."""
    image = _soft(radius, color, 0.45)
    draw, c = ImageDraw.Draw(image), image.width / 2
    far, near = c * 0.96, c * 0.09
    points = [_turned(c, far if corner % 2 == 0 else near, 0, corner * math.pi / 4) for corner in range(8)]
    draw.polygon(points, fill=(*color, 235))
    return image


def _bird(span: float, color: RGB, pose: float) -> Image.Image:
    """Two wings, up and down."""
    image = _blank(span * 2.4, span * 1.6)
    draw, c = ImageDraw.Draw(image), image.width / 2
    wide, base = span * _FINE, image.height * 0.55
    lift = math.sin(math.tau * pose) * span * 0.42 * _FINE
    for side in (-1, 1):
        tip = (c + side * wide, base - lift * 0.5)
        knee = (c + side * wide * 0.5, base - span * 0.2 * _FINE - lift)
        draw.line([(c, base), knee, tip], fill=(*color, 255), width=round(span * 0.13 * _FINE), joint="curve")
    body = span * 0.13 * _FINE
    draw.ellipse((c - body, base - body * 0.8, c + body, base + body * 1.2), fill=(*color, 255))
    return image


def _leaf(length: float, color: RGB, pose: float) -> Image.Image:
    """A pointed oval that turns and tumbles."""
    side = length * 2.2
    image = _blank(side, side)
    draw, c = ImageDraw.Draw(image), image.width / 2
    long = length * _FINE * 0.9
    thin = long * (0.16 + 0.34 * abs(math.cos(math.tau * pose)))
    rim = [(long * math.cos(a), thin * math.sin(a) * (1 - 0.35 * math.cos(a))) for a in _angles(28)]
    draw.polygon([_turned(c, x, y, math.tau * pose) for x, y in rim], fill=(*color, 240))
    ends = [_turned(c, x, 0, math.tau * pose) for x in (-long, long * 0.7)]
    draw.line(ends, fill=(*shade(color, -0.12), 220), width=max(2, round(long * 0.06)))
    return image


def _stone(side: float, color: RGB, pose: float) -> Image.Image:
    """A tessera that turns around two axes, lit from above."""
    image = _blank(side * 1.7, side * 1.7)
    draw, c = ImageDraw.Draw(image), image.width / 2
    half = side * _FINE / 2
    flip = math.cos(math.tau * pose * 2)
    corners = [(half * x, half * y * (0.25 + 0.75 * abs(flip))) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    face = [_turned(c, x, y, math.tau * pose) for x, y in corners]
    draw.polygon([(x + half * 0.09, y + half * 0.13) for x, y in face], fill=(*shade(color, -0.28), 255))
    draw.polygon(face, fill=(*shade(color, 0.1 * flip), 255))
    draw.line([face[0], face[1]], fill=(*shade(color, 0.18), 255), width=max(2, round(half * 0.1)))
    return image


def _comet(length: float, head: RGB, tail: RGB) -> Image.Image:
    """A head with a long fading tail, falling to the right."""
    image = _blank(length * 1.06, length * 0.45)
    draw = ImageDraw.Draw(image)
    end = (image.width - 7 * _FINE, image.height - 7 * _FINE)
    start = (0.0, end[1] - end[0] * 0.36)
    steps = 60
    for step in range(steps):
        part = step / steps
        x, y = start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part
        radius = (0.3 + 2.1 * part) * _FINE
        tone = (*mix(tail, head, part), round(230 * part**2.2))
        ahead = x + (end[0] - start[0]) / steps, y + (end[1] - start[1]) / steps
        draw.line([(x, y), ahead], fill=tone, width=round(radius * 2))
    draw.ellipse((end[0] - 3 * _FINE, end[1] - 3 * _FINE, end[0] + 3 * _FINE, end[1] + 3 * _FINE), fill=(*head, 255))
    return image.filter(ImageFilter.GaussianBlur(_FINE * 0.4))


def _balloon(radius: float, palette: Palette) -> Image.Image:
    """A hot-air balloon with gores in the accents' colours."""
    image = _blank(radius * 2.3, radius * 3.3)
    draw = ImageDraw.Draw(image)
    c, r = image.width / 2, radius * _FINE
    colors = (palette.accents[0], mix(palette.glow, (255, 255, 255), 0.3), palette.accents[0], palette.accents[1])
    for index, part in enumerate((1.0, 0.74, 0.44, 0.14)):
        draw.polygon([(c + part * x, y) for x, y in _envelope(r)], fill=(*colors[index], 255))
    basket = (c - r * 0.17, r * 2.62, c + r * 0.17, r * 2.86)
    for side in (-1, 1):
        draw.line(
            [(c + side * r * 0.25, r * 2.26), (c + side * r * 0.15, r * 2.64)], fill=(60, 44, 38, 230), width=_FINE
        )
    draw.rounded_rectangle(basket, r * 0.04, fill=(96, 64, 44, 255))
    return _lit(image)


def _envelope(r: float) -> list[tuple[float, float]]:
    """The outline of a balloon around x = 0."""
    right = []
    for step in range(41):
        angle = math.pi * step / 40
        y = r * 1.05 - math.cos(angle) * r
        pinch = 1.0 if angle < math.pi / 2 else 1 - 0.35 * math.sin(angle - math.pi / 2) ** 2
        width = math.sin(angle) * r * pinch
        if angle > math.pi * 0.55:
            t = (angle - math.pi * 0.55) / (math.pi * 0.45)
            y += r * 0.24 * t
            width = max(width * (1 - 0.15 * t), r * 0.26 * t)
        right.append((width, y))
    return [*right, *[(-x, y) for x, y in reversed(right)]]


def _lit(image: Image.Image) -> Image.Image:
    """Lighter on the upper left, darker on the lower right."""
    wide, tall = image.size
    slope = np.linspace(1.12, 0.78, wide)[None, :] * np.linspace(1.06, 0.9, tall)[:, None]
    data = np.asarray(image).astype(np.float32)
    data[..., :3] *= slope[..., None]
    return Image.fromarray(np.clip(data, 0, 255).astype(np.uint8))


def _angles(count: int) -> list[float]:
    return [math.tau * index / count for index in range(count)]


def _turned(center: float, x: float, y: float, angle: float) -> tuple[float, float]:
    return center + x * math.cos(angle) - y * math.sin(angle), center + x * math.sin(angle) + y * math.cos(angle)

"""The card of a film: the prompt, the facts, how far it is, and what this is. Made once, laid over every frame."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from tessera.providers.sandbox.lettering import badge, measure, runs, wrap, write
from tessera.providers.sandbox.palette import Palette
from tessera.providers.sandbox.planes import Bytes, Patch, Planes, Words, lay, patch, stamp

_PANE = (13, 15, 22)
_PANE_ALPHA = 194
_FACT = (222, 226, 234)
_BOXED = "letters that no font here has are boxed"
_WHITE = (255, 255, 255)


def unit(size: tuple[int, int]) -> float:
    """What the sizes of letters are multiples of: 1 in a picture of a megapixel, as in the sandbox's pictures."""
    return max(0.12, min(math.sqrt(size[0] * size[1]) / 1024, size[0] / 620, size[1] / 330))


class Card:
    """The prompt, the facts, a counter and a thin line that grows, in the lower left of the frame."""

    def __init__(self, prompt: str, facts: tuple[str, ...], size: tuple[int, int], palette: Palette) -> None:
        self._plan = _plan(prompt, facts, size)
        self._pane = patch(_pane(self._plan, palette))
        self._line = patch(Image.new("RGBA", (self._plan.inner, self._plan.thin), (*palette.accents[1], 255)))

    def put(self, frame: Planes, number: int, total: int, opacity: float = 1.0) -> None:
        """Lay the card over frame ``number`` of ``total``, the first being 1."""
        if opacity <= 0:
            return
        plan = self._plan
        _frost(frame, plan, self._pane.alpha, opacity)
        lay(frame, self._pane, plan.left, plan.top, opacity)
        _counter(frame, plan, f"frame {number}/{total}", opacity)
        long = plan.inner * number // max(1, total) // 2 * 2
        if long:
            lay(frame, _short(self._line, long), plan.left + plan.pad, plan.top + plan.rule, opacity)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where everything lies, in pixels; all but left and top within the card."""

    lines: tuple[str, ...]
    facts: tuple[str, ...]
    large: float
    fact: float
    left: int
    top: int
    width: int
    height: int
    pad: int
    rule: int
    thin: int

    @property
    def inner(self) -> int:
        return self.width - 2 * self.pad


def _plan(prompt: str, facts: tuple[str, ...], size: tuple[int, int]) -> _Plan:
    one = unit(size) * 0.92
    margin, pad = _even(34 * one), _even(26 * one)
    room = size[0] - 2 * margin - 2 * pad
    large = (32 if len(prompt) <= 70 else 24) * one
    lines = wrap(prompt or "(no prompt)", large, min(room, 900 * one), 3)
    if any(font is None for line in lines for font, _ in runs(line)):
        facts = (*facts, _BOXED)
    small = wrap("  ·  ".join(facts), 17 * one, min(room, 900 * one), 2)
    wide = max([measure(line, large) for line in lines] + [measure(line, 17 * one) for line in small])
    inner = _even(min(room, max(wide, 600 * one)))
    rule = _even(pad + len(lines) * large * 1.3 + 10 * one)
    tall = _even(rule + 16 * one + len(small) * 26 * one + 34 * one + pad * 0.72)
    return _Plan(
        tuple(lines),
        tuple(small),
        large,
        17 * one,
        margin,
        max(0, (size[1] - margin - tall) // 2 * 2),
        min(size[0] - margin, inner + 2 * pad) // 2 * 2,
        tall,
        pad,
        rule,
        max(2, _even(2.6 * one)),
    )


def _even(value: float) -> int:
    return max(2, round(value / 2) * 2)


def _pane(plan: _Plan, palette: Palette) -> Image.Image:
    """All of the card that stays."""
    flat = Image.new("RGB", (plan.width, plan.height), _PANE)
    draw = ImageDraw.Draw(flat)
    draw.rectangle((plan.pad, plan.rule, plan.pad + plan.inner - 1, plan.rule + plan.thin - 1), fill=(84, 88, 98))
    y = plan.pad - plan.large * 0.08
    for line in plan.lines:
        write(flat, (plan.pad, y), line, plan.large, _WHITE)
        y += plan.large * 1.3
    y = plan.rule + plan.fact
    for line in plan.facts:
        write(flat, (plan.pad, y), line, plan.fact, _FACT)
        y += plan.fact * 1.53
    badge(flat, (plan.pad, y + plan.fact * 0.5), plan.fact * 0.94, palette)
    return _glazed(flat, 18 * plan.fact / 17)


def _glazed(flat: Image.Image, radius: float) -> Image.Image:
    """The drawing on a dark pane with round corners, which lets the picture through where nothing is drawn."""
    ground = Image.new("RGB", flat.size, _PANE)
    drawn = np.abs(np.asarray(flat).astype(np.int32) - np.asarray(ground)).max(axis=2)
    mask = Image.new("L", (flat.width * 4, flat.height * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), radius * 4, fill=255)
    pane = np.asarray(mask.reduce(4)).astype(np.int32)
    alpha = np.minimum(pane, np.maximum(pane * _PANE_ALPHA // 255, np.minimum(255, drawn * 3)))
    result = flat.convert("RGBA")
    result.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return result


def _frost(frame: Planes, plan: _Plan, alpha: Words, opacity: float) -> None:
    """Blur the light under the pane, so that nothing there competes with the words."""
    part = frame.y[plan.top : plan.top + plan.height, plan.left : plan.left + plan.width]
    mask = np.minimum(256, alpha[: part.shape[0], : part.shape[1]] * np.uint16(2))
    if opacity < 1:
        mask = (mask * opacity).astype(np.uint16)
    part[...] = (part * (256 - mask) + _blurred(part) * mask) >> 8


def _blurred(plane: Bytes) -> Bytes:
    image = Image.fromarray(plane)
    return np.asarray(image.reduce(12).resize(image.size, Image.Resampling.BILINEAR))


def _counter(frame: Planes, plan: _Plan, text: str, opacity: float) -> None:
    """The number, on the right of the label's line; its box has one size, so that the words do not dance."""
    size = plan.fact * 0.94
    wide = round(measure(text, size)) + 2
    letters = Image.new("RGB", (wide, round(size * 1.4)))
    write(letters, (0, 0), text, size, _WHITE)
    top = plan.top + plan.rule + plan.fact + len(plan.facts) * plan.fact * 1.53 + plan.fact * 0.5
    left = plan.left + plan.width - plan.pad - wide
    stamp(frame, np.asarray(letters.getchannel(0)), max(0, left), round(top), opacity * 0.92)


def _short(line: Patch, long: int) -> Patch:
    """The first part of a line."""
    y, u, v = line.colors
    half = long // 2
    return Patch((y[:, :long], u[:, :half], v[:, :half]), line.alpha[:, :long], line.half[:, :half])


def tag(text: str, size: tuple[int, int], palette: Palette) -> tuple[Patch, int, int]:
    """The label with a few words on a small pane, and its place in the upper left of the frame."""
    one = unit(size)
    letter, margin, pad = 15 * one, _even(26 * one), _even(14 * one)
    wide = _even(max(badge_width(letter, palette), measure(text, letter * 0.94)))
    flat = Image.new("RGB", (wide + 2 * pad, _even(letter * 2.9) + 2 * pad), _PANE)
    badge(flat, (pad, pad), letter, palette)
    write(flat, (pad, pad + letter * 1.62), text, letter * 0.94, _FACT)
    return patch(_glazed(flat, 12 * one)), margin, margin


def badge_width(size: float, palette: Palette) -> float:
    """The width of the label in letters of a size."""
    return badge(Image.new("RGB", (8, 8)), (0, 0), size, palette)

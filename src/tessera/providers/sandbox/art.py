"""Which picture is drawn for a request, and how large it is."""

import re
from collections.abc import Callable
from random import Random

from PIL import Image

from tessera.providers.sandbox.canvas import SCALE, Board, chance, finish
from tessera.providers.sandbox.lines import orbits, ribbons
from tessera.providers.sandbox.palette import Palette, choose, words
from tessera.providers.sandbox.scenery import ridges
from tessera.providers.sandbox.tiles import glass, mosaic, truchet

STYLES: dict[str, Callable[[Board], Image.Image]] = {
    "ridges": ridges,
    "ribbons": ribbons,
    "mosaic": mosaic,
    "orbits": orbits,
    "truchet": truchet,
    "glass": glass,
}

_WORDS = {
    "ridges": (
        "mountain mountains hill hills landscape valley sunset sunrise sea ocean lake beach island forest desert dune "
        "snow alps canyon sky horizon lighthouse boat river 山 海 湖 河 森林 沙漠 雪 风景 日出 日落"
    ),
    "ribbons": "abstract flow wind music dance dream hair silk energy motion speed jazz song 抽象 风 音乐 舞 梦",
    "mosaic": "mosaic tile tiles tessera roman ancient byzantine temple fresco lion king 马赛克 古 罗马",
    "orbits": "space planet star galaxy cosmos universe orbit moon solar rocket astronaut atom science 宇宙 星 太空 月",
    "truchet": "pattern maze geometric circuit robot computer code logo icon poster city retro 图案 几何 城市 机器人",
    "glass": "glass church cathedral window saint angel butterfly flower flowers crystal jewel 玻璃 教堂 花 蝴蝶",
}

_NAMED = {
    "mosaic": "mosaic tessera tesserae 马赛克",
    "glass": "glass 玻璃",
    "truchet": "pattern geometric 图案 几何",
    "ribbons": "abstract 抽象",
}
"""Words that ask for the style itself; they count for more than a subject that goes well with one."""

_EXACT = {"1:1": (1024, 1024), "3:2": (1536, 1024), "2:3": (1024, 1536)}
_AREA = 1024 * 1024
_STEP = 16
_LONGEST = 8
"""The longest ratio that is drawn as asked; a longer one is cut to it."""

AUTO = "auto"
"""The ratio of the first picture that was given."""

ENOUGH = 2_200_000
"""Pixels that are drawn at most. What is to be larger is drawn smaller and enlarged: the detail is invented anyhow."""

_TIER = re.compile(r"(?P<number>\d{1,5}(\.\d{1,3})?) ?(?P<unit>k|p|mp)", re.ASCII | re.IGNORECASE)


def size(ratio: str, area: float = _AREA, source: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """Width and height in pixels for ``width:height``: about ``area`` (a megapixel), in multiples of 16.

    ``auto`` is the ratio of ``source``. Raises ValueError where the ratio is none.
    """
    if ratio in _EXACT and area == _AREA:
        return _EXACT[ratio]
    aspect = _aspect(ratio, source)
    return _round((area * aspect) ** 0.5), _round((area / aspect) ** 0.5)


def extent(
    ratio: str,
    resolution: str | None = None,
    width: int | None = None,
    height: int | None = None,
    source: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Width and height in pixels for all that a request may say of them; what it names in pixels is taken as it is.

    A ``resolution`` is ``2K`` (as many pixels as a square of 2 x 1024), ``1080p`` (the shorter side) or ``4 MP``.
    Raises ValueError where one of them makes no sense.
    """
    if width is not None or height is not None:
        return _named(_aspect(ratio, source), width, height)
    if resolution is None:
        return size(ratio, source=source)
    number, unit = _tier(resolution)
    aspect = _aspect(ratio, source)
    if unit == "p":
        return _round(number * max(1.0, aspect), 8), _round(number * max(1.0, 1 / aspect), 8)
    return size(ratio, area(resolution), source)


def area(resolution: str) -> float:
    """How many pixels a resolution has; of one that names the shorter side, as a picture of 16:9. Raises ValueError."""
    number, unit = _tier(resolution)
    return {"k": (1024 * number) ** 2, "mp": _AREA * number, "p": number**2 * 16 / 9}[unit]


def _tier(resolution: str) -> tuple[float, str]:
    found = _TIER.fullmatch(resolution.strip())
    if found is None or not float(found["number"]):
        raise ValueError(f"{resolution!r} is not a resolution such as 2K, 1080p or 4 MP")
    return float(found["number"]), found["unit"].lower()


def _aspect(ratio: str, source: tuple[int, int]) -> float:
    across, _, down = (f"{source[0]}:{source[1]}" if ratio == AUTO else ratio).partition(":")
    if not (across.isascii() and down.isascii() and across.isdigit() and down.isdigit() and int(across) and int(down)):
        raise ValueError(f"{ratio!r} is not a ratio such as 3:2")
    return min(float(_LONGEST), max(1 / _LONGEST, int(across) / int(down)))


def _named(aspect: float, width: int | None, height: int | None) -> tuple[int, int]:
    """Both sides, of which one at least was named in pixels."""
    wide = round((height or 0) * aspect) if width is None else width
    high = round((width or 0) / aspect) if height is None else height
    if min(wide, high) < 1:
        raise ValueError(f"a picture of {wide} x {high} pixels is none")
    return wide, high


def _round(pixels: float, step: int = _STEP) -> int:
    return max(1, round(pixels / step)) * step


def enlarged(make: Callable[[tuple[int, int]], Image.Image], pixels: tuple[int, int]) -> Image.Image:
    """What ``make`` draws for a size, at this size; beyond ``ENOUGH`` pixels it is drawn smaller."""
    shrink = (ENOUGH / (pixels[0] * pixels[1])) ** 0.5
    if shrink >= 1:
        return make(pixels)
    drawn = make((max(1, round(pixels[0] * shrink)), max(1, round(pixels[1] * shrink))))
    return drawn.resize(pixels, Image.Resampling.BICUBIC)


def palette(prompt: str, seed: int) -> Palette:
    """The colours of a request; all its variants share them."""
    return choose(prompt, chance("palette", prompt, seed))


def style(prompt: str, seed: int, index: int) -> str:
    """The style of variant ``index``: what the words suggest comes first, and no two neighbours are alike."""
    rng = chance("style", prompt, seed)
    found = words(prompt)
    named = [name for name, keys in _NAMED.items() if found.has(keys)]
    suggested = [name for name, keys in _WORDS.items() if found.has(keys)]
    order = [*named, *rng.sample(suggested, len(suggested)), *rng.sample(list(STYLES), len(STYLES))]
    return list(dict.fromkeys(order))[index % len(STYLES)]


def draw(prompt: str, seed: int, index: int, pixels: tuple[int, int], name: str | None = None) -> Image.Image:
    """The picture of variant ``index`` in RGB, without its caption."""
    chosen = name or style(prompt, seed, index)
    rng: Random = chance("art", prompt, seed, index, chosen)
    board = Board(pixels[0] * SCALE, pixels[1] * SCALE, palette(prompt, seed), rng, prompt)
    return finish(STYLES[chosen](board), rng)

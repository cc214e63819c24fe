"""Which picture is drawn for a request, and how large it is."""

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


def size(ratio: str) -> tuple[int, int]:
    """Width and height in pixels for ``width:height``: about a megapixel, in multiples of 16.

    Raises ValueError where the ratio is none.
    """
    if ratio in _EXACT:
        return _EXACT[ratio]
    across, _, down = ratio.partition(":")
    if not (across.isascii() and down.isascii() and across.isdigit() and down.isdigit() and int(across) and int(down)):
        raise ValueError(f"{ratio!r} is not a ratio such as 3:2")
    aspect = min(float(_LONGEST), max(1 / _LONGEST, int(across) / int(down)))
    return _round((_AREA * aspect) ** 0.5), _round((_AREA / aspect) ** 0.5)


def _round(pixels: float) -> int:
    return max(1, round(pixels / _STEP)) * _STEP


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

"""Colours that go together, chosen by a seed and nudged by the words of a prompt.

Colours are mixed in Oklab (Björn Ottosson's space, public domain), where halfway between two colours looks halfway.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

RGB = tuple[int, int, int]
Lab = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """``sky`` from top to horizon, ``land`` from near (dark) to far, ``glow`` for light, ``accents`` for little."""

    name: str
    sky: tuple[RGB, RGB, RGB]
    land: tuple[RGB, RGB]
    glow: RGB
    accents: tuple[RGB, RGB, RGB]
    night: bool = False

    @property
    def ramp(self) -> tuple[RGB, ...]:
        """All of it but the accents, from the darkest to the lightest."""
        return tuple(sorted({*self.land, *self.sky, self.glow}, key=lambda color: lab(color)[0]))

    @property
    def warm(self) -> RGB:
        """The most golden accent: what a sun or gilding is made of."""
        return max(self.accents, key=lambda color: lab(color)[2])


def _rgb(text: str) -> RGB:
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def _palette(name: str, sky: str, land: str, glow: str, accents: str, *, night: bool = False) -> Palette:
    top, middle, low = map(_rgb, sky.split())
    near, far = map(_rgb, land.split())
    first, second, third = map(_rgb, accents.split())
    return Palette(
        name=name,
        sky=(top, middle, low),
        land=(near, far),
        glow=_rgb(glow),
        accents=(first, second, third),
        night=night,
    )


PALETTES = (
    _palette("dawn", "7f9cc0 e9b7b0 fbdcb4", "2f3350 b08fa8", "fff3d6", "f2785c f7b267 5f6fa8"),
    _palette("dusk", "3b2f63 c2527a f9a26c", "1d1736 8a4a78", "ffe0a3", "ff6b5e ffc15e 6d5bd0"),
    _palette("sea", "2f6f9f 7fbcd2 e3f1ea", "0c2f47 6aa6bd", "fffbe6", "f26b4e f6c667 1fa3a3"),
    _palette("forest", "8fb8a8 cfe0c3 f4f1d6", "10291f 7da38c", "fff8d8", "d9833b e3b23c 3f8f5f"),
    _palette("night", "070b24 1b2a5c 4a5fa0", "04060f 2c3a70", "f3f0dc", "f5c451 7fb7ff d36ba6", night=True),
    _palette("fire", "2a0a12 9e2a1f f68f3c", "12060a 7a2320", "ffe9a8", "ffb627 ff4d2e ffe066"),
    _palette("winter", "9db7d5 cfdfee f5f7fb", "24364f 9fb6cf", "ffffff", "d1495b 5aa9c9 edae49"),
    _palette("desert", "6fb1c4 f0d9b0 f8e8c8", "5a2a1c d39a6a", "fffbe8", "c8553d f2a65a 2f7f86"),
    _palette("autumn", "a9b9b4 ecd6a8 fae7bf", "37201c b57a4e", "fff4d2", "b23a2e e8912d 6b7a3a"),
    _palette("blossom", "a7c4dd f3c6d3 fdeae3", "4a2a4f c594b4", "fffaf3", "e4577f 7bb38a f3a953"),
    _palette("neon", "0d0630 4b1d8f ef4aa6", "070318 5a2a9e", "ffd5f4", "18e0ff ff3fa4 ffe14d", night=True),
    _palette("ink", "b9bcc0 dcdcd8 f3f0e8", "15171b 9a9da2", "ffffff", "b5342b 3a4450 c9a24b"),
    _palette("meadow", "5aa7dd a9d6ec eef5d2", "1d4a2c 93c07a", "fffce0", "f2542d f5c518 7b5ea7"),
    _palette("porcelain", "c9d8ea e6edf3 fbfaf5", "142a63 7d9acb", "ffffff", "1f4fa8 c8963e 5b87c5"),
    _palette("lagoon", "0f3d56 1f8a8f a8dcc4", "071e2c 2c7482", "fdf6d8", "ff7f5b ffd166 7ae0c8"),
    _palette("plum", "4f4a86 a78bc0 f0d3d9", "1f1637 7d66a0", "fff1de", "e6735c f0b95b 3fa796"),
)

_WORDS = {
    "dawn": "dawn sunrise morning peach pastel baby 晨 黎明 日出",
    "dusk": "dusk sunset evening twilight golden romantic 黄昏 日落 傍晚",
    "sea": "sea ocean water wave waves beach coast island fish whale boat ship sail harbor harbour 海 浪 船 岛",
    "forest": "forest wood woods tree trees jungle moss fern pine bear fox deer 森林 树 林",
    "night": "night midnight moon star stars galaxy space cosmos planet astronaut rocket dark owl 夜 月 星 宇宙",
    "fire": "fire flame flames lava volcano dragon ember phoenix hell burning 火 龙 凤凰",
    "winter": "winter snow ice frost frozen cold arctic penguin polar christmas 冬 雪 冰",
    "desert": "desert sand dune dunes camel canyon mars western cactus 沙漠 沙",
    "autumn": "autumn fall leaf leaves pumpkin harvest rustic coffee 秋 枫",
    "blossom": "blossom cherry flower flowers rose sakura spring love wedding princess 花 樱 春 爱",
    "neon": "neon cyberpunk city robot future futuristic synthwave disco night-club arcade 城市 机器人 赛博朋克 霓虹",
    "ink": "ink minimal monochrome paper sketch noir pencil calligraphy stone 水墨 书法 素描",
    "meadow": "meadow field summer sunny grass garden park dog puppy picnic happy 草 夏 狗",
    "porcelain": "porcelain china ceramic vase tile tiles delft 瓷 青花",
    "lagoon": "lagoon tropical reef coral turtle mermaid palm 珊瑚 热带",
    "plum": "plum dream dreamy magic wizard fairy lavender mystic cat kitten 梦 魔法 猫",
}

_COLORS = {
    "red crimson scarlet ruby 红": "d7352e",
    "orange 橙": "f2852c",
    "yellow lemon 黄": "f6c92b",
    "gold 金": "e0ac35",
    "green emerald lime 绿": "3aa655",
    "teal turquoise cyan 青": "1fa6a0",
    "blue azure navy 蓝": "2f6fd6",
    "indigo": "3f3fb0",
    "purple violet lavender 紫": "7e4fc4",
    "pink magenta rose 粉": "e85a9b",
    "brown chocolate coffee 棕": "7a4a2b",
}


def choose(prompt: str, rng: Random) -> Palette:
    """The palette of a prompt: by its mood words where it has any, else by chance; tinted by its colour words."""
    found = words(prompt)
    by_name = {palette.name: palette for palette in PALETTES}
    moods = [by_name[name] for name, keys in _WORDS.items() if found.has(keys)]
    palette = rng.choice(moods or PALETTES)
    tints = [_rgb(value) for keys, value in _COLORS.items() if found.has(keys)]
    return _tinted(palette, tints[:3]) if tints else palette


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text, to be asked after. Chinese has no spaces, so its words are looked for in the whole text."""

    text: str
    split: frozenset[str]

    def has(self, keys: str) -> bool:
        """Does it hold one of the keys, which stand between spaces?"""
        return any(key in self.split if key.isascii() else key in self.text for key in keys.split())


def words(text: str) -> Words:
    return Words(text, frozenset(re.findall(r"[a-z][a-z-]*", text.lower())))


def _tinted(palette: Palette, tints: Sequence[RGB]) -> Palette:
    """The palette leaning towards the first tint, with all of them as accents."""
    lead = tints[0]
    accents = (*tints, *palette.accents)[:3]
    return replace(
        palette,
        sky=(lean(palette.sky[0], lead, 0.5), lean(palette.sky[1], lead, 0.45), lean(palette.sky[2], lead, 0.25)),
        land=(lean(palette.land[0], lead, 0.4), lean(palette.land[1], lead, 0.4)),
        glow=lean(palette.glow, lead, 0.12),
        accents=(accents[0], accents[1], accents[2]),
    )


def lean(color: RGB, tint: RGB, amount: float) -> RGB:
    """The colour at its own lightness, with part of the tint's hue."""
    (light, a, b), (_, other_a, other_b) = lab(color), lab(tint)
    return rgb((light, a + (other_a - a) * amount, b + (other_b - b) * amount))


def mix(first: RGB, second: RGB, amount: float) -> RGB:
    """A colour between two: 0 is the first, 1 the second."""
    one, two = lab(first), lab(second)
    return rgb((_between(one[0], two[0], amount), _between(one[1], two[1], amount), _between(one[2], two[2], amount)))


def shade(color: RGB, by: float) -> RGB:
    """The colour, lighter (``by`` > 0) or darker; -1..1 is black to white."""
    light, a, b = lab(color)
    return rgb((min(1.0, max(0.0, light + by)), a, b))


def along(stops: Sequence[RGB], amount: float) -> RGB:
    """The colour at 0..1 along evenly spaced stops."""
    place = min(1.0, max(0.0, amount)) * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    return mix(stops[index], stops[index + 1], place - index)


def _between(first: float, second: float, amount: float) -> float:
    return first + (second - first) * amount


@lru_cache(maxsize=4096)
def lab(color: RGB) -> Lab:
    """Oklab from sRGB: lightness 0..1, then green to red, then blue to yellow."""
    r, g, b = (_linear(channel / 255) for channel in color)
    long = _root(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
    medium = _root(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
    short = _root(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def rgb(color: Lab) -> RGB:
    """sRGB from Oklab, cut to what a screen can show."""
    light, a, b = color
    long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _byte(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _byte(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _byte(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def _root(value: float) -> float:
    return float(max(0.0, value) ** (1 / 3))


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _byte(value: float) -> int:
    value = min(1.0, max(0.0, value))
    return round(255 * (12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055))

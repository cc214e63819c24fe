"""Words on a picture: a prompt of any length and script, in a caption that stays readable on every ground.

The font is the one that comes with Pillow, so the same prompt gives the same letters on every machine. It knows little
more than ASCII. For other characters a font of the system is asked, if there is one; then a plainer spelling is tried
(e for é); what is left is drawn as a small box with the character's number in it, so that nothing vanishes unseen. Thus
a picture of a prompt with such characters is the same on machines with the same fonts, and always on one machine.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tessera.providers.sandbox.palette import RGB, Palette

LABEL = "TESSERA SANDBOX"
HONEST = "not a model output"

_BOXED = "letters that no font here has are boxed; the file's metadata holds the prompt"

_SYSTEM = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "AppleGothic.ttf",
    "msyh.ttc",
    "malgun.ttf",
    "YuGothR.ttc",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "NotoEmoji-Regular.ttf",
    "Symbola.ttf",
    "seguiemj.ttf",
    "Arial Unicode.ttf",
)
_PLAINER = str.maketrans({"—": "-", "–": "-", "−": "-", "×": "x", "→": ">", "‘": "'", "’": "'", "«": '"', "»": '"'})
_LONGEST = 1200
"""Characters of a prompt that are looked at: more never fit."""

_SURELY_MISSING = "\U0010fffd"
_PROBE = 24

Run = tuple[str | None, str]
"""Characters of one font: the font's name ('' is Pillow's own, None that there is none), and the characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """``facts`` are short: size, seed and the like. ``scale`` makes the card smaller where the picture matters more."""

    prompt: str
    facts: tuple[str, ...]
    scale: float = 1.0


def caption(image: Image.Image, words: Caption, palette: Palette) -> None:
    """Write a card into the lower left of the picture: the prompt, the facts, and what this is."""
    unit = words.scale * min((image.width * image.height) ** 0.5 / 1024, image.width / 620, image.height / 330)
    margin, padding = round(36 * unit), round(28 * unit)
    room = image.width - 2 * margin - 2 * padding
    large = 34 * unit if len(words.prompt) <= 90 else 25 * unit
    lines = wrap(words.prompt or "(no prompt)", large, min(room, 1180 * unit), 3 if large > 30 * unit else 5)
    boxed = any(font is None for line in lines for font, _ in runs(line))
    facts = wrap("  ·  ".join((*words.facts, *((_BOXED,) if boxed else ()))), 17 * unit, room, 2)
    wide = max([measure(line, large) for line in lines] + [measure(line, 17 * unit) for line in facts] + [400 * unit])
    tall = len(lines) * large * 1.3 + 16 * unit + len(facts) * 26 * unit + 14 * unit + 22 * unit
    left, top = margin, round(image.height - margin - tall - 2 * padding)
    _card(image, (left, top, round(left + min(wide, room) + 2 * padding), image.height - margin), 20 * unit)
    x, y = left + padding, top + padding
    for line in lines:
        write(image, (x, y), line, large, (255, 255, 255))
        y += large * 1.3
    y += 16 * unit
    for line in facts:
        write(image, (x, y), line, 17 * unit, (222, 226, 234))
        y += 26 * unit
    badge(image, (x, y + 14 * unit), 16 * unit, palette)


def badge(image: Image.Image, corner: tuple[float, float], size: float, palette: Palette) -> float:
    """Write the honest label with its four tesserae; answers its width."""
    x, y = corner
    _mark(image, (x, y), size * 1.1, palette)
    x += size * 1.8
    for letter in LABEL:
        write(image, (x, y), letter, size, (255, 255, 255))
        x += measure(letter, size) + size * 0.13
    x += size * 0.35
    write(image, (x, y), "·  " + HONEST, size, (222, 226, 234))
    return x + measure("·  " + HONEST, size) - corner[0]


def plate(image: Image.Image, box: tuple[int, int, int, int], palette: Palette) -> None:
    """The label alone on a small card, as tall as the box; it is made to fit into it."""
    tall = box[3] - box[1]
    size = tall * 0.46
    _card(image, box, tall * 0.28)
    badge(image, (box[0] + tall * 0.4, box[1] + tall * 0.26), size, palette)


PLATE = (12.6, 1.0)
"""The proportions of a plate."""


def _card(image: Image.Image, box: tuple[int, int, int, int], radius: float) -> None:
    """A dark, blurred pane with round corners."""
    size = box[2] - box[0], box[3] - box[1]
    below = image.crop(box).filter(ImageFilter.GaussianBlur(radius))
    pane = Image.blend(below, Image.new("RGB", size, (13, 15, 22)), 0.7)
    mask = Image.new("L", (size[0] * 4, size[1] * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), radius * 4, fill=255)
    image.paste(pane, box[:2], mask.reduce(4))


def _mark(image: Image.Image, corner: tuple[float, float], size: float, palette: Palette) -> None:
    """Four stones, three of one kind and one of another."""
    draw = ImageDraw.Draw(image)
    colors: tuple[RGB, ...] = ((244, 244, 240), palette.accents[1], palette.accents[0], (244, 244, 240))
    half, gap = size / 2, max(1.0, size * 0.07)
    for index, color in enumerate(colors):
        x, y = corner[0] + (index % 2) * half, corner[1] + (index // 2) * half
        right, bottom = round(x + half - gap) - 1, round(y + half - gap) - 1
        draw.rectangle((round(x), round(y), max(round(x), right), max(round(y), bottom)), fill=color)


def write(image: Image.Image, corner: tuple[float, float], text: str, size: float, color: RGB) -> None:
    """One line of text, its upper left corner at ``corner``."""
    draw = ImageDraw.Draw(image)
    x, y = corner
    base = y + size * 0.93
    for font, part in runs(text):
        if font is None:
            for char in part:
                _box(draw, (x, base), size, char, color)
                x += _box_width(size, char)
        else:
            draw.text((x, base), part, fill=color, font=_font(font, size), anchor="ls")
            x += _font(font, size).getlength(part)


def measure(text: str, size: float) -> float:
    """The width of a line in pixels."""
    return sum(
        sum(_box_width(size, char) for char in part) if font is None else _font(font, size).getlength(part)
        for font, part in runs(text)
    )


def wrap(text: str, size: float, width: float, most: int) -> list[str]:
    """At most ``most`` lines that fit into the width; what is cut off is marked by an ellipsis."""
    lines, rest = [""], list(_pieces(readable(text)))
    while rest:
        piece = rest.pop(0)
        if measure((lines[-1] + piece).rstrip(), size) <= width:
            lines[-1] += piece
        elif not lines[-1]:
            head = _head(piece, size, width) or piece[0]
            lines[-1], rest = head, [piece[len(head) :], *rest]
        elif len(lines) == most:
            return [*(line.rstrip() for line in lines[:-1]), _ellipsis(lines[-1], size, width)]
        else:
            lines.append("")
            rest.insert(0, piece.lstrip())
    return [line.rstrip() for line in lines]


def readable(text: str) -> str:
    """The text on one line, composed, without what no font shows."""
    text = unicodedata.normalize("NFC", " ".join(text[:_LONGEST].split()))
    return "".join(char for char in text if unicodedata.category(char) not in _SILENT and not _variation(char))


_SILENT = ("Cc", "Cf", "Cs")


def _variation(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U0001f3fb" <= char <= "\U0001f3ff"


def _pieces(text: str) -> Iterator[str]:
    """Where a line may break: after a space, and around a character of a script without spaces."""
    word = ""
    for char in text:
        if char == " ":
            yield word + char
            word = ""
        elif unicodedata.east_asian_width(char) in "WF" and char not in "，。、！？；：）」』》":
            if word:
                yield word
            word = char
        else:
            word += char
    if word:
        yield word


def _head(text: str, size: float, width: float, tail: str = "") -> str:
    """As much of a text as fits with its tail; found by halving, for a text may be one endless word."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle].rstrip() + tail, size) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def _ellipsis(line: str, size: float, width: float) -> str:
    return _head(line, size, width, "…").rstrip() + "…"


def runs(text: str) -> list[Run]:
    """The text in parts of one font each."""
    pairs = [_place(char) for char in text]
    return [(font, "".join(char for _, char in group)) for font, group in groupby(pairs, key=lambda pair: pair[0])]


@lru_cache(maxsize=8192)
def _place(char: str) -> Run:
    """The font that has the character, or something plainer that has one; see the top of this file."""
    if _has("", char):
        return "", char
    for name in _SYSTEM:
        if _has(name, char):
            return name, char
    plain = unicodedata.normalize("NFKD", char).translate(_PLAINER)
    plain = "".join(part for part in plain if not unicodedata.combining(part))
    if plain != char and plain and all(_has("", part) for part in plain):
        return "", plain
    return None, char


def _has(name: str, char: str) -> bool:
    """Has the font a shape of its own for the character? Pillow does not say, so the shapes are compared."""
    try:
        shape = _shape(name, char)
    except OSError:
        return False
    if char.isspace():
        return True
    return bool(shape[1].strip(b"\0")) and shape != _shape(name, _SURELY_MISSING)


@lru_cache(maxsize=8192)
def _shape(name: str, char: str) -> tuple[tuple[int, int], bytes]:
    mask = _font(name, _PROBE).getmask(char, mode="L")
    return mask.size, bytes(mask)


@cache
def _known(name: str) -> bool:
    try:
        ImageFont.truetype(name, _PROBE)
    except OSError:
        return False
    return True


@lru_cache(maxsize=128)
def _sized(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font in 64ths of a pixel. Raises OSError where the system has none of that name."""
    if not name:
        font = ImageFont.load_default(size / 64)
        assert isinstance(font, ImageFont.FreeTypeFont)
        return font
    if not _known(name):
        raise OSError(name)
    return ImageFont.truetype(name, size / 64)


def _font(name: str, size: float) -> ImageFont.FreeTypeFont:
    return _sized(name, round(size * 64))


def _box_width(size: float, char: str) -> float:
    return size * (0.78 if ord(char) < 0x10000 else 1.0)


def _box(draw: ImageDraw.ImageDraw, base: tuple[float, float], size: float, char: str, color: RGB) -> None:
    """A character without a shape: its number, in two rows, in a box."""
    x, y = base
    digits = f"{ord(char):04X}" if ord(char) < 0x10000 else f"{ord(char):06X}"
    wide, tall = _box_width(size, char) - size * 0.1, size * 0.88
    top = y - size * 0.76
    draw.rounded_rectangle((x, top, x + wide, top + tall), size * 0.1, outline=color, width=max(1, round(size / 24)))
    half, font = len(digits) // 2, _font("", size * 0.4)
    for row, part in enumerate((digits[:half], digits[half:])):
        spot = x + wide / 2, top + tall * (0.3 + 0.41 * row)
        draw.text(spot, part, fill=color, font=font, anchor="mm")

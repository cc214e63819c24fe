"""Landscapes: ridges in the mist under a sun or a moon, sometimes over water, sometimes with trees or snow."""

import math

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tessera.providers.sandbox.canvas import Board, Point, clouds, disc, gradient, light, paint, profile, tint
from tessera.providers.sandbox.palette import mix, shade, words

_WATER = "sea ocean lake river water wave waves coast beach island fish boat ship lighthouse fjord 海 湖 河 江 水 船"
_TREES = "forest wood woods tree trees pine jungle autumn fox bear deer cabin camp 森林 树 林 枫"
_SNOW = "snow winter ice alps glacier everest peak 雪 冰 冬"


def ridges(board: Board) -> Image.Image:
    """Layered mountains that fade into the distance."""
    found = words(board.prompt)
    rng = board.rng
    water = found.has(_WATER) or rng.random() < 0.3
    horizon = board.height * (rng.uniform(0.56, 0.64) if water else rng.uniform(0.44, 0.54))
    sun = (board.width * rng.choice((rng.uniform(0.2, 0.4), rng.uniform(0.6, 0.8))), horizon * rng.uniform(0.42, 0.72))
    image = _sky(board, sun, horizon)
    _sun(board, image, sun)
    snowy = found.has(_SNOW) or board.palette.name == "winter"
    bottom = horizon if water else board.height * 0.93
    count = rng.randint(4, 5) if water else rng.randint(6, 8)
    for layer in range(count):
        _ridge(board, image, layer / (count - 1), horizon, bottom, snowy=snowy and layer < count - 2)
    if water:
        _water(board, image, sun, horizon)
    if found.has(_TREES) or (not water and board.palette.name in ("forest", "autumn")):
        _pines(board, image)
    if not board.palette.night:
        _birds(board, image, sun)
    return image


def _sky(board: Board, sun: Point, horizon: float) -> Image.Image:
    palette = board.palette
    image = Image.new("RGB", board.size, palette.sky[2])
    image.paste(gradient((board.width, round(horizon * 1.15)), palette.sky), (0, 0))
    if palette.night:
        _stars(board, image, horizon)
    tint(image, palette.glow, light(board.size, sun, board.height * 0.62, 0.75))
    veil = clouds(board.size, (2, 7), board.rng).point(lambda v: max(0, min(150, (v - 132) * 3)))
    fade = Image.linear_gradient("L").rotate(180).resize(board.size)
    tint(image, mix(palette.sky[2], palette.glow, 0.1 if palette.night else 0.6), ImageChops.multiply(veil, fade))
    return image


def _stars(board: Board, image: Image.Image, horizon: float) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(260):
        x, y = board.rng.uniform(0, board.width), horizon * board.rng.random() ** 1.3
        color = mix(board.palette.sky[1], board.palette.glow, board.rng.uniform(0.3, 1.0))
        disc(draw, (x, y), board.unit * board.rng.choice((0.6, 0.8, 1.0, 1.7)), color)


def _sun(board: Board, image: Image.Image, sun: Point) -> None:
    radius = board.unit * board.rng.uniform(52, 88)
    tint(image, board.palette.glow, light(board.size, sun, radius * 3.4, 0.8))
    face = mix(board.palette.glow, board.palette.warm, 0.0 if board.palette.night else 0.4)
    disc(ImageDraw.Draw(image), sun, radius, face)
    if board.palette.night:
        _craters(board, image, sun, radius)


def _craters(board: Board, image: Image.Image, moon: Point, radius: float) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(7):
        angle, far = board.rng.uniform(0, math.tau), radius * board.rng.uniform(0.1, 0.66)
        spot = moon[0] + far * math.cos(angle), moon[1] + far * math.sin(angle)
        disc(draw, spot, radius * board.rng.uniform(0.06, 0.2), mix(board.palette.glow, board.palette.sky[2], 0.2))


def _ridge(board: Board, image: Image.Image, depth: float, horizon: float, bottom: float, *, snowy: bool) -> None:
    """One layer: ``depth`` 0 is the farthest, 1 the nearest. Its colour pales into mist towards its foot."""
    rng, palette, unit = board.rng, board.palette, board.unit
    foot = horizon + (bottom - horizon) * depth**1.15
    rise = board.height * (0.17 - 0.05 * depth) * rng.uniform(0.75, 1.2)
    count = board.width // 3
    heights = profile(rng, count, rng.uniform(1.6, 3.4) + 1.2 * (1 - depth), 7, sharp=depth < 0.75)
    line = [(x * board.width / (count - 1), foot - rise * (h - 0.18) * 1.5) for x, h in enumerate(heights)]
    color = mix(mix(palette.land[1], palette.sky[2], 0.42), palette.land[0], depth**1.25)
    mist = mix(color, palette.sky[2], 0.62 * (1 - depth * 0.75))
    top = max(0, round(min(y for _, y in line)) - 2)
    shape = [(0.0, float(board.height)), *line, (float(board.width), float(board.height))]
    mask = paint(board.size, lambda draw: draw.polygon(shape, fill=255)).crop((0, top, board.width, board.height))
    tall = max(2, round(rise * 1.9))
    fill = Image.new("RGB", mask.size, mist)
    fill.paste(gradient((board.width, tall), (color, mix(color, mist, 0.35), mist)), (0, 0))
    image.paste(fill, (0, top), mask)
    if snowy:
        _snow(board, image, line, rise, depth)
    if depth < 0.9:
        draw = ImageDraw.Draw(image)
        draw.line(line, fill=mix(color, palette.glow, 0.28 * (1 - depth)), width=max(1, round(unit * 1.3)))


def _snow(board: Board, image: Image.Image, line: list[Point], rise: float, depth: float) -> None:
    """White caps: the crest line, and below it a ragged edge that hangs lower where the crest is higher."""
    lowest = max(y for _, y in line)
    jag = profile(board.rng, len(line), 40, 3, sharp=True)
    edge = [(x, y + max(0.0, lowest - y - rise * 0.42) * (0.25 + 0.6 * j)) for (x, y), j in zip(line, jag, strict=True)]
    mask = paint(board.size, lambda draw: draw.polygon([*line, *reversed(edge)], fill=235))
    tint(image, mix(board.palette.glow, board.palette.sky[2], 0.12 + 0.2 * (1 - depth)), mask)


def _water(board: Board, image: Image.Image, sun: Point, horizon: float) -> None:
    """Everything above the horizon once more, upside down, darker, and broken by ripples."""
    level = round(horizon)
    deep = board.height - level
    mirror = image.crop((0, max(0, level - round(deep * 1.25)), board.width, level))
    margin = round(board.unit * 20)  # what a ripple shifts in from beyond the side
    wide = board.width + 2 * margin
    mirror = mirror.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((wide, deep), Image.Resampling.BICUBIC)
    mirror = mirror.filter(ImageFilter.BoxBlur((board.unit * 5, board.unit * 1.2)))
    sheet = gradient((wide, deep), (board.palette.sky[2], board.palette.sky[1], board.palette.land[0]))
    mirror = Image.blend(mirror, sheet, 0.34)
    step = max(2, round(board.unit * 2.4))
    phase = board.rng.uniform(0, math.tau)
    for y in range(0, deep, step):
        near = y / deep
        wave = math.sin(phase + 24 * near**0.55) + 0.6 * math.sin(phase * 2 + 71 * near**0.6)
        left = margin + round(board.unit * wave * (2 + 9 * near))
        image.paste(mirror.crop((left, y, left + board.width, min(deep, y + step))), (0, level + y))
    _glitter(board, image, sun, level)


def _glitter(board: Board, image: Image.Image, sun: Point, level: int) -> None:
    """Short strokes of light on the water, under the sun above all."""
    overlay = Image.new("L", image.size)
    draw = ImageDraw.Draw(overlay)
    deep = board.height - level
    for _ in range(320):
        near = board.rng.random() ** 1.4
        spread = board.unit * (40 + 240 * near)
        x = board.rng.gauss(sun[0], spread) if board.rng.random() < 0.75 else board.rng.uniform(0, board.width)
        y, long = level + deep * near, board.unit * (6 + 46 * near) * board.rng.uniform(0.4, 1.3)
        thick = max(1, round(board.unit * (0.8 + 2.6 * near)))
        draw.line((x - long, y, x + long, y), fill=board.rng.randint(40, 150), width=thick)
    tint(image, board.palette.glow, overlay)


def _pines(board: Board, image: Image.Image) -> None:
    """A row of firs in front, taller towards the sides."""
    draw = ImageDraw.Draw(image)
    color = shade(board.palette.land[0], -0.05)
    ground = profile(board.rng, 64, 3, 3)
    x = -board.unit * 20
    while x < board.width + board.unit * 20:
        side = abs(2 * x / board.width - 1)
        tall = board.unit * (70 + 190 * max(0.0, side) ** 1.6) * board.rng.uniform(0.55, 1.15)
        foot = board.height * (0.97 + 0.05 * ground[min(63, max(0, int(x / board.width * 63)))])
        _pine(board, draw, (x, foot), tall, mix(color, board.palette.land[1], board.rng.uniform(0, 0.12)))
        x += board.unit * board.rng.uniform(14, 40)


def _pine(board: Board, draw: ImageDraw.ImageDraw, foot: Point, tall: float, color: tuple[int, int, int]) -> None:
    x, y = foot
    tiers = 7
    edge: list[Point] = [(x, y - tall)]
    for tier in range(1, tiers + 1):
        wide, level = tall * 0.2 * (tier / tiers) ** 0.85 * board.rng.uniform(0.85, 1.15), y - tall * (1 - tier / tiers)
        edge += [(x + wide, level), (x + wide * 0.45, level - tall * 0.012)]
    left = [(2 * x - px, py) for px, py in reversed(edge)]
    draw.polygon([*edge, (x, y + tall * 0.1), *left], fill=color)


def _birds(board: Board, image: Image.Image, sun: Point) -> None:
    draw = ImageDraw.Draw(image)
    color = mix(board.palette.land[0], board.palette.sky[1], 0.25)
    heart = sun[0] + board.unit * board.rng.uniform(-260, 260), sun[1] * board.rng.uniform(0.55, 0.95)
    for _ in range(board.rng.randint(3, 7)):
        x, y = heart[0] + board.unit * board.rng.gauss(0, 70), heart[1] + board.unit * board.rng.gauss(0, 28)
        wing = board.unit * board.rng.uniform(6, 12)
        for side in (-1, 1):
            box = sorted((x, x + side * 2 * wing))
            draw.arc(
                (box[0], y - wing * 0.5, box[1], y + wing * 0.9), 200, 340, fill=color, width=round(board.unit * 2)
            )

"""Pictures made of pieces: mosaic, Truchet tiles and stained glass. Mosaic and glass can also cover a picture."""

import math
from collections.abc import Callable, Iterator

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tessera.providers.sandbox.canvas import (
    SCALE,
    Board,
    Field,
    Point,
    clouds,
    disc,
    gradient,
    light,
    mesh,
    paint,
    pixel,
    profile,
    tint,
)
from tessera.providers.sandbox.palette import RGB, along, lab, mix, rgb, shade

Polygon = list[Point]


def mosaic(board: Board) -> Image.Image:
    """A sun over hills, laid in small stones in rings around the sun, with some gold among them."""
    heart = board.width * board.rng.uniform(0.3, 0.7), board.height * board.rng.uniform(0.27, 0.4)
    return tessellate(board, _emblem(board, heart), board.unit * 15, heart, gold=0.025)


def _emblem(board: Board, sun: Point) -> Image.Image:
    """The drawing under the mosaic: few shapes and clear colours, as stones can only hint at finer ones."""
    palette, rng = board.palette, board.rng
    image = gradient(board.size, (*palette.sky[:2], palette.sky[2], palette.sky[2]))
    draw = ImageDraw.Draw(image)
    radius, rays = board.unit * rng.uniform(120, 160), rng.choice((12, 16, 20))
    for index in range(rays):
        far = radius * (2.6 if index % 2 else 1.9)
        corners = ((1.2, -0.3), (1.2, 0.3), (far / radius, 0.0))
        turn, wide = math.tau * index / rays, math.tau / rays
        ray = [_polar(sun, radius * distance, turn + wide * side) for distance, side in corners]
        draw.polygon(ray, fill=palette.accents[1] if index % 2 else palette.glow)
    for part, color in ((1.0, palette.accents[0]), (0.84, palette.accents[1]), (0.52, palette.glow)):
        disc(draw, sun, radius * part, color)
    layers = rng.randint(4, 6)
    for layer in range(layers):
        depth = layer / (layers - 1)
        base = board.height * (0.6 + 0.3 * depth)
        line = profile(rng, 60, rng.uniform(1.5, 3), 2)
        hill = [(x * board.width / 59, base + board.height * 0.2 * (0.5 - h)) for x, h in enumerate(line)]
        color = (
            rng.choice(palette.accents) if 0 < depth < 1 and rng.random() < 0.3 else along(palette.land[::-1], depth)
        )
        draw.polygon([*hill, (board.width, board.height), (0, board.height)], fill=color)
        draw.line(hill, fill=mix(color, palette.glow, 0.55), width=round(board.unit * 14))
    return image


def _polar(center: Point, radius: float, angle: float) -> Point:
    return center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle)


def tessellate(board: Board, picture: Image.Image, side: float, heart: Point, gold: float = 0.0) -> Image.Image:
    """The picture (of any size) as a mosaic of the board's size; ``side`` is a stone's, ``heart`` the rings' centre."""
    side = max(side, 6.0 * SCALE)
    grout = mix(board.palette.land[0], (70, 66, 60), 0.4)
    image = Image.blend(picture.resize(board.size), Image.new("RGB", board.size, grout), 0.62)
    draw = ImageDraw.Draw(image)
    colors = picture.convert("RGB").resize(
        (round(board.width / side), round(board.height / side)), Image.Resampling.BOX
    )
    for stone in _rings(board, side, heart):
        x, y = stone[0]
        _stone(board, draw, stone, pixel(colors, x / board.width, y / board.height), gold)
    return image


def _rings(board: Board, side: float, heart: Point) -> Iterator[Polygon]:
    """The stones, ring by ring; those wholly outside of the picture are left out."""
    reach = max(math.hypot(heart[0] - x, heart[1] - y) for x in (0, board.width) for y in (0, board.height))
    for index in range(math.ceil(reach / side) + 1):
        inner = index * side
        count = max(6, round(math.tau * (inner + side / 2) / side))
        start = board.rng.uniform(0, math.tau)
        for number in range(count):
            stone = _cut(board, heart, (inner, inner + side), (start, math.tau / count, number))
            if any(-side < x < board.width + side and -side < y < board.height + side for x, y in stone):
                yield stone


def _cut(board: Board, heart: Point, radii: tuple[float, float], turn: tuple[float, float, int]) -> Polygon:
    """One stone, cut by hand: no two quite alike."""
    inner, outer = radii
    start, step, number = turn
    gap = (outer - inner) * 0.06
    middle = max(gap, inner + (outer - inner) / 2)
    slack = min(step * 0.2, gap / middle)
    corners = (
        (inner + gap, start + step * number + slack),
        (outer - gap, start + step * number + slack * 0.8),
        (outer - gap, start + step * (number + 1) - slack * 0.8),
        (inner + gap, start + step * (number + 1) - slack),
    )
    rough = gap * 0.9
    return [
        (
            heart[0] + radius * math.cos(angle) + board.rng.uniform(-rough, rough),
            heart[1] + radius * math.sin(angle) + board.rng.uniform(-rough, rough),
        )
        for radius, angle in corners
    ]


def _stone(board: Board, draw: ImageDraw.ImageDraw, stone: Polygon, color: RGB, gold: float) -> None:
    rng = board.rng
    if gold and rng.random() < gold:
        color = mix(color, mix(board.palette.warm, board.palette.glow, 0.35), 0.75)
    light_, a, b = lab(color)
    tone = rgb((light_ + rng.gauss(0, 0.024), a * 1.06 + rng.gauss(0, 0.007), b * 1.06 + rng.gauss(0, 0.007)))
    draw.polygon(stone, fill=tone)
    thin = max(1, round(board.unit * 1.6))
    for first, second in zip(stone, stone[1:] + stone[:1], strict=True):
        up = (second[0] - first[0]) - (second[1] - first[1])  # light falls from the upper left
        if abs(up) > thin:
            lift = 0.045 if (second[0] - first[0]) * 0.7 + (first[1] - second[1]) * 0.7 > 0 else -0.045
            draw.line((first, second), fill=shade(tone, lift), width=thin)


def truchet(board: Board) -> Image.Image:
    """Curving bands on tiles of several sizes (after Christopher Carlson's multi-scale Truchet patterns)."""
    palette, rng = board.palette, board.rng
    mask = Image.new("L", board.size)
    columns = rng.choice((4, 5, 6))
    side = math.ceil(min(board.size) / columns / 12) * 12
    left, top = -rng.randrange(side), -rng.randrange(side)
    cells = [(x, y, side) for x in range(left, board.width, side) for y in range(top, board.height, side)]
    draw = ImageDraw.Draw(mask)
    for level in range(3):
        finer: list[tuple[int, int, int]] = []
        for x, y, size in cells:
            if level < 2 and rng.random() < (0.5, 0.42)[level]:
                half = size // 2
                finer += [(x + i * half, y + j * half, half) for i in (0, 1) for j in (0, 1)]
            else:
                _tile(draw, rng.choice(_MOTIFS), (x, y), size, dark=level % 2 == 0)
        cells = finer
    ground, figure = _cloth(board)
    shadow = ImageChops.offset(mask, round(board.unit * 4), round(board.unit * 8)).filter(
        ImageFilter.BoxBlur(board.unit * 7)
    )
    tint(ground, shade(palette.land[0], -0.1), shadow.point(lambda v: v * 4 // 9))
    ground.paste(figure, (0, 0), mask)
    line = mask.filter(ImageFilter.GaussianBlur(board.unit * 9)).point(lambda v: 255 if 150 < v < 172 else 0)
    tint(ground, palette.glow, ImageChops.multiply(line, mask).point(lambda v: v * 2 // 5))
    return ground


def _cloth(board: Board) -> tuple[Image.Image, Image.Image]:
    """Ground and figure of a pattern: bright on dark, or dark and bright on pale."""
    palette, rng = board.palette, board.rng
    first, second = rng.sample(palette.accents, 2)
    bright = mesh(board.size, [[rng.choice((first, first, second)) for _ in range(3)] for _ in range(3)])
    if palette.night or rng.random() < 0.6:
        rows = [[shade(palette.land[0], rng.uniform(0, 0.1)) for _ in range(3)] for _ in range(3)]
        return mesh(board.size, rows), bright
    rows = [[mix(palette.sky[2], palette.glow, rng.random()) for _ in range(3)] for _ in range(3)]
    dark = [[rng.choice((palette.land[0], palette.land[0], palette.sky[0], first)) for _ in range(4)] for _ in range(4)]
    return mesh(board.size, rows), mesh(board.size, dark)


_MOTIFS: tuple[tuple[str, ...], ...] = (
    ("nw", "se"),
    ("nw", "se"),
    ("ne", "sw"),
    ("ne", "sw"),
    ("h", "v"),
    ("nw",),
    ("se",),
    ("h",),
    ("v",),
    (),
)


def _tile(draw: ImageDraw.ImageDraw, motif: tuple[str, ...], corner: tuple[int, int], size: int, *, dark: bool) -> None:
    """One tile with its wings: discs on its corners in the ground's tone, on its edges in the figure's."""
    (x, y), third = corner, size / 3
    ground, figure = (0, 255) if dark else (255, 0)
    draw.rectangle((x, y, x + size - 1, y + size - 1), fill=ground)
    centers = {"nw": (x, y), "ne": (x + size, y), "sw": (x, y + size), "se": (x + size, y + size)}
    for part in motif:
        if part in centers:
            _arc(draw, centers[part], size, _BEGIN[part], figure)
        elif part == "h":
            draw.rectangle((x, y + third, x + size, y + 2 * third), fill=figure)
        else:
            draw.rectangle((x + third, y, x + 2 * third, y + size), fill=figure)
    half = size / 2
    for spot in ((x + half, y), (x + half, y + size), (x, y + half), (x + size, y + half)):
        disc(draw, spot, third / 2, figure)
    for spot in centers.values():
        disc(draw, spot, third, ground)


_BEGIN = {"nw": 0, "ne": 90, "se": 180, "sw": 270}
"""Degrees, clockwise from the right: where the quarter inside the tile begins at each corner."""


def _arc(draw: ImageDraw.ImageDraw, center: Point, size: int, begin: int, figure: int) -> None:
    """A quarter of a broad ring around a corner of the tile."""
    reach = size * 2 / 3
    box = [center[0] - reach, center[1] - reach, center[0] + reach, center[1] + reach]
    draw.arc(box, begin, begin + 90, fill=figure, width=round(size / 3))


def glass(board: Board) -> Image.Image:
    """Stained glass with a light behind it."""
    palette, rng = board.palette, board.rng
    sun = board.width * rng.uniform(0.3, 0.7), board.height * rng.uniform(0.24, 0.42)
    field = Field(rng, cells=4)
    stops = (palette.glow, palette.accents[1], palette.accents[0], palette.sky[1], palette.sky[0], palette.land[0])
    reach = math.hypot(*board.size) * 0.62

    def color(x: float, y: float) -> RGB:
        far = math.hypot(x - sun[0], y - sun[1]) / reach + (field.at(x / board.width, y / board.height) - 0.5) * 0.55
        if rng.random() < 0.1:
            return rng.choice(palette.accents)
        return shade(along(stops, far), rng.uniform(-0.05, 0.05))

    image = leaded(board, color, 190, lead=8)
    tint(image, palette.glow, light(board.size, sun, reach * 0.55, 0.4))
    return image


def leaded(board: Board, color: Callable[[float, float], RGB], count: int, lead: float) -> Image.Image:
    """About ``count`` panes between strips of lead; ``color`` is asked for each pane's middle."""
    side = math.sqrt(board.width * board.height / count)
    sites = _spread(board, side)
    sites = [_middle(pane) for pane in _panes(board, sites, side)]  # once over, for panes of a more even size
    panes = _panes(board, sites, side)
    image = Image.new("RGB", board.size)
    draw = ImageDraw.Draw(image)
    for pane in panes:
        draw.polygon(pane, fill=color(*_middle(pane)))
    streaks = clouds(board.size, (14, 5), board.rng, 3).point(lambda v: 96 + (v - 128) // 2 + 32)
    image = ImageChops.multiply(image, Image.merge("RGB", (streaks.point(lambda v: min(255, v + 100)),) * 3))
    _lead(board, image, panes, lead)
    return image


def _lead(board: Board, image: Image.Image, panes: list[Polygon], lead: float) -> None:
    wide = max(3, round(board.unit * lead))
    dark = mix(board.palette.land[0], (14, 14, 18), 0.7)

    def strips(draw: ImageDraw.ImageDraw) -> None:
        for pane in panes:
            draw.line([*pane, pane[0], pane[1]], fill=255, width=wide, joint="curve")

    mask = paint(board.size, strips)
    near = mask.filter(ImageFilter.BoxBlur(wide)).point(lambda v: v * 2 // 5)
    tint(image, dark, near)
    tint(image, dark, mask)
    thin = ImageChops.offset(mask, -round(board.unit * 2), -round(board.unit * 2))
    edge = ImageChops.subtract(mask, thin)
    tint(image, shade(dark, 0.28), edge.point(lambda v: v // 2))


def _spread(board: Board, side: float) -> list[Point]:
    """Points on a shaken grid that reaches a little beyond the picture."""
    return [
        ((column + board.rng.uniform(-0.42, 0.42)) * side, (row + board.rng.uniform(-0.42, 0.42)) * side)
        for row in range(-1, math.ceil(board.height / side) + 2)
        for column in range(-1, math.ceil(board.width / side) + 2)
    ]


def _panes(board: Board, sites: list[Point], side: float) -> list[Polygon]:
    """A pane for each site; only those within a few sides can be its neighbours."""
    reach = side * 3.3
    return [
        _pane(board, (x, y), [(a, b) for a, b in sites if abs(a - x) < reach and abs(b - y) < reach]) for x, y in sites
    ]


def _pane(board: Board, site: Point, sites: list[Point]) -> Polygon:
    """The places that are nearer to this site than to any other: a rectangle, cut by the neighbours one by one."""
    x, y = site
    rim = max(board.size) * 0.2
    pane: Polygon = [
        (-rim, -rim),
        (board.width + rim, -rim),
        (board.width + rim, board.height + rim),
        (-rim, board.height + rim),
    ]
    others = sorted((math.hypot(a - x, b - y), a, b) for a, b in sites if (a, b) != site)
    for far, a, b in others:
        reach = max(math.hypot(px - x, py - y) for px, py in pane)
        if far > 2 * reach:
            break
        pane = _half(pane, ((x + a) / 2, (y + b) / 2), (a - x, b - y))
    return pane


def _half(pane: Polygon, through: Point, normal: Point) -> Polygon:
    """What is left of a polygon on the near side of a line (Sutherland and Hodgman's cut)."""
    kept: Polygon = []
    sides = [(px - through[0]) * normal[0] + (py - through[1]) * normal[1] for px, py in pane]
    for index, (point, side) in enumerate(zip(pane, sides, strict=True)):
        before, other = pane[index - 1], sides[index - 1]
        if (side > 0) != (other > 0):
            part = other / (other - side)
            kept.append((before[0] + (point[0] - before[0]) * part, before[1] + (point[1] - before[1]) * part))
        if side <= 0:
            kept.append(point)
    return kept


def _middle(pane: Polygon) -> Point:
    return sum(x for x, _ in pane) / len(pane), sum(y for _, y in pane) / len(pane)

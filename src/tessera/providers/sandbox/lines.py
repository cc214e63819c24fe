"""Pictures made of lines: ribbons that follow a current, and orbits around a light."""

import math
from collections.abc import Iterator

from PIL import Image, ImageDraw, ImageFilter

from tessera.providers.sandbox.canvas import Board, Field, Point, disc, light, mesh, paint, ring, tint
from tessera.providers.sandbox.palette import RGB, along, mix, shade


def ribbons(board: Board) -> Image.Image:
    """Broad bands that follow one current and never touch."""
    palette, rng = board.palette, board.rng
    ground = (
        mix(palette.land[0], palette.sky[0], 0.25) if rng.random() < 0.6 else mix(palette.sky[2], palette.glow, 0.5)
    )
    image = mesh(board.size, [[shade(ground, rng.uniform(-0.04, 0.04)) for _ in range(3)] for _ in range(3)])
    current = _Current(board)
    shadow = Image.new("L", board.size)
    bands = list(_bands(board, current))
    under = ImageDraw.Draw(shadow)
    for points, width, _ in bands:
        _band(under, [(x + width * 0.06, y + width * 0.16) for x, y in points], width, 120)
    tint(image, shade(ground, -0.22), shadow.filter(ImageFilter.BoxBlur(board.unit * 5)))
    draw = ImageDraw.Draw(image)
    for points, width, color in bands:
        _band(draw, points, width, color)
        if width > board.unit * 14:
            _band(draw, points, width * 0.16, mix(color, palette.glow, 0.35))
    return image


class _Current:
    """A direction for every place, turning gently over the picture."""

    def __init__(self, board: Board) -> None:
        self._field = Field(board.rng, cells=board.rng.choice((2, 3, 3, 4)))
        self._base = board.rng.uniform(0, math.tau)
        self._turn = board.rng.uniform(2.4, 4.2)
        self._width, self._height = board.size

    def at(self, x: float, y: float) -> float:
        return self._base + self._turn * self._field.at(x / self._width, y / self._height)


def _bands(board: Board, current: _Current) -> Iterator[tuple[list[Point], float, RGB]]:
    """Bands as their middle line, width and colour; each keeps clear of those before it."""
    palette, rng = board.palette, board.rng
    colors = [*palette.accents, *palette.accents[:2], *palette.sky, palette.land[1], palette.glow]
    tones = Field(rng, cells=3)
    taken = _Taken(board)
    for attempt in range(1500):
        wide = board.unit * (44 if attempt < 60 else 24 if attempt < 300 else 11 if attempt < 900 else 5.5)
        wide *= rng.uniform(0.7, 1.25)
        start = rng.uniform(-0.05, 1.05) * board.width, rng.uniform(-0.05, 1.05) * board.height
        points = _follow(board, current, taken, start, wide)
        if len(points) * board.unit * 6 > wide * 3:
            taken.take(points, wide)
            tone = tones.at(points[0][0] / board.width, points[0][1] / board.height)
            color = rng.choice(colors) if rng.random() < 0.45 else along(palette.ramp, 0.15 + 0.85 * tone)
            yield points, wide, shade(color, rng.uniform(-0.03, 0.03))


def _follow(board: Board, current: _Current, taken: "_Taken", start: Point, wide: float) -> list[Point]:
    step, points, (x, y) = board.unit * 6, [], start
    for _ in range(round(board.rng.uniform(40, 130))):
        if taken.near(x, y, wide):
            break
        points.append((x, y))
        angle = current.at(x, y)
        x, y = x + step * math.cos(angle), y + step * math.sin(angle)
    return points


_ROUND = ((0.0, 0.0), *((math.cos(turn * math.pi / 4), math.sin(turn * math.pi / 4)) for turn in range(8)))


class _Taken:
    """Which places are covered already, in coarse cells; a rim around the picture counts as free."""

    def __init__(self, board: Board) -> None:
        self._cell = board.unit * 5
        self._cells: set[tuple[int, int]] = set()
        self._bounds = -0.08 * board.width, -0.08 * board.height, 1.08 * board.width, 1.08 * board.height

    def near(self, x: float, y: float, wide: float) -> bool:
        left, top, right, bottom = self._bounds
        if not (left < x < right and top < y < bottom):
            return True
        reach = wide / 2 + self._cell * 0.9
        cell = self._cell
        return any((int((x + reach * dx) // cell), int((y + reach * dy) // cell)) in self._cells for dx, dy in _ROUND)

    def take(self, points: list[Point], wide: float) -> None:
        cell = self._cell
        reach = math.ceil(wide / 2 / cell)
        round_ = [
            (i, j)
            for i in range(-reach, reach + 1)
            for j in range(-reach, reach + 1)
            if math.hypot(i, j) * cell <= wide / 2 + cell * 0.5
        ]
        for x, y in points:
            column, row = int(x // cell), int(y // cell)
            self._cells.update((column + i, row + j) for i, j in round_)


def _band(draw: ImageDraw.ImageDraw, points: list[Point], width: float, color: RGB | int) -> None:
    """A thick line with round ends."""
    thick = max(1, round(width))
    if len(points) > 1:
        draw.line(points, fill=color, width=thick)
    for point in points if thick > 6 else (points[0], points[-1]):
        disc(draw, point, (thick - 1) / 2, color)  # fills the notches where two pieces of the line meet


def orbits(board: Board) -> Image.Image:
    """Rings around a light, with bodies on them and a fine moire behind."""
    palette, rng = board.palette, board.rng
    deep = mix(palette.land[0], palette.sky[0], 0.16)
    image = mesh(board.size, [[mix(deep, palette.sky[0], rng.uniform(0, 0.4)) for _ in range(4)] for _ in range(3)])
    center = board.width * rng.uniform(0.34, 0.66), board.height * rng.uniform(0.3, 0.48)
    _dust(board, image)
    _moire(board, image, center)
    reach = max(board.size) * 0.6
    tint(image, palette.accents[1], light(board.size, center, reach * 0.75, 0.55))
    tint(image, palette.glow, light(board.size, center, reach * 0.32, 0.9))
    radius = board.unit * rng.uniform(54, 74)
    disc(ImageDraw.Draw(image), center, radius, mix(palette.glow, (255, 255, 255), 0.4))
    while radius < reach * 1.25:
        radius += board.unit * rng.uniform(34, 84)
        _orbit(board, image, center, radius)
    return image


def _dust(board: Board, image: Image.Image) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(420):
        spot = board.rng.uniform(0, board.width), board.rng.uniform(0, board.height)
        color = mix(board.palette.sky[0], board.palette.glow, board.rng.uniform(0.1, 0.75))
        disc(draw, spot, board.unit * board.rng.choice((0.5, 0.7, 0.7, 1.3)), color)


def _moire(board: Board, image: Image.Image, center: Point) -> None:
    """Two families of fine rings, a little apart."""
    step, shift = board.unit * 9, board.unit * board.rng.uniform(10, 26)
    other = center[0] + shift, center[1] + shift * board.rng.uniform(-1, 1)

    def draw_rings(draw: ImageDraw.ImageDraw) -> None:
        for index in range(1, math.ceil(max(board.size) / step)):
            ring(draw, center, index * step, board.unit, 46)
            ring(draw, other, index * step, board.unit, 46)

    tint(image, mix(board.palette.sky[2], board.palette.accents[2], 0.4), paint(board.size, draw_rings))


def _orbit(board: Board, image: Image.Image, center: Point, radius: float) -> None:
    palette, rng = board.palette, board.rng
    draw = ImageDraw.Draw(image)
    box = (center[0] - radius, center[1] - radius, center[0] + radius, center[1] + radius)
    ring(draw, center, radius, board.unit * rng.choice((1.2, 1.6, 2.2)), mix(palette.sky[1], palette.glow, 0.35))
    for _ in range(rng.randint(0, 2)):
        begin = rng.uniform(0, 360)
        color = rng.choice((*palette.accents, palette.glow))
        draw.arc(box, begin, begin + rng.uniform(20, 130), fill=color, width=round(board.unit * rng.uniform(4, 15)))
    for _ in range(rng.choice((0, 1, 1, 2))):
        angle = rng.uniform(0, math.tau)
        spot = center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle)
        _body(board, image, spot, board.unit * rng.choice((7, 11, 17, 27, 40)), center)


def _body(board: Board, image: Image.Image, spot: Point, radius: float, sun: Point) -> None:
    """A ball, lit from the sun's side."""
    palette = board.palette
    color = board.rng.choice((*palette.accents, palette.sky[1], palette.sky[2]))
    angle = math.atan2(sun[1] - spot[1], sun[0] - spot[0])
    disc(ImageDraw.Draw(image), spot, radius * 1.16, mix(palette.land[0], palette.sky[0], 0.3))
    side = max(4, round(radius * 2))
    ball = Image.new("RGB", (side, side), shade(color, -0.24))
    lit = radius * (1 + 0.42 * math.cos(angle)), radius * (1 + 0.42 * math.sin(angle))
    tint(ball, shade(color, 0.12), light(ball.size, lit, radius * 2.1))
    tint(ball, palette.glow, light(ball.size, lit, radius * 1.0, 0.6))
    mask = paint(ball.size, lambda draw: disc(draw, (side / 2, side / 2), radius - 1, 255))
    image.paste(ball, (round(spot[0] - radius), round(spot[1] - radius)), mask)

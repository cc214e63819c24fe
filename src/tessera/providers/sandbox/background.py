"""Background removal for pictures whose ground is simple: one colour, a gradient, a vignette, a few flat colours.

What the ground looks like is learned from the rim of the picture. From the rim it is then flooded inward, as far as the
colours, compared as an eye compares them, are those of the ground; where that meets an edge the alpha goes from nothing
to all as the edge does. Ground that a subject encloses is kept, and so is what the ground's colours cannot explain.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

_WORK = 1280
"""Pixels of the longer side at which the subject is looked for; the alpha is enlarged afterwards."""

_NEAREST, _FARTHEST = 0.035, 0.11
"""Bounds of the tolerance, as distances in Oklab: half of the smaller one is hardly seen."""

_ELSEWHERE = 0.25
"""How far from the rim's colours the ground may go in the middle, if it goes there gently."""

_ROUNDS = 3
"""How often the shore is looked at again, with what was learned of the ground nearby."""

_SPECK = 0.0008
"""Parts of the picture that are smaller than this share of it are dust, on either side of the edge."""

_SURFACES = 4
_SHARE = 12
"""How many grounds there can be, and the part of the rim that makes one: a twelfth."""

_NEARBY = 12
"""Pixels around a place that say what the ground is there."""

_REACH = 3
"""Pixels on both sides of the flood's shore in which the edge may be soft."""


def cut(picture: Image.Image) -> Image.Image:
    """The subject on nothing, as RGBA in the size of the picture. What is transparent already stays so."""
    given = picture.convert("RGBA")
    small = given.copy()
    small.thumbnail((_WORK, _WORK), Image.Resampling.BOX)
    # On the ground of its own rim what is transparent cannot be told from it.
    rgb = np.asarray(np.asarray(_flat(small)) / 255, np.float32)
    lab = oklab(rgb)
    ground = _ground(lab)
    distance = _distance(lab, ground)
    tolerance = _tolerance(distance)
    like = _calm(distance) < tolerance
    flood = _flooded(like | (_smooth(lab) & (distance < _ELSEWHERE)), like)
    for _ in range(_ROUNDS):
        # Near its shore the ground is what it is around there, not what the rim lets one expect.
        ground = _local(lab, flood, ground)
        distance = _distance(lab, ground)
        flood = _flooded(flood | (_calm(distance) < tolerance), flood)
    alpha = _alpha(rgb, ground, _despeckle(flood), tolerance)
    mask = Image.fromarray(np.round(alpha * 255).astype(np.uint8))
    if mask.size != given.size:
        mask = mask.resize(given.size, Image.Resampling.BICUBIC)
    return _lifted(given, mask, ground)


def oklab(rgb: Plane) -> Plane:
    """sRGB in 0..1 as Oklab: distances are alike where differences look alike."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(linear @ _TO_CONES.T)
    return np.asarray(cones @ _TO_LAB.T, np.float32)


_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)


def _flat(image: Image.Image) -> Image.Image:
    """On white where it is transparent."""
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _rim(shape: tuple[int, ...]) -> Mask:
    """The outermost pixels, where a subject seldom is."""
    wide = max(1, round(min(shape[:2]) * 0.015))
    rim = np.ones(shape[:2], bool)
    rim[wide:-wide, wide:-wide] = False
    return rim


def _ground(lab: Plane) -> Plane:
    """The colours of the ground at every place: for each pixel the nearest of the surfaces that the rim suggests.

    The first one is fitted to what most of the rim is, the next to what of the rim is left, as long as that is much.
    """
    rim = _rim(lab.shape)
    terms = _terms(lab.shape)
    known, colors = terms[rim], lab[rim]
    left = np.ones(len(colors), bool)
    best, nearest = np.zeros_like(lab), np.full(lab.shape[:2], np.inf, np.float32)
    for _ in range(_SURFACES):
        found, mine = _surface(known, colors, left)
        low, high = colors[mine].min(axis=0), colors[mine].max(axis=0)
        # Between its colours on the rim, however far the surface would bend on the way to the middle.
        surface = np.clip(terms @ found, low, high)
        far = ((lab - surface) ** 2).sum(axis=2)
        best = np.where((far < nearest)[..., None], surface, best)
        nearest = np.minimum(far, nearest)
        left &= ~mine
        if left.sum() * _SHARE < len(colors):
            break
    return np.asarray(best, np.float32)


def _terms(shape: tuple[int, ...]) -> Plane:
    """What a surface of the second degree is made of, at every place."""
    high, wide = shape[:2]
    y, x = np.mgrid[0:high, 0:wide].astype(np.float32)
    x, y = 2 * x / max(1, wide - 1) - 1, 2 * y / max(1, high - 1) - 1
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)


def _surface(known: Plane, colors: Plane, left: Mask) -> tuple[Plane, Mask]:
    """A surface through the commonest colour of what is left of the rim, and which parts of the rim lie on it.

    What lies far off counts less from round to round, and it may bend only when it lies well: a subject that touches
    the rim, or a second ground, does not pull at it.
    """
    off = np.sqrt(((colors - _commonest(colors[left])) ** 2).sum(axis=1))
    width = 0.05
    found = np.zeros((known.shape[1], 3), np.float32)
    for degree in (1, 3, 3, 3, 6, 6, 6):
        weights = np.where(left, 1 / (1 + (off / width) ** 2) ** 2, 0)
        root = np.sqrt(weights)[:, None]
        found = np.zeros_like(found)
        found[:degree] = np.linalg.lstsq(known[:, :degree] * root, colors * root, rcond=1e-3)[0]
        off = np.sqrt(((known @ found - colors) ** 2).sum(axis=1))
        width = 0.03
    mine = left & (off < _FARTHEST / 2)
    return found, mine if mine.any() else left


def _commonest(colors: Plane) -> Plane:
    _, index, counts = np.unique(np.round(colors / 0.04), axis=0, return_inverse=True, return_counts=True)
    return np.asarray(colors[index.reshape(-1) == counts.argmax()].mean(axis=0), np.float32)


def _tolerance(distance: Plane) -> float:
    """How far from the ground its own pixels are: what most of the rim keeps to, with some room."""
    rim = distance[_rim(distance.shape)]
    usual = float(np.quantile(rim[rim < _FARTHEST], 0.9)) if (rim < _FARTHEST).any() else 0.0
    return min(_FARTHEST, max(_NEAREST, usual * 1.8))


def _calm(distance: Plane) -> Plane:
    """Distances without grain: single pixels are no shore."""
    grey = Image.fromarray(np.minimum(255, distance * 255 / (2 * _FARTHEST)).astype(np.uint8))
    return np.asarray(np.asarray(grey.filter(ImageFilter.MedianFilter(3))) * (2 * _FARTHEST / 255), np.float32)


def _distance(lab: Plane, ground: Plane) -> Plane:
    return np.asarray(np.sqrt(((lab - ground) ** 2).sum(axis=2)), np.float32)


def _smooth(lab: Plane) -> Mask:
    """Where the colours change no faster than they do, grain and all, on most of the rim."""
    soft = _mean(_mean(lab, 1), 1)
    slope = np.zeros(lab.shape[:2], np.float32)
    slope[2:-2] += ((soft[4:] - soft[:-4]) ** 2).sum(axis=2)
    slope[:, 2:-2] += ((soft[:, 4:] - soft[:, :-4]) ** 2).sum(axis=2)
    slope = np.sqrt(slope)
    return slope < min(0.012, max(0.005, 1.3 * float(np.median(slope[_rim(lab.shape)]))))


def _local(lab: Plane, flood: Mask, ground: Plane) -> Plane:
    """The ground as it is nearby: the mean colour of the flood around each place, and ``ground`` far from all flood."""
    mean, there = _nearby(lab, flood, _NEARBY)
    return np.asarray(np.where(there[..., None], mean, ground), np.float32)


def _nearby(colors: Plane, part: Mask, reach: int) -> tuple[Plane, Mask]:
    """The mean colour of what lies well inside of a part, around each place; and where there is any."""
    deep = (1 - _grown((~part).astype(np.float32), _REACH))[..., None]
    weight = _mean(deep, reach)
    mean = np.asarray(_mean(colors * deep, reach) / np.maximum(weight, 1e-6), np.float32)
    return mean, weight[..., 0] > 0.01


def _mean(plane: Plane, reach: int) -> Plane:
    """The mean of the values within ``reach`` pixels, in a square; at the border, of those that there are."""
    for axis in (0, 1):
        long = plane.shape[axis]
        begin = np.zeros((1, *plane.shape[1:]) if axis == 0 else (plane.shape[0], 1, *plane.shape[2:]))
        total = np.concatenate([begin, np.cumsum(plane, axis=axis, dtype=np.float64)], axis=axis)
        low, high = np.maximum(np.arange(long) - reach, 0), np.minimum(np.arange(long) + reach + 1, long)
        count = (high - low).reshape(-1, *([1] * (plane.ndim - 1 - axis)))
        plane = np.asarray((np.take(total, high, axis) - np.take(total, low, axis)) / count, np.float32)
    return plane


def _flooded(open_: Mask, source: Mask) -> Mask:
    """What of the open ground can be reached from where the source touches the border of the picture."""
    labels, count = regions(open_)
    sources = np.where(source & open_, labels, 0)
    reached = np.zeros(count + 1, bool)
    for border in (sources[0], sources[-1], sources[:, 0], sources[:, -1]):
        reached[border] = True
    reached[0] = False
    return reached[labels]


def _despeckle(flood: Mask) -> Mask:
    """Without dust: small islands are drowned, small pools are filled."""
    least = max(4, round(flood.size * _SPECK))
    for side in (False, True):
        labels, count = regions(flood == side)
        small = np.bincount(labels.ravel(), minlength=count + 1) < least
        small[0] = False
        flood = np.where(small[labels], not side, flood)
    return flood


def regions(mask: Mask) -> tuple[NDArray[np.int64], int]:
    """Each pixel's number, from 1 on, of the connected part of the mask that it lies in; 0 outside. And how many."""
    high, wide = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    parent = list(range(len(starts)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    first = np.searchsorted(rows, np.arange(high + 1))
    begin, end = starts.tolist(), ends.tolist()
    for row in range(1, high):
        above, below = int(first[row - 1]), int(first[row])
        last_above, last_below = below, int(first[row + 1])
        while above < last_above and below < last_below:
            if begin[above] < end[below] and begin[below] < end[above]:
                parent[root(below)] = root(above)
            if end[above] < end[below]:
                above += 1
            else:
                below += 1
    roots = np.array([root(run) for run in range(len(parent))], np.int64)
    _, numbers = np.unique(roots, return_inverse=True)
    steps = np.zeros((high, wide + 1), np.int64)
    steps[rows, starts] = numbers + 1
    np.subtract.at(steps, (rows, ends), numbers + 1)
    return np.cumsum(steps, axis=1)[:, :wide], int(numbers.max() + 1) if len(numbers) else 0


def _alpha(rgb: Plane, ground: Plane, flood: Mask, tolerance: float) -> Plane:
    """0 in the flood, 1 beyond its shore; between them, how much of the subject's colour a pixel has."""
    shore = _grown(flood.astype(np.float32), _REACH) > 0
    far_out = 1 - _grown((~flood).astype(np.float32), _REACH - 1)  # where no subject is near
    mixed, certain = _mixed(rgb, srgb(ground), ~flood)
    share = certain * mixed + (1 - certain) * _far(_distance(oklab(rgb), ground), tolerance)
    return np.asarray(np.where(shore, share, 1.0) * (1 - far_out), np.float32)


def _mixed(rgb: Plane, behind: Plane, subject: Mask) -> tuple[Plane, Plane]:
    """How much of the subject's colour nearby is mixed with the ground's, and how certain it is that this is a mixture.

    A mixture lies on the line between the two. What does not is of another colour of the subject, and so is what has
    no sure subject near: a hair.
    """
    front, there = _nearby(rgb, subject, _REACH + 2)
    way = front - behind
    long = np.maximum((way**2).sum(axis=2), 1e-4)
    share = ((rgb - behind) * way).sum(axis=2) / long
    off = np.sqrt(((rgb - behind - share[..., None] * way) ** 2).sum(axis=2))
    certain = np.where(there & (long > 0.02), np.clip(1.5 - off / 0.08, 0, 1), 0)
    return np.clip((share - 0.04) / 0.92, 0, 1), certain


def _far(distance: Plane, tolerance: float) -> Plane:
    """The same guessed: the part of the way to the farthest colour around, as the eye sees it."""
    full = np.maximum(_grown(distance, _REACH), 2.5 * tolerance)
    return np.clip((distance - 0.6 * tolerance) / (0.9 * full - 0.6 * tolerance), 0, 1)


def _grown(plane: Plane, reach: int) -> Plane:
    """The largest value within ``reach`` pixels, in a square."""
    for axis in (0, 1):
        grown = plane
        for step in range(1, reach + 1):
            for shift in (step, -step):
                moved = np.roll(plane, shift, axis)
                edge = [slice(None), slice(None)]
                edge[axis] = slice(0, shift) if shift > 0 else slice(shift, None)
                moved[tuple(edge)] = 0
                grown = np.maximum(grown, moved)
        plane = grown
    return plane


def _lifted(given: Image.Image, mask: Image.Image, ground: Plane) -> Image.Image:
    """The picture with its new alpha, and without the ground's colour in the pixels of the edge."""
    before = given.getchannel("A")
    mask = ImageChops.multiply(mask, before)
    alpha, colors = np.asarray(mask), np.array(given.convert("RGB"))
    rows, columns = np.nonzero((alpha > 5) & (alpha < 250) & (np.asarray(before) > 250))
    if len(rows):
        behind = 255 * srgb(ground[rows * ground.shape[0] // given.height, columns * ground.shape[1] // given.width])
        share = np.maximum(alpha[rows, columns] / 255, 0.15)[:, None]
        bare = (colors[rows, columns] - (1 - share) * behind) / share
        colors[rows, columns] = np.round(np.clip(bare, 0, 255)).astype(np.uint8)
    result = Image.fromarray(colors)
    result.putalpha(mask)
    return result


def srgb(lab: Plane) -> Plane:
    """Oklab back as sRGB in 0..1; what no screen can show is brought to the nearest that one can."""
    cones = (lab @ np.linalg.inv(_TO_LAB).T) ** 3
    linear = np.clip(cones @ np.linalg.inv(_TO_CONES).T, 0, 1)
    return np.asarray(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055), np.float32)

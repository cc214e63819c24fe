"""Frames as films have them: a plane of light and two of colour, at half the width and height.

Pictures come in as Pillow has them and are turned once (BT.709, video range). What is laid over a frame later, a
caption or a leaf in the wind, is turned once too and only blended from then on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from PIL import Image

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint16]
Box = tuple[float, float, float, float]

_HD = 720
"""Lines from which on an unlabelled video is taken for BT.709, as players do."""


@dataclass(frozen=True, slots=True)
class Planes:
    """One frame: ``y`` has a byte a pixel, ``u`` and ``v`` one for four."""

    y: Bytes
    u: Bytes
    v: Bytes

    def __iter__(self) -> Iterator[Bytes]:
        return iter((self.y, self.u, self.v))

    @property
    def size(self) -> tuple[int, int]:
        return self.y.shape[1], self.y.shape[0]

    def copy(self) -> "Planes":
        return Planes(self.y.copy(), self.u.copy(), self.v.copy())


def turn(image: Image.Image) -> Planes:
    """The planes of a picture of even size."""
    frame = VideoFrame.from_ndarray(np.asarray(image.convert("RGB")), format="rgb24")
    return of(frame)


def of(frame: VideoFrame) -> Planes:
    """The planes of a decoded frame of any kind, as it lies in the file. An odd size keeps its last row and column."""
    source: int = frame.colorspace
    if source not in (Colorspace.ITU709, Colorspace.ITU601, Colorspace.SMPTE240M):
        source = Colorspace.ITU709 if frame.height >= _HD else Colorspace.ITU601
    full = frame.color_range == ColorRange.JPEG or frame.format.is_rgb or frame.format.name.startswith("yuvj")
    flat = frame.reformat(
        format="yuv420p",
        src_colorspace=source,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )
    y, u, v = (_bytes(plane).copy() for plane in flat.planes)
    return Planes(y, u, v)


def _bytes(plane: VideoPlane) -> Bytes:
    """The pixels of a plane, in place."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def frame_of(planes: Planes, number: int, fps: int) -> VideoFrame:
    """The planes as frame ``number`` for an encoder."""
    width, height = planes.size
    frame = VideoFrame(width, height, "yuv420p")
    for plane, values in zip(frame.planes, planes, strict=True):
        _bytes(plane)[...] = values
    frame.pts, frame.time_base = number, Fraction(1, fps)
    return frame


def image(planes: Planes) -> Image.Image:
    """The frame as a picture."""
    frame = frame_of(planes, 0, 1)
    frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
    pixels = frame.to_ndarray(
        format="rgb24",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.JPEG,
    )
    return Image.fromarray(pixels)


def scale(planes: Planes, size: tuple[int, int], how: int = Interpolation.BICUBIC) -> Planes:
    """The frame at another even size."""
    if planes.size == size:
        return planes
    half = size[0] // 2, size[1] // 2
    return Planes(_resize(planes.y, size, how), _resize(planes.u, half, how), _resize(planes.v, half, how))


def _resize(plane: Bytes, size: tuple[int, int], how: int) -> Bytes:
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(plane), format="gray")
    result = frame.reformat(width=size[0], height=size[1], interpolation=how, threads=1)
    return _bytes(result.planes[0]).copy()


def cover(planes: Planes, size: tuple[int, int], *, squeeze: float = 1.0, degrees: int = 0) -> Planes:
    """The middle of the frame, filling the asked size; ``degrees`` are turned counterclockwise.

    ``squeeze`` is how much wider than tall its pixels are.
    """
    wide, tall = size if degrees % 180 == 0 else size[::-1]
    width, height = planes.size
    factor = max(wide / (width * squeeze), tall / height)
    across, down = min(width, wide / factor / squeeze), min(height, tall / factor)
    left, top = int((width - across) / 4) * 2, int((height - down) / 4) * 2
    part = cut(planes, left, top, max(2, round(across / 2) * 2), max(2, round(down / 2) * 2))
    result = scale(part, (wide, tall))
    if not degrees:
        return result
    y, u, v = (np.ascontiguousarray(np.rot90(plane, degrees // 90)) for plane in result)
    return Planes(y, u, v)


def cut(planes: Planes, left: int, top: int, width: int, height: int) -> Planes:
    """A part of the frame, without a copy; all numbers are even."""
    half = np.s_[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2]
    return Planes(planes.y[top : top + height, left : left + width], planes.u[half], planes.v[half])


class Still:
    """A picture that a camera moves over."""

    def __init__(self, planes: Planes) -> None:
        self._planes = [Image.fromarray(plane) for plane in planes]
        self.size = planes.size

    def seen(self, box: Box, size: tuple[int, int]) -> Planes:
        """What lies in the box (left, top, right, bottom; in pixels and parts of them), at the asked size."""
        return Planes(*(_seen(plane, box, size, 2 if index else 1) for index, plane in enumerate(self._planes)))


def _seen(plane: Image.Image, box: Box, size: tuple[int, int], part: int) -> Bytes:
    left, top, right, bottom = (side / part for side in box)
    inside = max(0.0, left), max(0.0, top), min(float(plane.width), right), min(float(plane.height), bottom)
    return np.array(plane.resize((size[0] // part, size[1] // part), Image.Resampling.BILINEAR, box=inside))


def mix(first: Planes, second: Planes, mask: Words) -> Planes:
    """The second frame over the first where the mask, 0..256 a pixel, says so."""
    small = mask[::2, ::2]
    y = _mix(first.y, second.y, mask)
    return Planes(y, _mix(first.u, second.u, small), _mix(first.v, second.v, small))


def _mix(first: Bytes, second: Bytes, mask: Words) -> Bytes:
    return ((first * (256 - mask) + second * mask) >> 8).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Patch:
    """A small picture with transparency, ready to be laid over frames: colours times alpha, and alpha, both 0..256."""

    colors: tuple[Words, Words, Words]
    alpha: Words
    half: Words

    @property
    def size(self) -> tuple[int, int]:
        return self.alpha.shape[1], self.alpha.shape[0]


def patch(picture: Image.Image) -> Patch:
    """A patch from an RGBA picture; it grows by a row or a column where its size is odd."""
    even = Image.new("RGBA", (-(-picture.width // 2) * 2, -(-picture.height // 2) * 2))
    even.paste(picture)
    alpha = np.asarray(even.getchannel("A")).astype(np.uint16)
    alpha += alpha >> 7
    half = (alpha[::2, ::2] + alpha[1::2, ::2] + alpha[::2, 1::2] + alpha[1::2, 1::2] + np.uint16(2)) >> np.uint16(2)
    planes = turn(even.convert("RGB"))
    return Patch((planes.y * alpha, planes.u * half, planes.v * half), alpha, half)


def lay(planes: Planes, piece: Patch, x: int, y: int, opacity: float = 1.0) -> None:
    """Lay a patch over the frame, its corner at ``x``, ``y``; what reaches beyond the frame is cut off."""
    strength = round(256 * min(1.0, max(0.0, opacity)))
    if strength:
        _lay(planes.y, piece.colors[0], piece.alpha, (x, y), strength)
        _lay(planes.u, piece.colors[1], piece.half, (x // 2, y // 2), strength)
        _lay(planes.v, piece.colors[2], piece.half, (x // 2, y // 2), strength)


def _lay(plane: Bytes, color: Words, alpha: Words, corner: tuple[int, int], strength: int) -> None:
    x, y = corner
    left, top = max(0, -x), max(0, -y)
    wide, tall = min(alpha.shape[1], plane.shape[1] - x), min(alpha.shape[0], plane.shape[0] - y)
    if wide <= left or tall <= top:
        return
    part = np.s_[top:tall, left:wide]
    over, cover_ = color[part], alpha[part]
    if strength < 256:
        over = ((over.astype(np.uint32) * strength) >> 8).astype(np.uint16)
        cover_ = ((cover_.astype(np.uint32) * strength) >> 8).astype(np.uint16)
    below = plane[y + top : y + tall, x + left : x + wide]
    below[...] = (below * (256 - cover_) + over) >> 8


def stamp(planes: Planes, mask: Bytes, x: int, y: int, opacity: float = 1.0) -> None:
    """White letters: ``mask`` says where, 0..255."""
    alpha = np.round(mask * opacity).astype(np.uint16)
    bright = planes.y[y : y + mask.shape[0], x : x + mask.shape[1]]
    alpha = alpha[: bright.shape[0], : bright.shape[1]]
    bright[...] = (bright * (255 - alpha) + 235 * alpha) // 255


def gray(size: tuple[int, int], level: int = 16) -> Planes:
    """A frame of one grey; 16 is black, 235 white."""
    half = size[1] // 2, size[0] // 2
    return Planes(np.full(size[::-1], level, np.uint8), np.full(half, 128, np.uint8), np.full(half, 128, np.uint8))

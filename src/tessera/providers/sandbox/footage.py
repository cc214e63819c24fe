"""Videos that were given, as frames of one size and one pace."""

import math
from collections.abc import Iterator
from pathlib import Path

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tessera.providers.sandbox.planes import Planes, cover, image, of
from tessera.providers.sandbox.probe import MOST_SECONDS, opened, pictures, shown, small, squeeze, turned
from tessera.providers.sandbox.trouble import BadMediaError

_SHORTEST = 0.02
"""Seconds that the last frame is shown at least."""

_TAIL = 3.0
"""Seconds before the end at which the search for the last frame begins."""


def frames(path: Path, size: tuple[int, int], fps: int, seconds: float) -> Iterator[Planes]:
    """The frames of a video at ``size`` and ``fps``, for at most ``seconds``. Raises BadMediaError.

    At every tick it is the frame that a player would show then; so a film with an uneven pace keeps its time.
    """
    most = max(1, round(min(seconds, MOST_SECONDS["video"]) * fps))
    with opened(path) as container:
        stream = _stream(container)
        tick = 0
        for frame, until in _spans(container, stream):
            end = min(most, max(1, math.ceil((until - 0.25 / fps) * fps)))
            shaped = _shaped(frame, stream, size) if tick < end else None
            while shaped is not None and tick < end:
                yield shaped.copy()  # whoever gets it may draw on it
                tick += 1
            if tick >= most:
                return


def _spans(container: InputContainer, stream: VideoStream) -> Iterator[tuple[VideoFrame, float]]:
    """The frames, each with the second at which the next takes its place. Raises BadMediaError where there is none."""
    held, start, at = None, 0.0, 0.0
    for frame in _decoded(container, stream):
        time = frame.time if frame.time is not None else at + start
        if held is None:
            start = time
        else:
            yield held, max(at, time - start)
        held, at = frame, max(at, time - start)
    if held is None:
        raise BadMediaError("The video has no frame that can be decoded")
    yield held, at + max(_length(held, stream), _SHORTEST)


def _stream(container: InputContainer) -> VideoStream:
    stream = pictures(container)
    if stream is None:
        raise BadMediaError("The file has no moving pictures")
    return stream


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    for frame in container.decode(stream):
        small(frame.width, frame.height)  # a stream may change its size on the way
        yield frame


def _length(frame: VideoFrame, stream: VideoStream) -> float:
    """How long the frame is shown, in seconds, as far as the file says."""
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return float(1 / stream.average_rate) if stream.average_rate else 0.0


def _shaped(frame: VideoFrame, stream: VideoStream, size: tuple[int, int]) -> Planes:
    return cover(of(frame), size, squeeze=squeeze(stream), degrees=turned(frame))


def still(path: Path, at: float, out: Path) -> Path:
    """Write the frame shown at second ``at`` as PNG, at the video's own size. Raises BadMediaError and OSError."""
    picture = image(frame_at(path, at))
    part = out.with_name(out.name + ".part")
    picture.save(part, "PNG", compress_level=4)
    part.replace(out)
    return out


def frame_at(path: Path, at: float) -> Planes:
    """The frame shown at second ``at``, as it is shown; past the end, the last one. Raises BadMediaError."""
    return _found(path, at, hurry=True) or _found(path, at, hurry=False) or _nothing()


def _found(path: Path, at: float, *, hurry: bool) -> Planes | None:
    with opened(path) as container:
        stream = _stream(container)
        start = float((stream.start_time or 0) * (stream.time_base or 0))
        if hurry:
            end = (container.duration or 0) / 1_000_000 - _TAIL
            container.seek(round(max(0.0, start + min(at, max(0.0, end))) * 1_000_000))
        held = None
        for frame in _decoded(container, stream):
            if held is not None and frame.time is not None and frame.time - start > max(0.0, at):
                break
            held = frame
        if held is None:
            return None
        wide, tall = shown(stream, held)
        small(wide, tall)  # its pixels may be up to ten times as wide as tall
        return _shaped(held, stream, (max(2, wide // 2 * 2), max(2, tall // 2 * 2)))


def _nothing() -> Planes:
    raise BadMediaError("The video has no frame that can be decoded")

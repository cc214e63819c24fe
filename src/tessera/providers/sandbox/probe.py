"""Files of strangers: what they are, and which of their streams are worked on. They come in by ``media``, the one door.

Sizes and lengths are bounded before anything is decoded.
"""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tessera.providers.sandbox.media import is_cover, known, open_media
from tessera.providers.sandbox.reel import MOST_PIXELS, Probe
from tessera.providers.sandbox.trouble import BadMediaError

MOST_SECONDS = {"video": 300.0, "audio": 900.0}
"""The longest video and the longest sound that are taken in."""

_MOST_PACKETS = 400_000


def opened(path: Path) -> AbstractContextManager[InputContainer]:
    """The file, open for reading; whatever goes wrong with it inside the block becomes a BadMediaError.

    Its length is not looked at: whoever reads it counts.
    """
    return open_media(path, longest=None)


def pictures(container: InputContainer) -> VideoStream | None:
    """The stream of moving pictures, ready to be decoded; a cover in a sound file is none. Raises BadMediaError."""
    for stream in container.streams.video:
        if is_cover(stream):
            continue
        known(stream)
        small(stream.codec_context.width, stream.codec_context.height)
        stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        stream.codec_context.thread_count = 1
        return stream
    return None


def voices(container: InputContainer) -> AudioStream | None:
    """The stream of sound, ready to be decoded. Raises BadMediaError."""
    for stream in container.streams.audio:
        known(stream)
        if not 4000 <= stream.codec_context.sample_rate <= 384_000 or stream.codec_context.channels > 16:
            raise BadMediaError("The sound has an odd rate or too many channels")
        return stream
    return None


def small(width: int, height: int) -> None:
    """Raises BadMediaError where a frame is empty or has too many pixels."""
    if not 1 <= width * height <= MOST_PIXELS:
        raise BadMediaError(f"Frames of {width} x {height} pixels are not read; at most {MOST_PIXELS} pixels are")


def shown(stream: VideoStream, frame: VideoFrame) -> tuple[int, int]:
    """Width and height as a player shows the frame."""
    ratio = squeeze(stream)
    width, height = max(1, round(frame.width * ratio)), frame.height
    return (height, width) if turned(frame) % 180 else (width, height)


def squeeze(stream: VideoStream) -> float:
    """How much wider than tall a pixel is; 1 where the file says nothing sensible."""
    ratio = float(stream.codec_context.sample_aspect_ratio or 1)
    return ratio if 0.1 <= ratio <= 10 else 1.0


def turned(frame: VideoFrame) -> int:
    """Degrees counterclockwise by which a player turns the frame: 0, 90, 180 or 270."""
    return round(frame.rotation / 90) * 90 % 360


@dataclass(slots=True)
class _Span:
    """What the packets of a stream cover, in seconds."""

    start: float = math.inf
    end: float = -math.inf
    count: int = 0
    sure: bool = False

    @property
    def length(self) -> float:
        """Seconds; the last packet counts like the others where its own length is not known."""
        if not self.count:
            return 0.0
        known = self.end - self.start
        return known if self.sure or self.count < 2 else known * self.count / (self.count - 1)


def _spans(container: InputContainer, streams: list[VideoStream | AudioStream]) -> list[_Span]:
    """The span of each stream, from its packets: what headers say may be missing or untrue."""
    spans = {stream.index: _Span() for stream in streams}
    if not streams:
        return []
    for number, packet in enumerate(container.demux(*streams)):
        if number > _MOST_PACKETS:
            raise BadMediaError("The file has too many packets")
        if packet.pts is None or packet.time_base is None or not packet.size:
            continue
        span, at = spans[packet.stream.index], float(packet.pts * packet.time_base)
        span.start, span.count = min(span.start, at), span.count + 1
        span.end = max(span.end, at + float((packet.duration or 0) * packet.time_base))
        span.sure = bool(packet.duration)
    return list(spans.values())


def probe(path: Path) -> Probe:
    """Look at a video or a sound: its facts, counted from its packets; its beginning is decoded.

    Raises BadMediaError where it cannot be read, is empty, too large or too long.
    """
    with opened(path) as container:
        streams = [stream for stream in (pictures(container), voices(container)) if stream is not None]
        # A stream is not to be asked anything once its file is closed.
        spans = {stream.type: span for stream, span in zip(streams, _spans(container, streams), strict=True)}
    spans = {kind: span for kind, span in spans.items() if span.count}
    if not spans:
        raise BadMediaError("There is nothing to see or hear in the file")
    kind: Literal["video", "audio"] = "video" if "video" in spans else "audio"
    if not 0 < spans[kind].length <= MOST_SECONDS[kind]:
        raise BadMediaError(f"{spans[kind].length:.1f} seconds of {kind} are not taken in")
    return _facts(path, kind, spans[kind], has_sound="audio" in spans)


def _facts(path: Path, kind: Literal["video", "audio"], span: _Span, *, has_sound: bool) -> Probe:
    with opened(path) as container:
        video = pictures(container) if kind == "video" else None
        stream = video or voices(container)
        frame = next(container.decode(stream), None) if stream else None
        if stream is None or frame is None:
            raise BadMediaError("Nothing in the file can be decoded")
        size = shown(video, frame) if video is not None and isinstance(frame, VideoFrame) else (0, 0)
        return Probe(
            kind=kind,
            container=container.format.name.split(",")[0],
            codec=stream.codec_context.codec.canonical_name,
            seconds=span.length,
            width=size[0],
            height=size[1],
            fps=span.count / span.length if video is not None else 0.0,
            frames=span.count if video is not None else 0,
            has_sound=has_sound,
        )

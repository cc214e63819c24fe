"""Writing an MP4 file that plays while it loads, and is the same for the same frames."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from tessera.providers.sandbox.lettering import HONEST, LABEL
from tessera.providers.sandbox.planes import Planes, frame_of
from tessera.providers.sandbox.probe import opened, small, voices
from tessera.providers.sandbox.reel import Film
from tessera.providers.sandbox.sound import RATE, Sound
from tessera.providers.sandbox.trouble import BadMediaError

_BT709 = 1
_BLOCK = 1024
"""Samples that AAC takes at a time."""


class Recorder:
    """An MP4 file in the making. As a context manager it is finished at the end, or vanishes where that is an error.

    ``sound`` is cut or filled up with silence to the length of the film; None makes a silent film without a track.
    Raises BadMediaError for a size of more pixels than a film may have.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], fps: int, *, sound: Sound | None = None, about: Mapping[str, str]
    ) -> None:
        small(*size)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._size, self._fps, self._sound = size, fps, sound
        self._frames = self._said = 0
        self._container = av.open(str(self._part), "w", format="mp4", container_options={"movflags": "faststart"})
        self._container.metadata.update({**about, "comment": f"{LABEL}: {HONEST}. {about.get('comment', '')}".strip()})
        self._video = self._picture_stream()
        self._audio = self._sound_stream() if sound is not None else None
        self._open = ExitStack()
        self._copied: Iterator[Packet[AudioStream]] | None = None
        self._next: Packet[AudioStream] | None = None

    def _picture_stream(self) -> VideoStream:
        # The fastest preset: these pictures move as a whole, and a film is drawn while somebody waits. One thread, as
        # the number of threads changes the bytes.
        options = {"preset": "ultrafast", "crf": "24", "g": str(self._fps * 2), "threads": "1"}
        stream = self._container.add_stream("libx264", rate=self._fps, options=options)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = 1
        context.time_base = Fraction(1, self._fps)
        context.color_primaries = context.color_trc = _BT709
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        return stream

    def _sound_stream(self) -> AudioStream:
        stream = self._container.add_stream("aac", rate=RATE, options={"aac_coder": "fast"}, layout="stereo")
        stream.bit_rate = 160_000
        return stream

    @property
    def has_sound(self) -> bool:
        return self._audio is not None or self._copied is not None

    def copy(self, path: Path) -> None:
        """Take the sound of a file as it is coded there; called before the first frame. Raises BadMediaError."""
        source = self._open.enter_context(opened(path))
        stream = voices(source)
        if stream is not None:
            self._template = self._container.add_stream_from_template(stream)
            self._copied = source.demux(stream)
            self._next = self._following()

    def add(self, planes: Planes) -> None:
        """One more frame."""
        frame = frame_of(planes, self._frames, self._fps)
        self._frames += 1
        self._container.mux(self._video.encode(frame))
        self._speak()

    def _speak(self) -> None:
        """As much sound as there are frames: the two lie side by side in the file."""
        self._pass_on(self._frames / self._fps)
        while self._audio is not None and self._said < self._frames * RATE // self._fps:
            self._container.mux(self._audio.encode(self._block(min(_BLOCK, self._end - self._said))))

    def _pass_on(self, until: float) -> None:
        """The copied packets that begin before a time in seconds."""
        while self._copied is not None and self._next is not None:
            packet = self._next
            if packet.pts is None or packet.time_base is None:  # the mark of the end
                self._next = None
                return
            if packet.pts * packet.time_base >= until:
                return
            packet.stream = self._template
            self._container.mux(packet)
            self._next = self._following()

    def _following(self) -> "Packet[AudioStream] | None":
        try:
            return next(self._copied, None) if self._copied else None
        except av.FFmpegError as error:
            raise BadMediaError(f"The sound breaks off: {error}") from error

    @property
    def _end(self) -> int:
        return self._frames * RATE // self._fps

    def _block(self, length: int) -> AudioFrame:
        assert self._sound is not None
        block = np.zeros((length, 2), np.int16)
        part = self._sound[self._said : self._said + length]
        block[: len(part)] = part
        frame = AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._said, Fraction(1, RATE)
        self._said += length
        return frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._container.mux(self._video.encode())
                if self._audio is not None:
                    self._container.mux(self._audio.encode())
            self._container.close()
            if error is None:
                self._part.replace(self._path)
        finally:
            self._open.close()
            self._part.unlink(missing_ok=True)

    def film(self) -> Film:
        """What was made, once it is."""
        return Film(
            path=self._path,
            seconds=self._frames / self._fps,
            width=self._size[0],
            height=self._size[1],
            frames=self._frames,
            has_sound=self.has_sound,
        )

"""The one door through which FFmpeg sees a file: a stranger's, perhaps a hostile one.

FFmpeg reads a hundred formats, and some of them name other files and addresses. Here the first bytes of a file decide
which one reader may look at it, and the reader gets an open file, never a name, and no protocol to open another with.
It may use the decoders named here and no other, those for pictures only where films may be; frames, streams and the
time it looks for them are bounded. A length that a file claims is checked here; since it may lie, whoever decodes
counts as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from tessera.providers.sandbox.reel import MOST_PIXELS
from tessera.providers.sandbox.trouble import BadMediaError

__all__ = ["LONGEST", "BadMediaError", "known", "open_media"]

LONGEST = 15 * 60.0
"""Seconds of the longest file that is looked at."""

LARGEST = 512 * 1024 * 1024
"""Bytes of the largest file that is looked at."""

_PICTURES = ("h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "mpeg4", "mjpeg", "gif")
_PACKED = ("mp3", "mp3float", "aac", "opus", "libopus", "vorbis", "libvorbis", "flac", "alac", "adpcm_ms")
_PLAIN = ("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s32le", "pcm_u8", "pcm_f32le", "pcm_f64le", "pcm_mulaw")
_SOUNDS = (*_PACKED, "adpcm_ima_wav", *_PLAIN, "pcm_alaw")

_FOR_SOUND = frozenset({"mp3", "aac", "wav", "ogg", "flac"})
"""Readers of files that have no pictures but a cover, which may be a bomb and which nobody wants decoded."""

_STARTS = {b"\x1aE\xdf\xa3": "matroska", b"GIF8": "gif", b"OggS": "ogg", b"fLaC": "flac"}
_HEAD = 16
_TAG = 10
"""Bytes before the contents of an ID3 tag."""

_BROKEN = (av.FFmpegError, EOFError, ValueError, ArithmeticError, AttributeError, MemoryError)
"""What a broken file makes of FFmpeg, of PyAV (which has nothing where a header said nothing) and of our sums."""


@contextmanager
def open_media(path: Path, *, longest: float | None = LONGEST) -> Iterator[InputContainer]:
    """Open a sound or film file for reading; it is closed at the end of the block.

    Whatever goes wrong with its data inside the block is raised as BadMediaError, as is a file that is missing, empty,
    larger than ``LARGEST``, of another format, coded in a way that is not read here, or longer than ``longest`` seconds
    by its own account.
    """
    with _file(path) as file:
        try:
            reader = _reader(file)
            with _container(file, reader) as container:
                for stream in container.streams:
                    _allowed(stream)
                if longest and container.duration is not None and container.duration / av.time_base > longest:
                    raise BadMediaError(f"The file is longer than {longest:g} seconds")
                yield container
        except BadMediaError:
            raise
        except _BROKEN as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise BadMediaError(f"This is no sound or film that can be read ({said})") from error


def _file(path: Path) -> BinaryIO:
    try:
        size = path.stat().st_size
        if not 0 < size <= LARGEST:
            raise BadMediaError(f"A media file of {size} bytes is not read")
        return path.open("rb")
    except OSError as error:
        raise BadMediaError(f"The file cannot be opened: {error}") from error


def _container(file: BinaryIO, reader: str) -> InputContainer:
    codecs = ",".join(_SOUNDS if reader in _FOR_SOUND else (*_SOUNDS, *_PICTURES))
    # The reader decodes a little while it opens the file: the bounds have to reach the decoders that it uses, too.
    for_all = {"codec_whitelist": codecs, "max_pixels": str(MOST_PIXELS)}
    for_reader = {
        "protocol_whitelist": "none",  # there is no such protocol
        "codec_whitelist": codecs,
        "max_streams": "16",
        "probesize": "4000000",
        "analyzeduration": "5000000",
    }
    return av.open(file, "r", format=reader, options=for_all, container_options=for_reader, metadata_errors="replace")


def _reader(file: BinaryIO) -> str:
    """The one reader for a file that begins like this; it is rewound. Raises BadMediaError where there is none."""
    head = file.read(_HEAD)
    tagged = head.startswith(b"ID3")
    if tagged:
        size = sum((byte & 127) << shift for byte, shift in zip(head[6:_TAG], (21, 14, 7, 0), strict=False))
        file.seek(_TAG + size)
        head = file.read(_HEAD)
    file.seek(0)
    found = _named(head) or ("mp3" if tagged else "")
    if not found:
        raise BadMediaError("The file is none of MP4, MOV, WebM, MKV, AVI, GIF, MP3, M4A, AAC, WAV, OGG and FLAC")
    return found


def _named(head: bytes) -> str:
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    if head[:4] in (b"RIFF", b"RF64"):
        return {b"WAVE": "wav", b"AVI ": "avi"}.get(head[8:12], "")
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:  # a frame of MPEG audio
        return "aac" if head[1] & 0xF6 == 0xF0 else "mp3"
    return next((name for start, name in _STARTS.items() if head.startswith(start)), "")


def _allowed(stream: Stream) -> None:
    """Raises BadMediaError for a stream that could be decoded, and is not to be: PyAV knows of no list of codecs.

    One that FFmpeg cannot decode itself does no harm beside others.
    """
    if isinstance(stream, VideoStream | AudioStream) and stream.codec_context is not None and not is_cover(stream):
        known(stream)


def is_cover(stream: Stream) -> bool:
    """Is this a picture inside a sound file? Covers are never decoded."""
    return bool(stream.disposition & Disposition.attached_pic)


def known(stream: VideoStream | AudioStream) -> None:
    """Raises BadMediaError for a stream whose codec is not read here."""
    name = stream.codec_context.name if stream.codec_context is not None else "unknown"
    if name not in (_PICTURES if isinstance(stream, VideoStream) else _SOUNDS):
        raise BadMediaError(f"The file is coded in a way that is not read here ({name})")

"""The one door through which FFmpeg sees a file: a stranger's, perhaps a hostile one.

FFmpeg gets an open file and never a name, so that it cannot reach another file or the network; it may use the demuxers
and decoders named here and no other; the number of streams and the time it looks for them are bounded. A length that a
file claims is checked here; since it may lie, whoever decodes counts as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer

from tessera.providers.sandbox.trouble import BadMediaError

__all__ = ["LONGEST", "BadMediaError", "open_media"]

LONGEST = 15 * 60.0
"""Seconds of the longest file that is looked at."""

LARGEST = 512 * 1024 * 1024
"""Bytes of the largest file that is looked at."""

_FORMATS = "mp3,wav,ogg,flac,mov,aac,matroska"
_DECODERS = (
    "mp3float,mp3,aac,flac,vorbis,opus,libopus,alac,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s32le,pcm_u8,pcm_f32le,pcm_f64le,"
    "pcm_mulaw,pcm_alaw,adpcm_ms,adpcm_ima_wav,h264,hevc,vp8,vp9,libvpx,libvpx-vp9,libdav1d,av1,mpeg4,mjpeg,png"
)
_OPTIONS = {
    "format_whitelist": _FORMATS,
    "codec_whitelist": _DECODERS,
    "protocol_whitelist": "",
    "max_streams": "16",
    "probesize": "2000000",
    "analyzeduration": "5000000",
    "use_absolute_path": "0",
    "enable_drefs": "0",
}


@contextmanager
def open_media(path: Path, *, longest: float = LONGEST) -> Iterator[InputContainer]:
    """Open a sound or film file for reading; it is closed at the end of the block.

    Whatever FFmpeg says inside the block about broken data is raised as BadMediaError, as is a file that is empty,
    larger than ``LARGEST``, of another format, or longer than ``longest`` seconds by its own account.
    """
    try:
        size = path.stat().st_size
        if not 0 < size <= LARGEST:
            raise BadMediaError(f"A media file of {size} bytes is not read")
        with path.open("rb") as file, av.open(file, "r", options=_OPTIONS, metadata_errors="replace") as container:
            if container.duration is not None and container.duration / av.time_base > longest:
                raise BadMediaError(f"The file is longer than {longest:g} seconds")
            yield container
    except (av.FFmpegError, EOFError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise BadMediaError(f"This is no sound or film that can be read ({said})") from error

"""Sound files, read and written: any of the usual formats in; MP3, WAV and Ogg Opus out, the same bytes every time."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from tessera.providers.sandbox import memo as memos
from tessera.providers.sandbox.dsp import RATE, Sound
from tessera.providers.sandbox.media import LONGEST, BadMediaError, known, open_media
from tessera.providers.sandbox.memo import KEY, Label, Memo

WORKED = 8 * 60.0
"""Seconds of the longest sound that is worked on; the whole of it lies in memory."""

USUAL = "mp3_44100_192"
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a sound file is: exact seconds, samples a second, channels, and the codec's name."""

    seconds: float
    rate: int
    channels: int
    codec: str


def load(path: Path, *, longest: float = WORKED) -> Sound:
    """The sound of a file in stereo at ``RATE``: ``(2, samples)``. Raises BadMediaError."""
    resampler = AudioResampler(format="fltp", layout="stereo", rate=RATE)
    with open_media(path, longest=longest) as container:
        pieces = [np.array(piece.to_ndarray(), np.float32) for piece in _resampled(container, resampler, longest)]
    if not pieces:
        raise BadMediaError("The file has no sound in it")
    sound = np.concatenate(pieces, axis=1)
    if not np.isfinite(sound).all():
        raise BadMediaError("The file has samples that are no numbers")
    return np.clip(sound, -4, 4)


def _frames(container: InputContainer, longest: float) -> Iterator[AudioFrame]:
    """The decoded frames of the first sound stream. Counts what comes, for a file may lie about its length."""
    if not container.streams.audio:
        raise BadMediaError("The file has no sound in it")
    stream = container.streams.audio[0]
    known(stream)
    if not 1 <= (stream.rate or 0) <= 384_000 or not 1 <= stream.channels <= 16:
        raise BadMediaError("The file's sound has an unusual form")
    seconds = 0.0
    for frame in container.decode(stream):
        seconds += frame.samples / max(1, frame.sample_rate)
        if seconds > longest + 1:
            raise BadMediaError(f"The file is longer than {longest:g} seconds")
        frame.pts = None
        yield frame


def _resampled(container: InputContainer, resampler: AudioResampler, longest: float) -> Iterator[AudioFrame]:
    for frame in _frames(container, longest):
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def probe(path: Path) -> Facts:
    """What a sound file is, found by decoding it to its end; little memory is needed. Raises BadMediaError."""
    with open_media(path) as container:
        samples, rate, channels = 0, 0, 0
        for frame in _frames(container, LONGEST):
            samples, rate, channels = samples + frame.samples, frame.sample_rate, len(frame.layout.channels)
        if not samples:
            raise BadMediaError("The file has no sound in it")
        codec = container.streams.audio[0].codec_context.name
    return Facts(seconds=samples / rate, rate=rate, channels=channels, codec=codec.removesuffix("float"))


def memo(path: Path) -> Memo | None:
    """What the sandbox wrote into one of its own files; None for any other. Raises BadMediaError."""
    with open_media(path) as container:
        tags = {str(name).upper(): str(value) for name, value in container.metadata.items()}
        for stream in container.streams.audio[:1]:
            tags |= {str(name).upper(): str(value) for name, value in stream.metadata.items()}
    return next((found for name in (KEY, "COMMENT") if (found := memos.read(tags.get(name, "")))), None)


def save(sound: Sound, path: Path, label: Label, form: str = USUAL) -> Path:
    """Write a sound at ``RATE``, mono or stereo. ``form`` is ``codec_rate`` or ``codec_rate_kbps``.

    The codecs are mp3, pcm, ulaw, alaw (these in a WAV file) and opus (in Ogg). Raises ValueError for another form.
    """
    codec, rate, kbps = _form(form)
    channels = np.atleast_2d(sound)
    if codec == "mp3":
        data = memos.id3(label) + _encoded(channels, "mp3", "libmp3lame", rate, kbps, {})
    elif codec == "opus":
        tags = {KEY: memos.dump(label.memo)} if label.memo else {}
        data = _encoded(channels, "ogg", "libopus", rate, kbps, {"title": label.title, **tags})
    else:
        data = _wav(_encoded(channels, *_RAW[codec], rate, 0, {}), rate, len(channels), codec, label)
    return _write(path, data)


_RAW = {"pcm": ("s16le", "pcm_s16le"), "ulaw": ("mulaw", "pcm_mulaw"), "alaw": ("alaw", "pcm_alaw")}
_WAVE_TAGS = {"pcm": 1, "alaw": 6, "ulaw": 7}


def suffix(form: str) -> str:
    """The usual ending of a file name for a form, with its dot."""
    return {"mp3": ".mp3", "opus": ".ogg"}.get(_form(form)[0], ".wav")


def _form(form: str) -> tuple[str, int, int]:
    codec, _, rest = form.partition("_")
    rate, _, kbps = rest.partition("_")
    known = {"mp3": _MP3_RATES, "opus": _OPUS_RATES}.get(codec, _MP3_RATES if codec in _RAW else ())
    if not rate.isdigit() or int(rate) not in known or (kbps and not kbps.isdigit()):
        raise ValueError(f"{form!r} is no sound format that is written here")
    return codec, int(rate), min(320, max(8, int(kbps or 128)))


def _write(path: Path, data: bytes) -> Path:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
    return path


def _encoded(sound: Sound, container: str, codec: str, rate: int, kbps: int, tags: dict[str, str]) -> bytes:
    """The sound through an encoder. Nothing in it depends on the hour or the machine's mood."""
    out = io.BytesIO()
    options = {"fflags": "+bitexact"} | ({"id3v2_version": "0"} if container == "mp3" else {})
    layout = "mono" if len(sound) == 1 else "stereo"
    with av.open(out, "w", format=container, options=options) as file:
        file.metadata.update(tags)
        quick = {"compression_level": "7"} if codec == "libmp3lame" else {}
        stream: Any = file.add_stream(codec, rate=rate, layout=layout, options=quick)
        if kbps:
            stream.bit_rate = kbps * 1000
        stream.codec_context.flags |= 1 << 23  # bitexact
        for frame in _framed(sound, layout, rate, stream.codec_context.format.name):
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def _framed(sound: Sound, layout: str, rate: int, form: str) -> Iterator[AudioFrame]:
    """Frames of a second each, in the sample format and at the rate that the encoder takes."""
    resampler = AudioResampler(format=form, layout=layout, rate=rate)
    for start in range(0, sound.shape[1], RATE):
        piece = np.ascontiguousarray(np.clip(sound[:, start : start + RATE], -1, 1), np.float32)
        frame = AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _wav(data: bytes, rate: int, channels: int, codec: str, label: Label) -> bytes:
    width = 2 if codec == "pcm" else 1
    form = struct.pack(
        "<HHIIHH", _WAVE_TAGS[codec], channels, rate, rate * channels * width, channels * width, 8 * width
    )
    form += b"" if codec == "pcm" else b"\0\0"
    even = data + b"\0" * (len(data) % 2)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + memos.riff(label)
    body += b"data" + struct.pack("<I", len(data)) + even
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wav(path: Path, out: Path, label: Label | None = None) -> Facts:
    """Convert any sound file to 16-bit PCM in a WAV file, at its own rate, in mono or stereo. Raises BadMediaError.

    The samples go straight to the disk: the length is bounded, the memory small.
    """
    part = out.with_name(out.name + ".part")
    with open_media(path) as container, part.open("w+b") as file:
        rate, channels, size = 0, 0, 0
        resampler: AudioResampler | None = None
        for frame in _frames(container, LONGEST):
            if resampler is None:
                rate, channels = frame.sample_rate, min(2, len(frame.layout.channels))
                resampler = AudioResampler(format="s16", layout="mono" if channels == 1 else "stereo", rate=rate)
                head = _wav(b"", rate, channels, "pcm", label or Label())
                file.write(head)
            size += _pour(resampler, frame, file)
        if resampler is None or not (size := size + _pour(resampler, None, file)):
            raise BadMediaError("The file has no sound in it")
        file.seek(4)
        file.write(struct.pack("<I", len(head) - 8 + size))
        file.seek(len(head) - 4)
        file.write(struct.pack("<I", size))
    part.replace(out)
    return Facts(seconds=size / (2 * channels * rate), rate=rate, channels=channels, codec="pcm_s16le")


def _pour(resampler: AudioResampler, frame: AudioFrame | None, file: io.BufferedRandom) -> int:
    return sum(file.write(piece.to_ndarray().astype("<i2").tobytes()) for piece in resampler.resample(frame))

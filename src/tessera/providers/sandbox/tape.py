"""The words in which sound is ordered from the sandbox, and the doors to the studio that makes it.

This file imports no codec and no array: the program that orders may lack them. The work is done in a child process that
runs one of the functions at the end; each fetches the studio when it is called. All of them raise BadMediaError for a
file that cannot be read or is too long, and OSError. The same order gives the same bytes.

Songs are ordered by ``score.Song``, sounds by ``Sounds``. A file that the studio has made carries
a memo (``memo.Memo``): from a song's alone come its stems, its notes and the times of its words.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tessera.providers.sandbox.score import Song, Word

MP3 = "mp3_44100_192"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A sound file. ``stem`` names the part it has (empty: all), ``key`` is like ``A minor``, ``cover`` a JPEG file."""

    path: Path
    seconds: float
    title: str = ""
    tags: str = ""
    lyrics: str = ""
    key: str = ""
    bpm: int = 0
    stem: str = ""
    cover: Path | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One speaker's words. ``speaker`` is what a transcript calls him; ``speed`` 1 is usual, 0.5..2."""

    text: str
    voice: str = ""
    speaker: str = ""
    speed: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sounds:
    """An order for a sound effect. ``seconds`` None: as long as is usual; ``key`` (as ``D#m``) and ``bpm`` tune it."""

    prompt: str
    seconds: float | None = None
    loop: bool = False
    key: str = ""
    bpm: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was said. For sound of others ``text`` says only how much there is, and ``segments`` when: (start, end)."""

    text: str
    seconds: float
    words: tuple[Word, ...] = ()
    segments: tuple[tuple[float, float], ...] = ()
    known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a sound is: exact length, estimated tempo and key, a style text, its outline in 100 levels 0..1.

    ``song`` is the order of one of our own songs.
    """

    seconds: float
    bpm: float
    key: str
    style: str
    outline: tuple[float, ...]
    song: Song | None = None


def available() -> bool:
    """Are the codecs installed? They come with an extra."""
    return find_spec("av") is not None and find_spec("numpy") is not None


def _booth() -> Any:
    from tessera.providers.sandbox import booth

    return booth


def song(order: Song, folder: Path, name: str) -> Recording:
    """Compose and perform a song: ``folder/name.mp3`` with its cover inside, and ``name.jpg`` beside it."""
    return _booth().song(order, folder, name)  # type: ignore[no-any-return]


def extend(path: Path, order: Song, at: float | None, folder: Path, name: str) -> Recording:
    """The source up to second ``at`` (None: its end), then ``order.seconds`` (60) of new music that suits it."""
    return _booth().extend(path, order, at, folder, name)  # type: ignore[no-any-return]


def cover(path: Path, order: Song, folder: Path, name: str) -> Recording:
    """A new song as long as the source, in its key and tempo where the order names none."""
    return _booth().cover(path, order, folder, name)  # type: ignore[no-any-return]


def mashup(first: Path, second: Path, order: Song, folder: Path, name: str) -> Recording:
    """Both sources in one: the second brought to the tempo of the first and laid over it beat by beat."""
    return _booth().mashup(first, second, order, folder, name)  # type: ignore[no-any-return]


def replace_section(path: Path, order: Song, start: float, end: float, folder: Path, name: str) -> Recording:
    """The source with new music from ``start`` to ``end``, seconds; all else, and the length, stays as it was."""
    return _booth().replace_section(path, order, start, end, folder, name)  # type: ignore[no-any-return]


def add_instrumental(path: Path, order: Song, folder: Path, name: str) -> Recording:
    """The source with newly composed backing under it, in its tempo and key."""
    return _booth().add_instrumental(path, order, folder, name)  # type: ignore[no-any-return]


def add_vocals(path: Path, order: Song, folder: Path, name: str) -> Recording:
    """The source with newly composed singing over it, in its tempo and key."""
    return _booth().add_vocals(path, order, folder, name)  # type: ignore[no-any-return]


def stems(path: Path, kind: str, folder: Path, name: str, wanted: str = "") -> tuple[Recording, ...]:
    """The parts of a song as MP3 files, which add up to it.

    ``kind`` is ``separate_vocal`` (Vocals, Instrumental), ``split_stem`` (those of ``score.STEMS`` that sound) or
    ``split_stem_advanced``: two files, the instrument ``wanted``, and all but it (its ``stem`` is ``No <wanted>``). Our
    own songs are exact; sound of others is split by where and how it sounds, roughly: Vocals, Drums, Bass, Other.
    """
    return _booth().stems(path, kind, folder, name, wanted)  # type: ignore[no-any-return]


def notes(path: Path) -> list[dict[str, Any]]:
    """The notes in a file: ``{"name", "stem", "notes": [{"pitch", "start", "end", "velocity"}]}``, times in seconds.

    Exact for our own songs and stems; of others, a rough guess at the strongest line.
    """
    return _booth().notes(path)  # type: ignore[no-any-return]


def midi(path: Path, out: Path) -> Path:
    """The notes of one of our own songs as a Standard MIDI File. Raises BadMediaError for sound of others."""
    return _booth().midi_file(path, out)  # type: ignore[no-any-return]


def wav(path: Path, out: Path) -> Recording:
    """Any sound file as 16-bit PCM in a WAV file, its memo kept."""
    return _booth().wav(path, out)  # type: ignore[no-any-return]


def say(lines: tuple[Line, ...], seed: int, folder: Path, name: str, form: str = MP3) -> Recording:
    """Speak the lines one after the other, each in its voice. ``form`` is as for ``effect``."""
    return _booth().say(lines, seed, folder, name, form)  # type: ignore[no-any-return]


def effect(order: Sounds, folder: Path, name: str, form: str = MP3) -> Recording:
    """A sound effect. ``form`` is like ``mp3_44100_128``, ``pcm_24000``, ``ulaw_8000``, ``opus_48000_64``."""
    return _booth().effect(order, folder, name, form)  # type: ignore[no-any-return]


def isolate(path: Path, folder: Path, name: str) -> Recording:
    """The voice of a recording without the noise around it, roughly: by band, place and level."""
    return _booth().isolate(path, folder, name)  # type: ignore[no-any-return]


def transcribe(path: Path) -> Transcript:
    """What our own speech and songs say, truly; of other sound, how much of it there is and when."""
    return _booth().transcribe(path)  # type: ignore[no-any-return]


def words(path: Path) -> tuple[Word, ...]:
    """The words of one of our own files with their times; none for sound of others."""
    return _booth().words(path)  # type: ignore[no-any-return]


def listen(path: Path) -> Heard:
    """What a sound is: length, tempo, key and outline, estimated from the sound."""
    return _booth().listen(path)  # type: ignore[no-any-return]

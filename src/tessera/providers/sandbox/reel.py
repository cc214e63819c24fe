"""The words in which a film is ordered from the sandbox, and the doors to the studio that makes it.

This file imports no codec: the program that orders a film may lack them. The work is done in a child process that runs
one of the functions at the end, and each of those fetches its part of the studio when it is called.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from tessera.providers.sandbox.trouble import BadMediaError

MOST_PIXELS = 4096 * 2304
"""Pixels of a frame at most, in what is read and in what is made: a little more than 4K."""

NARROWEST = 4
"""How many times as long as the other one a side of a film may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What is to be filmed: ``folder/name.mp4``, of even ``width`` x ``height`` pixels.

    ``label`` holds the facts that the card shows. ``first``, ``last`` and ``references`` are pictures (a video stands
    for its first frame), ``source`` is a video and ``audio`` a sound. ``seconds`` is the length of what is new.
    """

    prompt: str
    seed: int
    seconds: float
    width: int
    height: int
    folder: Path
    name: str
    fps: int = 24
    label: tuple[str, ...] = ()
    first: Path | None = None
    last: Path | None = None
    references: tuple[Path, ...] = ()
    source: Path | None = None
    audio: Path | None = None
    sound: bool = True

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, made even as the codec wants them."""
        return max(32, self.width // 2 * 2), max(32, self.height // 2 * 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A finished MP4 file (H.264, and AAC where it has sound)."""

    path: Path
    seconds: float
    width: int
    height: int
    frames: int
    has_sound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a file is. Of a sound, ``width``, ``height``, ``fps`` and ``frames`` are 0.

    ``width`` and ``height`` are as shown: turned and with square pixels.
    """

    kind: Literal["video", "audio"]
    container: str
    codec: str
    seconds: float
    width: int
    height: int
    fps: float
    frames: int
    has_sound: bool


def sized(aspect: float, short: int) -> tuple[int, int]:
    """Even width and height in pixels of a film whose shorter side is ``short``, less where ``MOST_PIXELS`` ask for it.

    Raises BadMediaError for an aspect beyond ``NARROWEST``: its longer side would have no bounds.
    """
    if not 1 / NARROWEST <= aspect <= NARROWEST:
        raise BadMediaError(
            f"A film may be up to {NARROWEST:g} times as long as wide; this is {max(aspect, 1 / aspect):g}"
        )
    width, height = (short * aspect, short) if aspect >= 1 else (short, short / aspect)
    scale = min(1.0, (MOST_PIXELS / (width * height)) ** 0.5)
    if scale < 1:
        return int(width * scale / 2) * 2, int(height * scale / 2) * 2
    return round(width / 2) * 2, round(height / 2) * 2


def available() -> bool:
    """Are the codecs installed? They come with the extra ``media``."""
    return find_spec("av") is not None and find_spec("numpy") is not None


def shoot(shot: Shot) -> Film:
    """Make a film of the prompt, from ``first`` to ``last`` where given. Raises BadPictureError and OSError."""
    from tessera.providers.sandbox.film import shoot as work

    return work(shot)


def extend(shot: Shot) -> Film:
    """The source, then ``seconds`` more that begin with its last frame. Raises BadMediaError and OSError."""
    from tessera.providers.sandbox.remake import extend as work

    return work(shot)


def modify(shot: Shot) -> Film:
    """The source in another material, cut to ``seconds`` where that is above 0. Raises BadMediaError and OSError."""
    from tessera.providers.sandbox.remake import modify as work

    return work(shot)


def upscale(path: Path, folder: Path, name: str, width: int, height: int, label: tuple[str, ...] = ()) -> Film:
    """The video at a larger size, with its sound. Raises BadMediaError and OSError."""
    from tessera.providers.sandbox.remake import upscale as work

    return work(path, folder, name, width, height, label)


def talk(shot: Shot) -> Film:
    """The portrait ``first`` speaking ``audio``, cut to ``seconds`` where that is above 0.

    Raises BadPictureError, BadMediaError and OSError.
    """
    from tessera.providers.sandbox.speech import talk as work

    return work(shot)


def music_video(
    audio: Path,
    cover: Path | None,
    title: str,
    author: str,
    domain: str,
    folder: Path,
    name: str,
    seconds: float | None = None,
) -> Film:
    """A song with its cover, its title and its spectrum, 1280 x 720. Raises BadMediaError, BadPictureError, OSError."""
    from tessera.providers.sandbox.clip import music_video as work

    return work(audio, cover, title, author, domain, folder, name, seconds)


def still(path: Path, at: float, out: Path) -> Path:
    """Write the frame shown at second ``at`` as PNG; past the end it is the last one. Raises BadMediaError, OSError."""
    from tessera.providers.sandbox.footage import still as work

    return work(path, at, out)


def first_frame(path: Path, out: Path) -> Path:
    """Write the first frame of a video as PNG. Raises BadMediaError and OSError."""
    return still(path, 0.0, out)


def last_frame(path: Path, out: Path) -> Path:
    """Write the last frame of a video as PNG. Raises BadMediaError and OSError."""
    return still(path, float("inf"), out)


def probe(path: Path) -> Probe:
    """Look at a video or a sound, and read its beginning. Raises BadMediaError."""
    from tessera.providers.sandbox.probe import probe as work

    return work(path)

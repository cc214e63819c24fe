"""What a sound file of the sandbox says about itself, and how that is written into it.

A memo is a small JSON text in a tag: a song's order, from which the very same notes, stems and word times can be made
again, or the words that a recording speaks. A stranger can write such a tag too, so a memo is believed only where it is
well-formed and within bounds.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tessera.providers.sandbox.score import Song, Word

KEY = "TESSERA_SANDBOX"
VERSION = 1
"""Grows when the composer changes, for then an old order makes another song."""

_MOST_CHARACTERS = 1_000_000
_MOST_WORDS = 20_000
_MOST_TEXT = 20_000
_LONGEST = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memo:
    """``song`` for a song as it was composed (``stem`` names the part that this file has, empty is all); otherwise
    ``words`` with their times, and the whole ``text`` that is spoken or sung."""

    song: Song | None = None
    stem: str = ""
    text: str = ""
    title: str = ""
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What stands in a file's tags. ``cover`` is a JPEG picture."""

    title: str = ""
    artist: str = "Tessera Sandbox"
    style: str = ""
    lyrics: str = ""
    memo: Memo | None = None
    cover: bytes = b""


def dump(memo: Memo) -> str:
    """The memo as ASCII JSON on one line."""
    body: dict[str, object] = {"tessera": VERSION}
    if memo.song is not None:
        body |= {"song": asdict(memo.song), "stem": memo.stem}
    else:
        body |= {
            "title": memo.title,
            "text": memo.text,
            "words": [[w.text, w.start, w.end, w.mark, w.speaker] for w in memo.words],
        }
    return json.dumps(body, separators=(",", ":"))


def read(text: str) -> Memo | None:
    """The memo, or None where the text is none of ours or goes beyond the bounds."""
    if len(text) > _MOST_CHARACTERS:
        return None
    try:
        body = json.loads(text)
        if not isinstance(body, dict) or body.get("tessera") != VERSION:
            return None
        if "song" in body:
            return Memo(song=_song(body["song"]), stem=_text(body["stem"], 40))
        words = tuple(_word(row) for row in _list(body["words"]))
        return Memo(text=_text(body["text"], _MOST_TEXT), title=_text(body["title"], 200), words=words)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MOST_WORDS:
        raise ValueError
    return value


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError
    return value


def _number(value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError
    return value


def _word(row: Any) -> Word:
    text, start, end, mark, speaker = row
    begin, finish = float(_number(start, 0, _LONGEST)), float(_number(end, 0, _LONGEST))
    if finish < begin:
        raise ValueError
    return Word(text=_text(text, 200), start=begin, end=finish, mark=_text(mark, 100), speaker=_text(speaker, 100))


_BOUNDS: Mapping[str, tuple[float, float]] = {
    "bpm": (1, 1000), "seconds": (1, 600), "weirdness": (0, 1), "seed": (0, 2**63), "index": (0, 100),
}  # fmt: skip
_WHOLE = frozenset({"bpm", "seed", "index"})


def _song(value: Any) -> Song:
    """A song from its fields: each of its own type, none missing and none besides."""
    if not isinstance(value, dict) or set(value) != {one.name for one in fields(Song)}:
        raise ValueError
    checked: dict[str, Any] = {}
    for name, given in value.items():
        if name in _BOUNDS:
            checked[name] = None if given is None and name in {"bpm", "seconds"} else _number(given, *_BOUNDS[name])
            if name in _WHOLE and not isinstance(given, int | None):
                raise ValueError
        elif name == "instrumental":
            checked[name] = _truth(given)
        else:
            checked[name] = _text(given, _MOST_TEXT)
    return Song(**checked)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


HONEST = "Made by the Tessera sandbox by plain rules; not a model output"


def id3(label: Label) -> bytes:
    """The label as an ID3 tag of version 2.4, to stand before an MP3 file."""
    frames = [_frame(name, b"\3" + _utf8(text)) for name, text in _texts(label) if text]
    frames.append(_frame("COMM", b"\3eng\0" + _utf8(HONEST)))
    if label.lyrics:
        frames.append(_frame("USLT", b"\3eng\0" + _utf8(label.lyrics)))
    if label.memo is not None:
        frames.append(_frame("TXXX", b"\3" + KEY.encode() + b"\0" + dump(label.memo).encode()))
    if label.cover:
        frames.append(_frame("APIC", b"\3image/jpeg\0\3\0" + label.cover))
    body = b"".join(frames)
    return b"ID3\4\0\0" + _sevens(len(body)) + body


def _texts(label: Label) -> tuple[tuple[str, str], ...]:
    return ("TIT2", label.title), ("TPE1", label.artist), ("TCON", label.style[:200]), ("TSSE", "Tessera sandbox")


def _utf8(text: str) -> bytes:
    return text.replace("\0", "").encode("utf-8", "replace")


def _frame(name: str, body: bytes) -> bytes:
    return name.encode() + _sevens(len(body)) + b"\0\0" + body


def _sevens(value: int) -> bytes:
    return bytes((value >> shift) & 0x7F for shift in (21, 14, 7, 0))


def riff(label: Label) -> bytes:
    """The label as a LIST chunk of a WAV file; the memo is its comment."""
    rows = [(b"INAM", _utf8(label.title)), (b"IART", _utf8(label.artist))]
    rows.append((b"ICMT", dump(label.memo).encode() if label.memo else HONEST.encode()))
    body = b"INFO" + b"".join(_chunk(name, text + b"\0") for name, text in rows if text)
    return _chunk(b"LIST", body)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

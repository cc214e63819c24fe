"""A score as a Standard MIDI File of format 1: a track for the tempo, then one for each instrument."""

import struct

from tessera.providers.sandbox.score import PPQ, Score, Track


def write(score: Score) -> bytes:
    """The bytes of the file: tempo, metre, key, names, programs, and the very notes of the score."""
    played = [track for track in score.tracks if track.notes]
    chunks = [_head(score), *(_instrument(track) for track in played)]
    return b"MThd" + struct.pack(">IHHH", 6, 1, len(chunks), PPQ) + b"".join(chunks)


def _head(score: Score) -> bytes:
    sharps = (score.tonic + (3 if score.minor else 0)) * 7 % 12
    sharps = sharps if sharps <= 6 else sharps - 12
    events = _text(3, score.title)
    events += b"\0\xff\x51\x03" + score.tempo.to_bytes(3)
    events += b"\0\xff\x58\x04" + bytes((score.metre, 2, 24, 8))
    events += b"\0\xff\x59\x02" + struct.pack(">bB", sharps, int(score.minor))
    return _chunk(events)


def _instrument(track: Track) -> bytes:
    events = _text(3, track.name) + b"\0" + bytes((0xC0 | track.channel, track.program))
    now = 0
    for tick, _, status, pitch, velocity in sorted(_events(track)):
        events += _length(tick - now) + bytes((status | track.channel, pitch, velocity))
        now = tick
    return _chunk(events)


def _events(track: Track) -> list[tuple[int, int, int, int, int]]:
    """Ons and offs; an off stands before an on of the same tick, so that a repeated note is struck again."""
    ons = [(note.start, 1, 0x90, note.pitch, note.velocity) for note in track.notes]
    return ons + [(note.start + note.length, 0, 0x80, note.pitch, 0) for note in track.notes]


def _text(kind: int, text: str) -> bytes:
    data = text.encode("utf-8", "replace")[:400]
    return b"\0\xff" + bytes((kind,)) + _length(len(data)) + data


def _chunk(events: bytes) -> bytes:
    events += b"\0\xff\x2f\0"
    return b"MTrk" + struct.pack(">I", len(events)) + events


def _length(value: int) -> bytes:
    """A number in groups of seven bits, the highest first."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))

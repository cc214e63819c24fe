"""Files of a length, made by hand: no more in them than says how long they play."""

import struct


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def film(seconds: float, brand: bytes = b"isom", *, scale: int = 1000) -> bytes:
    """An MP4 (a MOV or M4A by its brand) of one header."""
    told = struct.pack(">IIII", 0, 0, scale, round(seconds * scale))
    return box(b"ftyp", brand + b"\0\0\0\0") + box(b"moov", box(b"mvhd", b"\0\0\0\0" + told + bytes(80)))


def wav(seconds: float, rate: int = 8000) -> bytes:
    data = bytes(round(seconds * rate))
    form = struct.pack("<HHIIHH", 1, 1, rate, rate, 1, 8)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def flac(seconds: float, rate: int = 8000) -> bytes:
    counted = (rate << 44) | (7 << 36) | round(seconds * rate)
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + counted.to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80" + len(info).to_bytes(3, "big") + info


def mp3(seconds: float) -> bytes:
    """Frames of 1152 samples at 44,100 a second and 128 kbit/s."""
    return (b"\xff\xfb\x90\x64" + bytes(413)) * round(seconds * 44_100 / 1152)


def ogg(seconds: float, rate: int = 48_000) -> bytes:
    """Vorbis: its first page has the rate, its last one how many samples there were."""
    head = b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 1, rate, 0, 0, 0, 0xB8, 1)
    return page(2, 0, 0, head) + page(4, round(seconds * rate), 1, b"\0")


def page(flags: int, position: int, number: int, body: bytes) -> bytes:
    return b"OggS\0" + struct.pack("<BqIIIBB", flags, position, 7, number, 0, 1, len(body)) + body

"""What a file is, told by its first bytes and by nothing else: not its name, not what its sender says."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

HEAD = 1024
"""Bytes from the beginning of a file that are enough to tell."""

BINARY = "application/octet-stream"
TEXT = "text/plain"

EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {
        "image/png": "png",
        "image/jpeg": "jpg",
        "image/webp": "webp",
        "image/gif": "gif",
        "video/mp4": "mp4",
        "video/quicktime": "mov",
        "video/webm": "webm",
        "audio/mpeg": "mp3",
        "audio/wav": "wav",
        "audio/ogg": "ogg",
        "audio/flac": "flac",
        "audio/mp4": "m4a",
        "audio/midi": "mid",
        "application/pdf": "pdf",
        "application/zip": "zip",
        TEXT: "txt",
        BINARY: "bin",
    }
)
"""Every media type that we know, with its file extension."""

IMAGES = frozenset(kind for kind in EXTENSIONS if kind.startswith("image/"))
INLINE = frozenset(kind for kind in EXTENSIONS if kind.startswith(("image/", "video/", "audio/")))
"""The types that a browser may show in place; any other is an attachment."""

_TYPES = {extension: kind for kind, extension in EXTENSIONS.items()} | {"jpeg": "image/jpeg", "oga": "audio/ogg"}
_BRANDS = {
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P "), "audio/mp4"),
    **dict.fromkeys((b"qt  ",), "video/quicktime"),
    **dict.fromkeys((b"isom", b"avc1", b"mp41", b"mp42", b"mp71", b"M4V ", b"dash", b"MSNV", b"hvc1"), "video/mp4"),
    **{b"iso%d" % number: "video/mp4" for number in range(2, 10)},
}
# What would make a browser, or anything that guesses, treat a file as a page that can act.
# Tags of one or two letters are left out: compressed pictures hold such bytes by chance.
_MARKUP = re.compile(
    rb"<(!--|(!doctype|\?xml|html|head|body|script|style|svg|math|iframe|object|embed|img|meta|link|form)\b)",
    re.IGNORECASE,
)
_MARKUP_WINDOW = 512


def media_type(name: str) -> str:
    """The type that a file name's extension stands for; ``application/octet-stream`` when we do not know it."""
    return _TYPES.get(name.rpartition(".")[2].lower(), BINARY)


def extension(kind: str) -> str:
    """The extension for a media type, without its dot: ``bin`` for one that is not ours."""
    return EXTENSIONS.get(kind, EXTENSIONS[BINARY])


def sniff(head: bytes) -> str:
    """The media type of a file that begins with ``head`` (HEAD bytes, or the whole file where it is shorter).

    A page is never an image: what carries markup at its beginning is ``application/octet-stream``, whatever its
    first bytes claim. A PNG is told apart by its chunks instead, since generators keep the prompt there as text.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png" if _chunked(head) else BINARY
    if _MARKUP.search(head[:_MARKUP_WINDOW]):
        return BINARY
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind if isinstance(kind, str) else kind(head)
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], BINARY)
    if _layer3(head):
        return "audio/mpeg"
    return TEXT if _text(head) else BINARY


def _chunked(head: bytes) -> bool:
    """A PNG has its IHDR first, in 33 bytes, and then another chunk: a length and four letters.

    No honest length begins with a printable character: it would be half a gigabyte.
    """
    following = head[33:41]
    return head[8:16] == b"\0\0\0\x0dIHDR" and (not following or (following[0] < 0x20 and following[4:].isalpha()))


def _jpeg(head: bytes) -> str:
    """After its start a JPEG has another marker: tables, an application's data, a comment or a frame."""
    return "image/jpeg" if len(head) > 3 and 0xC0 <= head[3] <= 0xFE else BINARY


def _riff(head: bytes) -> str:
    if head[8:12] == b"WAVE":
        return "audio/wav"
    return "image/webp" if head[8:15] == b"WEBPVP8" else BINARY


def _ebml(head: bytes) -> str:
    """WebM and Matroska share their form; the document type, near the beginning, tells them apart."""
    return "video/webm" if b"\x42\x82\x84webm" in head[:96] else BINARY


def _layer3(head: bytes) -> bool:
    """An MPEG audio frame of layer III: sync, a bit rate and a sample rate that exist."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    return head[1] & 0x18 != 0x08 and head[2] >> 4 not in {0, 15} and head[2] >> 2 & 3 != 3


def _text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        # The last character may be cut where the head ends.
        if len(head) < HEAD or error.start < len(head) - 3:
            return False
        text = head[: error.start].decode()
    return bool(head) and not any(char < " " and char not in "\t\n\r\f" for char in text) and "\x7f" not in text


_MAGIC: tuple[tuple[bytes, str | Callable[[bytes], str]], ...] = (
    (b"\xff\xd8\xff", _jpeg),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"RIFF", _riff),
    (b"\x1a\x45\xdf\xa3", _ebml),
    (b"OggS\0", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"MThd", "audio/midi"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
)

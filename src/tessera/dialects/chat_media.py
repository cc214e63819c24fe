"""How much a question weighs: tokens for its bytes, and for the pictures and files in it as much as their kind can be.

A file that comes along in the body is a long text there, too. It is weighed as a file only where the protocol has one,
in a part of a message; the same text in any other place is read as text by whoever gets it, and weighed as text.
"""

import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

SURPLUS = 2_000
"""Tokens that a vendor may put before a question by itself (89 were recorded for two words)."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Tokens of a file at the most: one for ``ratio`` bytes, at least ``least``; ``far`` for one at an address."""

    least: int
    ratio: int
    far: int


# A picture is scaled down to some thousand tokens whatever its bytes are. A page of a document is its text and a
# picture, and the text may be packed. Sound is 32 tokens a second at a kilobyte or more, film ten times that.
PICTURE = Kind(least=20_000, ratio=200, far=20_000)
DOCUMENT = Kind(least=100_000, ratio=1, far=300_000)
SOUND = Kind(least=50_000, ratio=16, far=1_000_000)
FILM = Kind(least=100_000, ratio=4, far=1_000_000)
KINDS = (("image/", PICTURE), ("audio/", SOUND), ("video/", FILM), ("application/pdf", DOCUMENT))

ROOTS = frozenset({"messages", "input", "contents", "system", "systemInstruction"})
HOLDERS = frozenset({"image_url", "video_url", "input_audio", "file", "source", "inlineData", "fileData"})
CARRIERS = HOLDERS | {"content", "parts", "output", "functionResponse"}
"""Below which fields a part of a message can lie, at the top and further down. What a tool is called with and how it
is described is no message, whatever it looks like."""

ADDRESSES = frozenset({"url", "image_url", "video_url", "file_url", "fileUri", "file_uri"})
NAMES = ADDRESSES | {"data", "file_data", "file_id", "fileId"}
FAR: Mapping[str, Kind] = {"file_url": DOCUMENT, "video_url": FILM, "fileUri": FILM, "file_uri": FILM}


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a body: the name of its field, the object around it and that one's name; ``told`` in a message."""

    name: str
    text: str
    owner: Fields
    holder: str
    told: bool


Frame = tuple[Iterator[tuple[str, Any]], Fields, str, frozenset[str]]
NOWHERE: frozenset[str] = frozenset()


def texts(body: Fields) -> Iterator[Text]:
    """Every text of a body that is a file or names one, by the name of its field.

    What is held meanwhile is as deep as the body, not as long.
    """
    stack: list[Frame] = [(iter(body.items()), body, "", ROOTS)]
    while stack:
        items, owner, holder, doors = stack[-1]
        name, value = next(items, (None, None))
        if name is None:
            stack.pop()
        elif isinstance(value, str):
            if name in NAMES:
                yield Text(name, value, owner, holder, doors is CARRIERS)
        elif isinstance(value, dict):
            stack.append((iter(value.items()), value, name, CARRIERS if name in doors else NOWHERE))
        elif isinstance(value, list):
            stack.append((zip(repeat(name), value, strict=False), owner, holder, doors))


def weigh(size: int, body: Fields) -> int:
    """Tokens of a question of ``size`` bytes at the most: no tokenizer makes more of them than there are bytes."""
    hidden = tokens = 0
    for each in texts(body):
        found = _inline(each) if each.told else None
        if found is not None:
            kind, length = found
            hidden += len(each.text)
            tokens += max(kind.least, -(-length // kind.ratio))
        elif each.name in ADDRESSES:
            tokens += _far(each).far
    return max(0, size - hidden) + tokens + SURPLUS


def _inline(text: Text) -> tuple[Kind, int] | None:
    """The kind and the bytes of a file that stands in the body; None for what is a text to its reader."""
    match text.name:
        case "data" if text.holder in ("source", "inlineData", "input_audio"):
            media, data = _media(text), text.text
        case "url" if text.holder in ("image_url", "video_url"):
            media, data = _url(text.text)
        case "image_url" | "file_data":
            media, data = _url(text.text)
        case _:
            return None
    kind, length = _kind(media), _length(data)
    if kind is None or length is None:
        return None
    # What a vendor makes of a file may depend on its name alone.
    return (DOCUMENT if text.name == "file_data" else kind), length


def _url(text: str) -> tuple[str, str]:
    """The media type and the base64 text of a data URL; two empty texts for what is none."""
    head, found, _ = text[:200].partition(";base64,")
    if not found or not head.startswith("data:"):
        return "", ""
    return head.removeprefix("data:"), text[len(head) + len(found) :]


def _kind(media: str) -> Kind | None:
    return next((kind for start, kind in KINDS if media.lower().startswith(start)), None)


def _media(text: Text) -> str:
    """What an object says its ``data`` is: sound has a format, the others a media type."""
    owner = text.owner
    if text.holder == "input_audio":
        return "audio/" if isinstance(owner.get("format"), str) else ""
    if text.holder == "source" and owner.get("type") != "base64":
        return ""
    return str(owner.get("media_type") or owner.get("mimeType") or "")


def _far(text: Text) -> Kind:
    if text.name == "url":
        return {"source": DOCUMENT, "video_url": FILM}.get(text.holder, PICTURE)
    return _kind(str(text.owner.get("mimeType") or "")) or FAR.get(text.name, PICTURE)


def _length(data: str) -> int | None:
    """Bytes behind a base64 text; None where it is none."""
    plain = data.replace("\r", "").replace("\n", "").rstrip("=")
    if not plain or not plain.isascii():
        return None
    plain = plain.replace("-", "+").replace("_", "/")
    try:
        length = len(binascii.a2b_base64(plain + "=="))
    except binascii.Error:
        return None
    return length if length == len(plain) * 3 // 4 else None

"""Names that are safe wherever they end up: in a path, in a header, on somebody's disk."""

import re
import unicodedata
from urllib.parse import quote, urlsplit

from tessera.domain.errors import ConfigError, Invalid, StorageError

LONGEST_NAME = 255
"""Bytes in UTF-8, the limit of the usual file systems."""
LONGEST_FOLDER = 512
LONGEST_KEY = 1024
"""Bytes in UTF-8, the limit of S3."""

_SEPARATORS = re.compile(r"[/\\]")
# Marks that turn the reading direction: "gpj.exe" can be made to read as "exe.jpg".
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_WINDOWS = re.compile(r'[<>:"|?*]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE | re.DOTALL)
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_PORTS = {"http": ":80", "https": ":443"}


def file_name(raw: str, *, field: str = "fileName") -> str:
    """A caller's file name, in NFC, without the spaces and dots that Windows drops at its end; else Invalid.

    Of the characters that Windows forbids, each becomes an underscore.
    """
    name = unicodedata.normalize("NFC", raw).strip(" ")
    name = name.rstrip(". ") or name
    fault = _fault(name)
    if fault:
        raise Invalid(f"{field} {fault}", field=field)
    return _WINDOWS.sub("_", name)


def folder(raw: str, *, field: str = "uploadPath") -> str:
    """A caller's folder, ``like/this``: each part is a safe name, slashes at either end are dropped; else Invalid."""
    path = raw.strip(" ").strip("/")
    if "\\" in path:
        raise Invalid(f"{field} must use / between its parts", field=field)
    cleaned = "/".join(file_name(part, field=field) for part in path.split("/"))
    if len(cleaned.encode()) > LONGEST_FOLDER:
        raise Invalid(f"{field} must not be longer than {LONGEST_FOLDER} bytes", field=field)
    return cleaned


def key(raw: str) -> str:
    """The key itself when it is a relative path of safe segments; else StorageError.

    A segment that begins with a dot is never a key, so that a store may keep things of its own there.
    """
    segments = raw.split("/")
    if any(not part or part.startswith(".") or "\\" in part or _unseen(part) for part in segments):
        raise StorageError("An object key is a relative path; none of its parts is empty or begins with a dot")
    if len(raw.encode()) > LONGEST_KEY or any(len(part.encode()) > LONGEST_NAME for part in segments):
        raise StorageError(f"An object key has at most {LONGEST_KEY} bytes, each of its parts {LONGEST_NAME}")
    return raw


def content_disposition(name: str) -> str:
    """A header value that makes a browser save the file as ``name``; safe for any string."""
    shown = "".join("_" if _unseen(char) else char for char in _DIRECTION.sub("", name))
    plain = re.sub(r'[^ -~]|["\\%/]', "_", shown)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='')}"


def base_url(raw: str) -> str:
    """A public URL in its plainest spelling: lower-case scheme and host, no default port, no slash at its end.

    Raises ConfigError where it is not http(s), carries a user, a query or a fragment, or needs escapes in its path.
    """
    try:
        parts = urlsplit(raw)
        plain = bool(parts.hostname) and parts.port != 0 and parts.scheme in _PORTS
    except ValueError:
        plain = False
    if not plain or quote(parts.path, safe="/") != parts.path or re.search(r"[^!-~]|[@?#]", raw):
        raise ConfigError(f"{raw!r} is not a plain http:// or https:// URL")
    host = parts.netloc.lower().removesuffix(_PORTS[parts.scheme])
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def _fault(name: str) -> str | None:
    """The rule that a file name breaks."""
    if not name:
        return "must not be empty"
    if _SEPARATORS.search(name):
        return "must not contain / or \\"
    if name.startswith("."):
        return "must not begin with a dot"
    if _unseen(name):
        return "must not contain control characters"
    if _DIRECTION.search(name):
        return "must not contain characters that turn the reading direction"
    if _DEVICE.fullmatch(name):
        return "must not be a name that Windows reserves"
    if len(name.encode()) > LONGEST_NAME:
        return f"must not be longer than {LONGEST_NAME} bytes"
    return None


def _unseen(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(char) in _UNSEEN for char in text)

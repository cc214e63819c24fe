"""A body becomes a struct, or a sentence that names the field and the rule."""

import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$?\.?(?P<path>[^`]*)`)?$", re.DOTALL)
MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]+)`$")


class Malformed(ValueError):
    """The body is no JSON, or no JSON object."""


class Mismatch(ValueError):
    """A field breaks a rule. ``field`` is its path (``filesUrl[0]``), or empty for the body itself."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}" if field else rule)
        self.field = field
        self.rule = rule


def decode(kind: type[T], body: bytes) -> T:
    """Raises Malformed and Mismatch."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _mismatch(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The request body is not valid JSON ({error})") from error


def _mismatch(text: str) -> Mismatch:
    found = PATH.match(text)
    what, path = (found["what"], found["path"] or "") if found else (text, "")
    path = path.replace("[...]", "[]")
    missing = MISSING.match(what)
    if missing:
        return Mismatch(".".join(part for part in (path, missing["field"]) if part), "is required")
    return Mismatch(path, what[:1].lower() + what[1:].replace("`", ""))

"""A body becomes a struct, or a sentence that names the field and the rule."""

import re
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

T = TypeVar("T")

_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$?\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]+)`$")
_STEP = re.compile(r"([^.\[\]]+)|\[[^\]]*\]")
# The two complaints that say no more than what type the field has; others (lengths, bounds) speak for themselves.
_TYPE = re.compile(r"^(Expected `[^`]*`, got `[^`]*`|Invalid enum value .*)$", re.DOTALL)

_NAMES = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}


class Malformed(ValueError):
    """The body is no JSON, or no JSON object."""


class Mismatch(ValueError):
    """A field breaks a rule. ``field`` is its path (``filesUrl[0]``), or empty for the body itself."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}" if field else rule)
        self.field = field
        self.rule = rule


def decode(kind: type[T], body: bytes) -> T:
    """A body as a struct of ``kind``. Of a name that is given twice the last one counts.

    Raises Malformed and Mismatch.
    """
    try:
        # As text first: the values of unknown fields are skipped without a look at their bytes.
        return msgspec.json.decode(body.decode(), type=kind)
    except msgspec.ValidationError as error:
        raise _mismatch(kind, str(error)) from error
    except UnicodeDecodeError as error:
        raise Malformed("The request body is not valid JSON: it is not UTF-8 text") from error
    except msgspec.DecodeError as error:
        raise Malformed(f"The request body is not valid JSON: {_fault(str(error), body)}") from error
    except RecursionError as error:
        raise Malformed("The request body is nested too deeply") from error


def check(text: str) -> None:
    """Reads JSON of which a struct was decoded in full: of unknown fields only the bounds were seen until now.

    What passes can be decoded again later. Raises Malformed.
    """
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:  # a number without end, half of a surrogate pair
        found = _PATH.match(str(error))
        what = found["what"] if found else str(error)
        raise Malformed(f"The request body cannot be read: {what[:1].lower()}{what[1:]}") from error
    except RecursionError as error:
        raise Malformed("The request body is nested too deeply") from error


def _fault(text: str, body: bytes) -> str:
    if not body.strip():
        return "it is empty"
    return text.removeprefix("JSON is malformed: ").replace("Input data was truncated", "it ends too early")


def _mismatch(kind: object, text: str) -> Exception:
    found = _PATH.match(text)
    what, path = (found["what"], found["path"] or "") if found else (text, "")
    path = path.replace("[...]", "[]")
    missing = _MISSING.match(what)
    if missing:
        return Mismatch(".".join(part for part in (path, missing["field"]) if part), "is required")
    if not path and what.startswith("Expected `object`"):
        return Malformed("The request body must be a JSON object")
    named = _named(_at(kind, path)) if _TYPE.match(what) else None
    return Mismatch(path, f"must be {named}" if named else what[:1].lower() + what[1:].replace("`", ""))


def _at(kind: object, path: str) -> object:
    """The declared type of what stands at a path such as ``input.images[0]``; None where it is not to be told."""
    for step in _STEP.finditer(path):
        kind = _plain(kind)
        if step[1]:
            if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
                return None
            kind = next((field.type for field in msgspec.structs.fields(kind) if field.encode_name == step[1]), None)
        else:
            kind = get_args(kind)[-1] if get_origin(kind) in (list, dict) else None
    return kind


def _named(kind: object) -> str | None:
    """A type in words that a person without Python reads: ``one of 1, 2, 4``, ``a list of strings``."""
    kind = _plain(kind)
    options = get_args(kind)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(dict.fromkeys(map(str, options)))}"
    if get_origin(kind) is list:
        item = _plain(options[0])
        return "a list of strings" if item is str else "a list"
    if get_origin(kind) in (UnionType, Union):
        names = [_named(option) for option in options if option is not NoneType]
        return " or ".join(name for name in names if name) if all(names) else None
    if get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return "an object"
    return _NAMES.get(kind) if isinstance(kind, type) else None


def _plain(kind: object) -> Any:
    """The type without its null; of several the closed list, which is the narrowest."""
    if get_origin(kind) not in (UnionType, Union):
        return kind
    options = [option for option in get_args(kind) if option is not NoneType]
    closed = [option for option in options if get_origin(option) is Literal]
    return (closed or options)[0] if closed or len(options) == 1 else kind

"""What a schema says against an input, in words for a person: the field, and the rule that it breaks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jsonschema_rs

from tessera.contract.decode import Mismatch

Error = jsonschema_rs.ValidationError

TYPES = {
    "string": "a string",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "an object",
}
SHOWN = 40
"""So many values of a closed list are told."""


def complaint(schema: Mapping[str, Any], errors: Sequence[Error]) -> Mismatch:
    """The first complaint that helps: what is missing, then what is wrong, then what does not go together."""
    error = min(errors, key=_rank)
    path = [*error.instance_path]
    if error.kind.name == "required":
        name = str(error.kind.value)
        return Mismatch(_path([*path, name]), f"{name} is required")
    rule = _rule(schema, error.schema_path)
    if not path and error.kind.name in ("anyOf", "oneOf"):
        return Mismatch("input", _choice(schema, error))
    return Mismatch(_path(path), rule or _words(error))


def _rank(error: Error) -> tuple[int, int]:
    return (0 if error.kind.name == "required" else 1 if error.instance_path else 2), len(error.instance_path)


def _path(steps: Sequence[str | int]) -> str:
    return "input" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _rule(schema: Mapping[str, Any], path: Sequence[str | int]) -> str | None:
    """The words that the catalog itself has for a condition on the way to what failed."""
    node: Any = schema
    for index, step in enumerate(path):
        if isinstance(node, dict):
            named = node.get("x-rules", {})
            words = node.get("x-rule") or named.get(str(step)) or named.get("/".join(map(str, path[index : index + 2])))
            if words:
                return str(words)
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return None
    return None


def _choice(schema: Mapping[str, Any], error: Error) -> str:
    """Of several fields one has to be there, or exactly one."""
    names = [name for option in schema.get(error.kind.name, ()) for name in option.get("required", ())]
    how = "exactly one" if error.kind.name == "oneOf" else "at least one"
    return f"{how} of {', '.join(names)} is required"


def _words(error: Error) -> str:
    say = WORDS.get(error.kind.name)
    return say(error.kind.value, error.instance) if say else "does not go with the other fields"


def _named(kinds: Any) -> str:
    names = [kinds] if isinstance(kinds, str) else list(kinds)
    return f"must be {' or '.join(TYPES.get(str(name), str(name)) for name in names)}"


def _one_of(values: Sequence[Any], _: Any) -> str:
    told = ", ".join(str(value) for value in values[:SHOWN])
    return f"must be one of {told}{', ...' if len(values) > SHOWN else ''}"


def _fails_all(context: Sequence[Sequence[Error]], instance: Any) -> str:
    """One rule of an alternative for each that could have held."""
    told = [_words(errors[0]) for errors in context if errors]
    values = [value for errors in context for each in errors if each.kind.name == "enum" for value in each.kind.value]
    return _one_of(values, instance) if values else " or ".join(dict.fromkeys(told))


def _pattern(pattern: str, _: Any) -> str:
    return "must be the address of a file" if "://" in pattern else f"must have the form {pattern}"


WORDS: Mapping[str, Callable[[Any, Any], str]] = {
    "type": lambda kinds, _: _named(kinds),
    "enum": _one_of,
    "const": lambda value, _: f"must be {str(value).lower() if isinstance(value, bool) else value}",
    "minimum": lambda least, _: f"at least {least}",
    "maximum": lambda most, _: f"at most {most}",
    "multipleOf": lambda step, _: f"must be a multiple of {step}",
    "minLength": lambda least, _: f"at least {least} characters",
    "maxLength": lambda most, given: f"at most {most} characters, got {len(given)}",
    "minItems": lambda least, given: f"at least {least} entries, got {len(given)}",
    "maxItems": lambda most, given: f"at most {most} entries, got {len(given)}",
    "pattern": _pattern,
    "falseSchema": lambda _, __: "is not taken together with the other fields",
    "anyOf": _fails_all,
    "oneOf": _fails_all,
}
"""By the keyword of the schema: its value and what was given, in words."""

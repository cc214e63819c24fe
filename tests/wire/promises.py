"""What was promised to clients: contract documents, and answers held against them."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

FOLDER = Path(__file__).parent / "contract"

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C where there is one: the documents have thousands of lines."""


class Contract:
    """One OpenAPI document. Every complaint is an AssertionError that shows what was answered."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def check(self, method: str, path: str, status: int, media_type: str, body: bytes) -> None:
        """Hold an answer of an operation against it; what is no operation of the contract passes."""
        operation = self.document["paths"].get(path, {}).get(method.lower())
        if operation is None:
            return
        promised = operation["responses"].get(str(status))
        assert promised, f"{method} {path} answered with HTTP {status}, which is not promised: {body[:300]!r}"
        promised = self.resolve(promised)
        ((kind, content),) = promised["content"].items()
        assert media_type == kind, f"{method} {path} answered with {media_type!r} instead of {kind!r}"
        self._hold(content["schema"], body, f"{method} {path}")

    def check_callback(self, path: str, body: bytes) -> None:
        """Hold a callback of the operation that creates at ``path`` against it."""
        ((_, callback),) = self.document["paths"][path]["post"]["callbacks"].items()
        ((_, item),) = callback.items()
        self._hold(item["post"]["requestBody"]["content"]["application/json"]["schema"], body, f"callback of {path}")

    def check_schema(self, name: str, body: bytes) -> None:
        self._hold({"$ref": f"#/components/schemas/{name}"}, body, name)

    def problems(self, schema: Mapping[str, Any], value: Any) -> list[str]:
        """What of a value is not as a schema of the document wants it."""
        errors = self._validator(schema).iter_errors(value)
        return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in errors]

    def _hold(self, schema: Mapping[str, Any], body: bytes, where: str) -> None:
        problems = self.problems(schema, strict(body))
        assert not problems, f"{where} answered {body[:600]!r}, but {'; '.join(problems)}"

    def _validator(self, schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
        name = str(schema)
        if name not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[name] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._validators[name]

    def resolve(self, item: Mapping[str, Any]) -> Any:
        """What a reference leads to; anything else is answered as it is."""
        found: Any = item
        while "$ref" in found:
            names = re.findall(r"[^#/]+", found["$ref"])
            found = self.document
            for name in names:
                found = found[name]
        return found


def strict(body: bytes) -> Any:
    """A body as JSON, read as strictly as the strictest client would."""

    def refuse(text: str) -> None:
        raise ValueError(f"{text} is not JSON")

    return json.loads(body, parse_constant=refuse)


@cache
def images() -> Contract:
    """The 4o family, direct links, credits, uploads."""
    return Contract(yaml.safe_load((FOLDER / "images.yaml").read_text()))


@cache
def whole(name: str) -> Contract:
    """A document of the public API as it stands, every operation with its examples; nothing of ours is in it."""
    return Contract(_plain(yaml.load((FOLDER / "documents" / f"{name}.yaml").read_text(), Loader=LOADER)))


def _plain(said: Any) -> Any:
    """The same schemas, but for ``this or null`` put so that a complaint names the field and not the whole object."""
    if isinstance(said, list):
        return [_plain(each) for each in said]
    if not isinstance(said, dict):
        return said
    plain = {name: _plain(each) for name, each in said.items()}
    for word in ("oneOf", "anyOf"):
        choices = plain.get(word)
        if isinstance(choices, list) and len(choices) == 2 and {"type": "null"} in choices and "if" not in plain:
            del plain[word]
            (other,) = (each for each in choices if each != {"type": "null"})
            plain |= {"if": {"not": {"type": "null"}}, "then": other}
    return plain

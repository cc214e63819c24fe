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


class Contract:
    """One OpenAPI document. Every complaint is an AssertionError that shows what was answered."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def check(self, method: str, path: str, status: int, media_type: str, body: bytes) -> None:
        """Hold an answer of an operation against it; what is no operation of the contract passes."""
        operation = self._document["paths"].get(path, {}).get(method.lower())
        if operation is None:
            return
        promised = operation["responses"].get(str(status))
        assert promised, f"{method} {path} answered with HTTP {status}, which is not promised: {body[:300]!r}"
        promised = self._resolve(promised)
        ((kind, content),) = promised["content"].items()
        assert media_type == kind, f"{method} {path} answered with {media_type!r} instead of {kind!r}"
        self._hold(content["schema"], body, f"{method} {path}")

    def check_callback(self, path: str, body: bytes) -> None:
        """Hold a callback of the operation that creates at ``path`` against it."""
        ((_, callback),) = self._document["paths"][path]["post"]["callbacks"].items()
        ((_, item),) = callback.items()
        self._hold(item["post"]["requestBody"]["content"]["application/json"]["schema"], body, f"callback of {path}")

    def check_schema(self, name: str, body: bytes) -> None:
        self._hold({"$ref": f"#/components/schemas/{name}"}, body, name)

    def _hold(self, schema: Mapping[str, Any], body: bytes, where: str) -> None:
        validator = self._validator(schema)
        value = strict(body)
        problems = [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(value)]
        assert not problems, f"{where} answered {body[:600]!r}, but {'; '.join(problems)}"

    def _validator(self, schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
        name = str(schema)
        if name not in self._validators:
            whole = {**schema, "components": self._document["components"]}
            self._validators[name] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._validators[name]

    def _resolve(self, item: Mapping[str, Any]) -> Any:
        found: Any = item
        while "$ref" in found:
            names = re.findall(r"[^#/]+", found["$ref"])
            found = self._document
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

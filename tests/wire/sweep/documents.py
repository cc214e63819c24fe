"""The documents of the public API, operation by operation: what may be sent, what has to come back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.wire import promises
from tests.wire.promises import Contract

DOCUMENTS = {
    "image-common-file": "4o images, Flux Kontext, credits, links, uploads",
    "video": "Veo, Runway, Aleph, Luma",
    "suno": "Suno",
    "market": "Market, Omni, chat",
}
"""The files, and how the page calls them."""

REFUSALS = frozenset({401, 404, 405, 429})
"""HTTP statuses of refusals that come before an operation; not every page lists them. See ``x-platform``."""

METHODS = ("get", "post")


@dataclass(frozen=True, slots=True)
class Operation:
    """``spec`` is the document's own description of it. Complaints are sentences; none is the best answer."""

    document: str
    method: str
    path: str
    spec: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        return str(self.spec["operationId"])

    @property
    def _contract(self) -> Contract:
        return promises.whole(self.document)

    @property
    def _content(self) -> tuple[str, Mapping[str, Any]]:
        """The media type of the body and what is said of it."""
        body = self._contract.resolve(self.spec.get("requestBody", {}))
        kind, said = next(iter(body.get("content", {"": {}}).items()))
        return kind, said

    @property
    def media_type(self) -> str:
        return self._content[0]

    @property
    def examples(self) -> Mapping[str, Any]:
        """Bodies by the names that the document gives them."""
        said = self._content[1]
        if "example" in said:
            return {"example": said["example"]}
        return {name: each["value"] for name, each in said.get("examples", {}).items()}

    @property
    def schema(self) -> Mapping[str, Any]:
        """Of the body."""
        found: Mapping[str, Any] = self._contract.resolve(self._content[1].get("schema", {}))
        return found

    @property
    def required(self) -> Sequence[str]:
        return tuple(self.schema.get("required", ()))

    @property
    def lists(self) -> Mapping[str, Any]:
        """Fields that take only some values: by name what is allowed."""
        resolved = {name: self._contract.resolve(each) for name, each in self.schema.get("properties", {}).items()}
        return {name: each["enum"] for name, each in resolved.items() if "enum" in each}

    @property
    def bounds(self) -> Mapping[str, Any]:
        """Fields with a bound: by name something just beyond it."""
        resolved = {name: self._contract.resolve(each) for name, each in self.schema.get("properties", {}).items()}
        return {name: value for name, each in resolved.items() if (value := _beyond(each)) is not None}

    @property
    def query(self) -> Sequence[str]:
        """Query parameters that are needed; one that is said to be optional but is "useless without" counts."""
        given = [self._contract.resolve(each) for each in self.spec.get("parameters", ())]
        return [each["name"] for each in given if each["in"] == "query" and each["name"] != "index"]

    @property
    def codes(self) -> frozenset[int]:
        """Every code that the document knows for this operation, as HTTP status or in the body."""
        named = {int(code) for code in self.spec.get("x-codes", ())}
        named |= {int(status) for status in self.spec["responses"]}
        schema = self._answer_schema(200) or {}
        code = self._contract.resolve(self._contract.resolve(schema).get("properties", {}).get("code", {}))
        return frozenset(named if "x-codes" in self.spec else named | set(code.get("enum", ())))

    def told(self, status: int = 200) -> Iterator[Any]:
        """The document's examples of an answer."""
        said = self._answer(status)
        if "example" in said:
            yield said["example"]
        yield from (each["value"] for each in said.get("examples", {}).values())

    def problems(self, status: int, media_type: str, body: bytes) -> list[str]:
        """What of an answer is not as promised."""
        kind = media_type.partition(";")[0]
        if kind == "text/event-stream" and self._answer(status, kind):
            return []
        if kind != "application/json":
            return [f"HTTP {status} came as {media_type or 'nothing'}"]
        schema = self._answer_schema(status)
        if schema is None and status in REFUSALS:
            schema = {"$ref": f"#/components/schemas/{self._refusal}"}
        if schema is None:
            return [f"HTTP {status} is not in the document"]
        return self._contract.problems(schema, json.loads(body))

    @property
    def _refusal(self) -> str:
        return "UploadError" if self.path.startswith("/api/file-") else "ErrorEnvelope"

    @property
    def streams(self) -> bool:
        return "text/event-stream" in self._contract.resolve(self.spec["responses"]["200"]).get("content", {})

    @property
    def calls_back(self) -> bool:
        return "callbacks" in self.spec

    @property
    def callback_field(self) -> str | None:
        """Where the address of the receiver stands in the body."""
        names = ("callBackUrl", "calBackUrl")
        return next((name for name in names if name in self.schema.get("properties", {})), None)

    def callback_problems(self, body: bytes) -> list[str]:
        """What of a callback is not as promised."""
        return self._contract.problems(self._callback["schema"], json.loads(body))

    def callback_examples(self) -> Iterator[Any]:
        """The document's examples of a callback."""
        yield from (each["value"] for each in self._callback.get("examples", {}).values())

    @property
    def _callback(self) -> Mapping[str, Any]:
        (callback,) = self.spec["callbacks"].values()
        (item,) = self._contract.resolve(callback).values()
        (said,) = self._contract.resolve(item["post"]["requestBody"])["content"].values()
        found: Mapping[str, Any] = said
        return found

    def _answer(self, status: int, kind: str = "application/json") -> Mapping[str, Any]:
        answer = self._contract.resolve(self.spec["responses"].get(str(status), {}))
        found: Mapping[str, Any] = answer.get("content", {}).get(kind, {})
        return found

    def _answer_schema(self, status: int) -> Mapping[str, Any] | None:
        return self._answer(status).get("schema")


def _beyond(schema: Mapping[str, Any]) -> Any:
    if "maxLength" in schema:
        return "x" * (schema["maxLength"] + 1)
    if "maxItems" in schema:
        return ["https://client.example.net/in/a.png"] * (schema["maxItems"] + 1)
    return schema["maximum"] + 1 if "maximum" in schema else None


def operations(document: str) -> list[Operation]:
    """Every operation of a document, in its order."""
    paths: Mapping[str, Mapping[str, Any]] = promises.whole(document).document["paths"]
    return [
        Operation(document, method, path, item[method])
        for path, item in paths.items()
        for method in METHODS
        if method in item
    ]


def lacking(example: Any, ours: Any, where: str = "") -> Iterator[str]:
    """The fields that an example of the document has and an answer of ours has not."""
    if isinstance(example, Mapping):
        if not isinstance(ours, Mapping):
            yield where
            return
        for name, value in example.items():
            place = f"{where}.{name}".lstrip(".")
            if name not in ours:
                yield place
            elif isinstance(value, Mapping | list) and value:
                yield from lacking(value, ours[name], place)
    elif isinstance(example, list) and example and isinstance(example[0], Mapping | list):
        if not isinstance(ours, list) or not ours:
            yield where
            return
        yield from lacking(example[0], ours[0], f"{where}[]")
    elif isinstance(example, list) and example and not ours:
        yield where

"""The gateway's own operations, and the OpenAPI document that is made of them and of those of the families.

A test holds it against the routes that are really served.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from tessera.contract.envelope import Envelope, UploadError
from tessera.contract.files import Base64Upload, DownloadUrl, Uploaded, UrlUpload
from tessera.contract.native import NativeDelivery, NativeTask

Method = Literal["get", "post"]
Shape = Literal["envelope", "upload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """``body`` and ``data`` are structs of the contract; ``query`` names parameters, a ``!`` marks a required one.

    ``creates`` says that it takes an Idempotency-Key.
    """

    method: Method
    path: str
    id: str
    summary: str
    tag: str
    data: Any
    body: Any = None
    query: tuple[str, ...] = field(default=())
    shape: Shape = "envelope"
    creates: bool = False


class StreamUpload(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the multipart form; ``file`` is its binary part."""

    file: bytes
    uploadPath: str
    fileName: str | None = None


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="get",
        path="/api/v1/chat/credit",
        id="getAccountCredits",
        summary="Credits left on the account",
        tag="Common",
        data=float,
    ),
    Operation(
        method="post",
        path="/api/v1/common/download-url",
        id="downloadUrl",
        summary="Turn the URL of any generated file into a presigned direct download URL",
        tag="Common",
        body=DownloadUrl,
        data=str,
    ),
    Operation(
        method="post",
        path="/api/file-base64-upload",
        id="uploadFileBase64",
        summary="Upload a small file as Base64 text",
        tag="File Upload",
        body=Base64Upload,
        data=Uploaded,
        shape="upload",
    ),
    Operation(
        method="post",
        path="/api/file-stream-upload",
        id="uploadFileStream",
        summary="Upload a file as multipart form data",
        tag="File Upload",
        body=StreamUpload,
        data=Uploaded,
        shape="upload",
    ),
    Operation(
        method="post",
        path="/api/file-url-upload",
        id="uploadFileUrl",
        summary="Have the gateway fetch a public URL and store it",
        tag="File Upload",
        body=UrlUpload,
        data=Uploaded,
        shape="upload",
    ),
    Operation(
        method="get",
        path="/v1/tasks/{task_id}",
        id="getTask",
        summary="A task of any family, in our own words",
        tag="Tasks",
        data=NativeTask,
    ),
    Operation(
        method="post",
        path="/v1/tasks/{task_id}/cancel",
        id="cancelTask",
        summary="Cancel a task that is not over; it costs nothing then",
        tag="Tasks",
        data=NativeTask,
    ),
    Operation(
        method="get",
        path="/v1/webhooks/deliveries",
        id="listDeliveries",
        summary="Callbacks made or under way, the newest first",
        tag="Webhooks",
        query=("taskId", "state", "limit"),
        data=list[NativeDelivery],
    ),
    Operation(
        method="get",
        path="/v1/webhooks/deliveries/{delivery_id}",
        id="getDelivery",
        summary="A callback with every attempt to deliver it",
        tag="Webhooks",
        data=NativeDelivery,
    ),
    Operation(
        method="post",
        path="/v1/webhooks/deliveries/{delivery_id}/redeliver",
        id="redeliver",
        summary="Deliver a callback again",
        tag="Webhooks",
        data=NativeDelivery,
    ),
)


def openapi(version: str, server: str, families: Iterable[Operation]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the gateway: the operations of its families, and its own."""
    operations = (*families, *OPERATIONS)
    types = [each for operation in operations for each in (operation.body, operation.data) if each is not None]
    schemas, components = msgspec.json.schema_components(
        [*types, Envelope, UploadError], ref_template="#/components/schemas/{name}"
    )
    known = dict(zip(map(str, types), schemas, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tessera", "version": version, "summary": "One API for generative media"},
        "servers": [{"url": server}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "API key"}},
            "schemas": components,
        },
    }


def _operation(operation: Operation, known: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "responses": _responses(operation, known[str(operation.data)]),
    }
    if operation.body is not None:
        kind = "multipart/form-data" if operation.body is StreamUpload else "application/json"
        described["requestBody"] = {"required": True, "content": {kind: {"schema": known[str(operation.body)]}}}
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    text = {"type": "string"}
    given = [
        {"name": part[1:-1], "in": "path", "required": True, "schema": text}
        for part in operation.path.split("/")
        if part.startswith("{")
    ]
    given += [
        {"name": name.rstrip("!"), "in": "query", "required": name.endswith("!"), "schema": text}
        for name in operation.query
    ]
    if operation.creates:
        given.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": text})
    return given


def _responses(operation: Operation, data: Any) -> dict[str, Any]:
    if operation.shape == "upload":
        refused = {"$ref": "#/components/schemas/UploadError"}
        return {
            "200": _json("Stored", data),
            **{status: _json("Refused", refused) for status in ("400", "401", "404", "405", "500")},
        }
    code = {"type": "integer", "description": "200 is success; every other code is a refusal, and data is null then"}
    shape = {
        "type": "object",
        "required": ["code", "msg", "data"],
        "properties": {"code": code, "msg": {"type": "string"}, "data": {"anyOf": [data, {"type": "null"}]}},
    }
    refused = {"$ref": "#/components/schemas/Envelope"}
    statuses = ["404", "405", "429", "500"] + (["401", "422"] if operation.path.startswith("/v1/") else [])
    return {
        "200": _json("Look at code", shape),
        **{status: _json("Refused", refused) for status in sorted(statuses)},
    }


def _json(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}

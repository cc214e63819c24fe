"""The gateway's own operations, and the OpenAPI document that is made of them and of those of the families.

A test holds it against the routes that are really served.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from tessera.contract.chat import (
    ChatCompletion,
    ChatCompletionRequest,
    GeminiReply,
    GeminiRequest,
    MessagesReply,
    MessagesRequest,
    ResponsesReply,
    ResponsesRequest,
)
from tessera.contract.envelope import Envelope, UploadError
from tessera.contract.files import Base64Upload, DownloadUrl, Uploaded, UrlUpload
from tessera.contract.market import PriceCount, PricePage, PriceQuery, PublicModel
from tessera.contract.native import NativeDelivery, NativeTask

Method = Literal["get", "post"]
Shape = Literal["envelope", "upload", "chat"]
"""How an operation answers: in an envelope, as uploads do, or in the words of another protocol, as a stream or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """``body`` and ``data`` are structs of the contract; ``query`` names parameters, a ``!`` marks a required one.

    ``creates`` says that it takes an Idempotency-Key; ``verb`` is what stands behind the last part of the path.
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
    verb: str = ""


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
    Operation(
        method="get",
        path="/v1/models",
        id="listModels",
        summary="The models of the Market: their inputs, results and prices, and whether they can be run here",
        tag="Models",
        query=("modality", "vendor", "status"),
        data=list[PublicModel],
    ),
    Operation(
        method="get",
        path="/v1/models/{model_id}",
        id="getModel",
        summary="One model; the slashes of its id stand as they are",
        tag="Models",
        data=PublicModel,
    ),
    Operation(
        method="get",
        path="/api/v1/playground/model-paths",
        id="playgroundModelPaths",
        summary="The ids of all models; needs no key",
        tag="Models",
        data=list[str],
    ),
    Operation(
        method="get",
        path="/client/v1/model-pricing/count",
        id="modelPricingCount",
        summary="Number of price rows per kind; needs no key",
        tag="Models",
        data=PriceCount,
    ),
    Operation(
        method="post",
        path="/client/v1/model-pricing/page",
        id="modelPricingPage",
        summary="Price rows, page by page; needs no key",
        tag="Models",
        body=PriceQuery,
        data=PricePage,
    ),
    Operation(
        method="post",
        path="/{chatModel}/v1/chat/completions",
        id="chatCompletions",
        summary="Chat in the OpenAI chat-completions protocol",
        tag="Chat",
        body=ChatCompletionRequest,
        data=ChatCompletion,
        shape="chat",
    ),
    Operation(
        method="post",
        path="/codex/v1/responses",
        id="codexResponses",
        summary="GPT models in the OpenAI Responses protocol",
        tag="Chat",
        body=ResponsesRequest,
        data=ResponsesReply,
        shape="chat",
    ),
    Operation(
        method="post",
        path="/api/v1/responses",
        id="gptCodexResponses",
        summary="Codex models in the OpenAI Responses protocol",
        tag="Chat",
        body=ResponsesRequest,
        data=ResponsesReply,
        shape="chat",
    ),
    Operation(
        method="post",
        path="/grok/v1/responses",
        id="grokResponses",
        summary="Grok models in the OpenAI Responses protocol",
        tag="Chat",
        body=ResponsesRequest,
        data=ResponsesReply,
        shape="chat",
    ),
    Operation(
        method="post",
        path="/claude/v1/messages",
        id="claudeMessages",
        summary="Claude models in the Anthropic Messages protocol",
        tag="Chat",
        body=MessagesRequest,
        data=MessagesReply,
        shape="chat",
    ),
    Operation(
        method="post",
        path="/anthropic/v1/messages",
        id="anthropicMessages",
        summary="Claude models for unmodified Anthropic SDKs",
        tag="Chat",
        body=MessagesRequest,
        data=MessagesReply,
        shape="chat",
    ),
    Operation(
        method="post",
        path="/gemini/v1/models/{geminiModel}",
        verb=":streamGenerateContent",
        id="geminiStreamGenerateContent",
        summary="Gemini models in Google's own protocol",
        tag="Chat",
        body=GeminiRequest,
        data=GeminiReply,
        shape="chat",
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
        paths.setdefault(operation.path + operation.verb, {})[operation.method] = _operation(operation, known)
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
    if operation.shape == "chat":
        envelope = {"$ref": "#/components/schemas/Envelope"}
        answered = _json("The reply, a stream of it, or a refusal", {"anyOf": [data, envelope]})
        answered["content"]["text/event-stream"] = {"schema": {"type": "string"}}
        statuses = ["400", "401", "402", "403", "404", "405", "408", "429", "500", "501"]
        return {"200": answered, **{status: _json("Refused", envelope) for status in statuses}}
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

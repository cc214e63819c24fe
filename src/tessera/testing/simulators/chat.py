"""Three vendors' language models on 127.0.0.1, as strict as their published protocols.

    async with Simulator() as sim:
        environ = sim.environ     # keys and base URLs as a gateway reads them

OpenAI (``/v1/chat/completions``, ``/v1/responses``; xAI speaks the same), Anthropic (``/v1/messages``) and Google
(``/v1beta/models/...``, and OpenAI's protocol under ``/v1beta/openai``). What a protocol does not know is refused in
the vendor's own form. ``calls`` are the requests as they came, accepted or not: no hidden retry stays hidden.
``script`` says what goes wrong with the next ones; ``gate`` holds a stream back behind its first words until it is
opened.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

from tessera.testing.mailbox import Mailbox

Json = dict[str, Any]
Fault = Literal["drop", "cut", "event", "hang", "garbage", "silent"]
"""The connection closed without an answer; a stream cut off in the middle; an event that says so instead; no answer at
all; one that is no JSON; a stream or an answer that counts nothing."""

WORDS = ("Water ", "boils ", "at ", "a ", "hundred ", "degrees.")
ASKED, SAID, CACHED, THOUGHT = 1200, 340, 200, 40

CHAT = {"messages", "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools"}
CHAT |= {"tool_choice", "response_format", "reasoning_effort", "temperature", "top_p", "stop", "seed", "user"}
CHAT |= {"metadata", "parallel_tool_calls", "extra_body"}
RESPONSES = {"model", "input", "stream", "store", "max_output_tokens", "tools", "tool_choice", "reasoning"}
RESPONSES |= {"instructions", "temperature", "top_p", "text", "metadata", "include", "parallel_tool_calls"}
MESSAGES = {"model", "messages", "max_tokens", "stream", "system", "tools", "tool_choice", "thinking", "temperature"}
MESSAGES |= {"top_p", "top_k", "stop_sequences", "metadata", "output_config"}
GEMINI = {"contents", "tools", "toolConfig", "generationConfig", "systemInstruction", "safetySettings"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as it came; the names of ``headers`` are in lower case."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Json


class Wrong(Exception):
    """What the protocol does not allow; ``status`` is the HTTP status of the refusal."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Simulator:
    """All three vendors at one address, each with a key of its own."""

    keys: Mapping[str, str] = {
        "openai": "sk-simulated-0123456789",
        "anthropic": "sk-ant-simulated-0123456789",
        "gemini": "AIza-simulated-0123456789",
        "xai": "xai-simulated-0123456789",
    }

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.left: Mailbox[str] = Mailbox()
        """The paths of streams whose reader has hung up."""
        self.hanging: Mailbox[str] = Mailbox()
        """The paths of requests that no answer will ever come to."""
        self.gate = asyncio.Event()
        self.gate.set()
        self._script: deque[Fault | int] = deque()
        self._runner: web.ServerRunner | None = None

    @property
    def environ(self) -> dict[str, str]:
        bases = {
            "OPENAI": ("openai", "/v1"),
            "XAI": ("xai", "/v1"),
            "ANTHROPIC": ("anthropic", ""),
            "GEMINI": ("gemini", "/v1beta"),
        }
        found = {f"{name}_API_KEY": self.keys[vendor] for name, (vendor, _) in bases.items()}
        return found | {f"{name}_BASE_URL": self.url + path for name, (_, path) in bases.items()}

    def script(self, *faults: Fault | int) -> None:
        """What happens to the next requests, in this order; a number is a status of refusal."""
        self._script.extend(faults)

    async def __aenter__(self) -> Self:
        # A reader who hangs up is to be noticed at once, and not at the next word.
        self._runner = web.ServerRunner(web.Server(self._handle, handler_cancellation=True), shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        path, _, verb = request.path.partition(":")
        headers = {name.lower(): value for name, value in request.headers.items()}
        vendor = "anthropic" if path == "/v1/messages" else "gemini" if path.startswith("/v1beta") else "openai"
        try:
            body = _read(request, raw)
            self.calls.append(Call(path=request.path_qs, headers=headers, body=body))
            fault = self._script.popleft() if self._script else None
            if isinstance(fault, int):
                raise Wrong(fault, f"refused for a test; the key was {headers.get('authorization', '')}")
            talk = self._checked(request, path, verb, headers, body)
        except Wrong as wrong:
            return web.json_response(_error(vendor, wrong), status=wrong.status, headers={"Retry-After": "7"})
        try:
            return await self._answer(request, talk, fault)
        except asyncio.CancelledError:
            self.left.put(path)
            raise

    def _checked(
        self, request: web.BaseRequest, path: str, verb: str, headers: Mapping[str, str], body: Json
    ) -> "Talk":
        match path:
            case "/v1/chat/completions":
                self._opens(headers, "authorization", "Bearer ", "openai", "xai")
                return _chat(body, CHAT - {"extra_body"})
            case "/v1/responses":
                self._opens(headers, "authorization", "Bearer ", "openai", "xai")
                return _responses(body)
            case "/v1/messages":
                self._opens(headers, "x-api-key", "", "anthropic")
                return _messages(body, headers)
            case "/v1beta/openai/chat/completions":
                self._opens(headers, "authorization", "Bearer ", "gemini")
                return _chat(body, CHAT)
        if path.startswith("/v1beta/models/") and verb in ("streamGenerateContent", "generateContent"):
            self._opens(headers, "x-goog-api-key", "", "gemini")
            return _gemini(body, verb, request.query.get("alt"))
        raise Wrong(404, f"no such path: {path}")

    def _opens(self, headers: Mapping[str, str], name: str, before: str, *vendors: str) -> None:
        if headers.get(name) not in [before + self.keys[vendor] for vendor in vendors]:
            raise Wrong(401, f"Incorrect API key provided: {headers.get(name)}")

    async def _answer(self, request: web.BaseRequest, talk: "Talk", fault: Fault | None) -> web.StreamResponse:
        if fault == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault == "hang":
            self.hanging.put(request.path)
            await asyncio.Event().wait()
        if fault == "garbage":
            return web.Response(body=b"<html>oops", content_type="application/json")
        if not talk.stream:
            whole = {**talk.whole, **({talk.counts: None} if fault == "silent" else {})}
            return web.json_response(whole)
        return await self._stream(request, talk, fault)

    async def _stream(self, request: web.BaseRequest, talk: "Talk", fault: Fault | None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, event in enumerate(talk.events):
            if number == talk.first:
                await self.gate.wait()
            if number == talk.first and fault == "cut":
                assert request.transport is not None
                request.transport.abort()
                return response
            if number == talk.first and fault == "event":
                await response.write(talk.trouble)
                return response
            if fault != "silent" or talk.counts.encode() not in event:
                await response.write(event)
        return response


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """An answer: whole, or as events, of which the first word is in the one before ``first``."""

    stream: bool
    whole: Json
    events: list[bytes]
    first: int
    trouble: bytes
    counts: str = "usage"


def _read(request: web.BaseRequest, raw: bytes) -> Json:
    if request.method != "POST":
        raise Wrong(405, "method not allowed")
    if request.content_type != "application/json":
        raise Wrong(415, "the content type must be application/json")
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Wrong(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(body, dict):
        raise Wrong(400, "the body must be an object")
    return body


def _error(vendor: str, wrong: Wrong) -> Json:
    match vendor:
        case "anthropic":
            return {"type": "error", "error": {"type": "invalid_request_error", "message": str(wrong)}}
        case "gemini":
            return {"error": {"code": wrong.status, "message": str(wrong), "status": "INVALID_ARGUMENT"}}
        case _:
            error = {"message": str(wrong), "type": "invalid_request_error", "param": None, "code": None}
            return {"error": error}


def _known(body: Json, fields: set[str]) -> None:
    for name, value in body.items():
        if name not in fields:
            raise Wrong(400, f"Unknown parameter: '{name}'.")
        if value is None:
            raise Wrong(400, f"Invalid value for '{name}': null.")


def _need(body: Json, name: str, kind: type) -> Any:
    value = body.get(name)
    if not isinstance(value, kind) or (not value and kind is not bool):
        raise Wrong(400, f"Missing required parameter: '{name}'.")
    return value


def _flag(body: Json, name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Wrong(400, f"Invalid type for '{name}'.")
    return value


def _positive(body: Json, name: str) -> int | None:
    value = body.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise Wrong(400, f"Invalid '{name}'.")
    return value


def _event(data: object, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


# ---- OpenAI ----


def _chat(body: Json, fields: set[str]) -> Talk:
    _known(body, fields)
    model, stream = _need(body, "model", str), _flag(body, "stream")
    if "." not in model and model.startswith(("gpt-5-", "gemini-3-", "gemini-2-")) and model[-1].isdigit():
        raise Wrong(404, f"The model '{model}' does not exist.")
    for turn in _need(body, "messages", list):
        if not isinstance(turn, dict) or turn.get("role") not in ("developer", "system", "user", "assistant", "tool"):
            raise Wrong(400, "Invalid role.")
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise Wrong(400, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
    _positive(body, "max_tokens"), _positive(body, "max_completion_tokens")
    if "stream_options" in body and not stream:
        raise Wrong(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    usage = {
        "prompt_tokens": ASKED,
        "completion_tokens": SAID,
        "total_tokens": ASKED + SAID,
        "prompt_tokens_details": {"cached_tokens": CACHED},
    }
    head = {"id": "chatcmpl-1", "created": 1, "model": model}
    message = {"role": "assistant", "content": "".join(WORDS)}
    whole = {
        **head,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    counted = bool((body.get("stream_options") or {}).get("include_usage"))
    return Talk(
        stream=stream,
        whole=whole,
        events=list(_chat_events({**head, "object": "chat.completion.chunk"}, usage if counted else None)),
        first=2,
        trouble=_event({"error": {"message": "overloaded", "type": "server_error", "code": None, "param": None}}),
    )


def _chat_events(head: Json, usage: Json | None) -> Iterator[bytes]:
    deltas: list[tuple[Json, str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in WORDS]
    for delta, reason in [*deltas, ({}, "stop")]:
        yield _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    if usage is not None:
        yield _event({**head, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _responses(body: Json) -> Talk:
    _known(body, RESPONSES)
    model, stream = _need(body, "model", str), _flag(body, "stream")
    given = body.get("input")
    if not given or not isinstance(given, str | list):
        raise Wrong(400, "Missing required parameter: 'input'.")
    _flag(body, "store"), _positive(body, "max_output_tokens")
    usage = {
        "input_tokens": ASKED,
        "input_tokens_details": {"cached_tokens": CACHED},
        "output_tokens": SAID,
        "total_tokens": ASKED + SAID,
    }
    text = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
    item = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [text]}
    begun = {"id": "resp_1", "object": "response", "status": "in_progress", "model": model, "output": []}
    whole = {**begun, "status": "completed", "output": [item], "usage": usage}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        *({"type": "response.output_text.delta", **where, "delta": word} for word in WORDS),
        {"type": "response.completed", "response": whole},
    ]
    numbered: list[Json] = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    error = {"code": "server_error", "message": "overloaded"}
    failed = {"type": "response.failed", "response": {**begun, "status": "failed", "error": error}}
    return Talk(
        stream=stream,
        whole=whole,
        events=[_event(event, str(event["type"])) for event in numbered],
        first=2,
        trouble=_event(failed, "response.failed"),
    )


# ---- Anthropic ----


def _messages(body: Json, headers: Mapping[str, str]) -> Talk:
    if headers.get("anthropic-version") != "2023-06-01":
        raise Wrong(400, "anthropic-version: header is required")
    _known(body, MESSAGES)
    model, stream = _need(body, "model", str), _flag(body, "stream")
    for turn in _need(body, "messages", list):
        if not isinstance(turn, dict) or turn.get("role") not in ("user", "assistant"):
            raise Wrong(400, "messages: role must be user or assistant")
    most = _positive(body, "max_tokens")
    if most is None:
        raise Wrong(400, "max_tokens: Field required")
    _thinking(body, model, most)
    asked = {"input_tokens": ASKED, "cache_read_input_tokens": CACHED, "cache_creation_input_tokens": 0}
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "".join(WORDS)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {**asked, "output_tokens": SAID},
    }
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**asked, "output_tokens": 1}}
    said = ({"type": "text_delta", "text": word} for word in WORDS)
    events: list[Json] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in said),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": SAID}},
        {"type": "message_stop"},
    ]
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    return Talk(
        stream=stream,
        whole=whole,
        events=[_event(event, event["type"]) for event in events],
        first=3,
        trouble=_event(error, "error"),
    )


def _thinking(body: Json, model: str, most: int) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    budgeted = model.endswith("-4-5")
    if thinking.get("type") == "enabled" and not budgeted:
        raise Wrong(400, '"thinking.type.enabled" is not supported for this model.')
    if thinking.get("type") == "adaptive" and budgeted:
        raise Wrong(400, "adaptive thinking is not supported on this model")
    if thinking.get("type") == "enabled" and not 1024 <= thinking.get("budget_tokens", 0) < most:
        raise Wrong(400, "max_tokens must be greater than thinking.budget_tokens, which is at least 1024")


# ---- Google ----


def _gemini(body: Json, verb: str, alt: str | None) -> Talk:
    _known(body, GEMINI)
    for content in _need(body, "contents", list):
        if not isinstance(content, dict) or not content.get("parts"):
            raise Wrong(400, "contents.parts must not be empty.")
    if verb == "streamGenerateContent" and alt != "sse":
        raise Wrong(400, "only events are served here: alt=sse")
    usage = {
        "promptTokenCount": ASKED,
        "cachedContentTokenCount": CACHED,
        "candidatesTokenCount": SAID - THOUGHT,
        "thoughtsTokenCount": THOUGHT,
        "totalTokenCount": ASKED + SAID,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": ASKED}],
    }
    head = {"modelVersion": "gemini", "responseId": "1"}
    whole = {**_candidate("".join(WORDS), "STOP"), "usageMetadata": usage, **head}
    events = [_event({**_candidate(word), **head}) for word in WORDS[:-1]]
    events.append(_event({**_candidate(WORDS[-1], "STOP"), "usageMetadata": usage, **head}))
    return Talk(
        stream=verb == "streamGenerateContent",
        whole=whole,
        events=events,
        first=1,
        trouble=_event({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}),
        counts="usageMetadata",
    )


def _candidate(text: str, reason: str | None = None) -> Json:
    candidate: Json = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    return {"candidates": [{**candidate, "finishReason": reason} if reason else candidate]}

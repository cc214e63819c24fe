"""Four protocols of language models: what a body asks for, what an answer has used, how a fault is told midway.

The gateway passes questions and answers through. It looks into a question for its model, its bounds and what it must
not ask for, and into an answer for the tokens that it is paid by.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from tessera.contract.chat import ChatCompletionRequest, GeminiRequest, MessagesRequest, ResponsesRequest
from tessera.dialects.base import read
from tessera.domain.chat import Usage, Wire, guess
from tessera.domain.credit import credits
from tessera.domain.errors import Invalid
from tessera.kit.sse import Event, render

MEDIA = 20_000
"""Tokens that a picture, a document or a clip is held for at the most."""

SURPLUS = 2_000
"""Tokens that a vendor may put before a question by itself (89 were recorded for two words)."""

USUAL_MESSAGES = 4096
"""``max_tokens`` of a message that names none, as documented."""

HOSTED = ("image_generation", "code_interpreter", "code_execution", "file_search", "mcp")
"""Tools that run at the vendor, on the operator's files or at a price that no list of ours knows."""

DATA = frozenset({"data", "file_data", "b64_json"})
PLACES = frozenset({"url", "image_url", "file_url", "file_uri", "fileUri"})

Fields = Mapping[str, Any]
Request = ChatCompletionRequest | ResponsesRequest | MessagesRequest | GeminiRequest

REQUESTS: Mapping[Wire, type[Request]] = {
    Wire.CHAT: ChatCompletionRequest,
    Wire.RESPONSES: ResponsesRequest,
    Wire.MESSAGES: MessagesRequest,
    Wire.GEMINI: GeminiRequest,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question as it was understood.

    ``body`` has its fields as they came. ``most`` bounds the tokens of one answer, of which there are ``count``;
    ``given`` bounds those of the question, some of which are to be cached where ``caches`` says so. ``tells`` says
    that a stream shall end with its usage, where only some do.
    """

    wire: Wire
    model: str
    stream: bool
    body: Fields = field(repr=False)
    most: int
    count: int
    given: int
    caches: bool
    tells: bool


def understand(wire: Wire, raw: bytes, *, model: str | None, streams: bool, most: int) -> Asked:
    """``model`` is the one in the path, ``streams`` and ``most`` are what counts where the body says nothing.

    Raises Invalid.
    """
    request = read(REQUESTS[wire], raw)
    body: dict[str, Any] = msgspec.json.decode(raw)
    _refuse(request, body)
    bound, count = _bounds(request, most)
    return Asked(
        wire=wire,
        model=model if model is not None else body["model"],
        stream=streams if request.stream is None else request.stream,
        body=body,
        most=bound,
        count=count,
        given=_given(raw, body),
        caches=b'"cache_control"' in raw,
        tells=bool((getattr(request, "stream_options", None) or {}).get("include_usage")),
    )


def _bounds(request: Request, most: int) -> tuple[int, int]:
    match request:
        case ChatCompletionRequest():
            return request.max_completion_tokens or request.max_tokens or most, request.n or 1
        case ResponsesRequest():
            return request.max_output_tokens or most, 1
        case MessagesRequest():
            return request.max_tokens or USUAL_MESSAGES, 1
        case GeminiRequest():
            config = request.generationConfig
            return (config and config.maxOutputTokens) or most, (config and config.candidateCount) or 1


def _refuse(request: Request, body: Fields) -> None:
    """What reaches into the operator's account at the vendor is not passed on."""
    for name in ("previous_response_id", "conversation", "background", "container", "mcp_servers", "cachedContent"):
        if body.get(name):
            raise Invalid(f"{name}: is not served here; send the whole conversation each time", field=name)
    for index, tool in enumerate(request.tools or ()):
        kind = str(tool.get("type") or "").removesuffix("_preview")
        if kind.startswith(HOSTED) or "codeExecution" in tool or "code_execution" in tool or "fileSearch" in tool:
            place = f"tools[{index}]"
            raise Invalid(f"{place}: a tool that runs at the vendor is not served here", field=place)


def _given(raw: bytes, body: Fields) -> int:
    """Tokens of the question at the most: no tokenizer makes more of them than there are bytes."""
    hidden = parts = 0
    for name, text in _texts("", body):
        if text.startswith("data:") or (name in DATA and len(text) > 256):
            hidden, parts = hidden + len(text), parts + 1
        elif name in PLACES:
            parts += 1
    return max(0, len(raw) - hidden) + parts * MEDIA + SURPLUS


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text of a body, with the name of its field."""
    stack = [(name, value)]
    while stack:
        name, value = stack.pop()
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, dict):
            stack.extend(value.items())
        elif isinstance(value, list):
            stack.extend((name, each) for each in value)


# ---- what an answer has used ----


def _chat_usage(usage: Fields, before: Usage | None) -> Usage:
    read, cached = _count(usage, "prompt_tokens"), _count(_part(usage, "prompt_tokens_details"), "cached_tokens")
    # Some count the thoughts in the total alone.
    output = max(_count(usage, "completion_tokens"), _count(usage, "total_tokens") - read)
    return Usage(input=max(0, read - cached), cached=min(read, cached), output=output)


def _responses_usage(usage: Fields, before: Usage | None) -> Usage:
    read, cached = _count(usage, "input_tokens"), _count(_part(usage, "input_tokens_details"), "cached_tokens")
    return Usage(input=max(0, read - cached), cached=min(read, cached), output=_count(usage, "output_tokens"))


def _messages_usage(usage: Fields, before: Usage | None) -> Usage:
    """The first event counts the question, the last one the answer: what is not told again stays."""
    last = before or Usage()
    written = _count(usage, "cache_creation_input_tokens", last.written + last.kept)
    kept = _count(_part(usage, "cache_creation"), "ephemeral_1h_input_tokens", last.kept)
    return Usage(
        input=_count(usage, "input_tokens", last.input),
        cached=_count(usage, "cache_read_input_tokens", last.cached),
        written=max(0, written - kept),
        kept=kept,
        output=_count(usage, "output_tokens", last.output),
    )


def _gemini_usage(usage: Fields, before: Usage | None) -> Usage:
    cached = _count(usage, "cachedContentTokenCount")
    read = _count(usage, "promptTokenCount") + _count(usage, "toolUsePromptTokenCount")
    thoughts = max(_count(usage, "thoughtsTokenCount"), _count(usage, "thinkingTokenCount"))
    output = _count(usage, "candidatesTokenCount") + thoughts
    return Usage(input=max(0, read - cached), cached=min(read, cached), output=output)


USAGES: Mapping[Wire, Callable[[Fields, Usage | None], Usage]] = {
    Wire.CHAT: _chat_usage,
    Wire.RESPONSES: _responses_usage,
    Wire.MESSAGES: _messages_usage,
    Wire.GEMINI: _gemini_usage,
}


def _count(usage: Fields, name: str, missing: int = 0) -> int:
    """A number of tokens; what no number of tokens can be counts as missing."""
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else missing


def _part(value: Any, *names: str) -> Fields:
    """What lies below these names, where there are objects all the way; else nothing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


class Tally:
    """Reads along while a stream goes by. ``over`` is the endpoint's word that all is said, ``failed`` that it will not
    go on. ``said`` counts the bytes of text that have gone to the caller.
    """

    def __init__(self, asked: Asked) -> None:
        self._wire = asked.wire
        self._given = asked.given
        self._silent = asked.wire is Wire.CHAT and not asked.tells
        self.usage: Usage | None = None
        self.failed: str | None = None
        self.over = False
        self.said = 0

    def see(self, event: Event) -> bool:
        """Take note of an event; answers whether the caller gets it."""
        data = _json(event.data)
        if not data:
            self.over = self.over or event.data.strip() == b"[DONE]"
            return True
        self.over = self.over or _last(self._wire, data)
        self.failed = self.failed or _fault(self._wire, data)
        usage = _usage_of(self._wire, data)
        if usage:
            self.usage = USAGES[self._wire](usage, self.usage)
        self.said += _said(self._wire, data)
        # We always ask for the usage; an event that is nothing else is for who asked for it, too.
        return not (self._silent and usage and not data.get("choices"))

    def known(self, *, whole: bool) -> Usage:
        """What was used: as the endpoint counted it, and where it did not come to that, what the texts come to.

        ``whole`` says that nobody broke off.
        """
        told = self.usage or Usage(input=guess(self._given))
        if self.usage is not None and (whole or self.over) and (told.output or not self.said):
            return told
        return replace(told, output=max(told.output, guess(self.said)))


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):  # [DONE], for one
        return {}
    return value if isinstance(value, dict) else {}


def _usage_of(wire: Wire, data: Fields) -> Fields:
    match wire:
        case Wire.CHAT:
            return _part(data, "usage")
        case Wire.RESPONSES:
            return _part(data, "response", "usage")
        case Wire.MESSAGES:
            return _part(data, "message", "usage") or _part(data, "usage")
        case Wire.GEMINI:
            return _part(data, "usageMetadata")


def _fault(wire: Wire, data: Fields) -> str | None:
    kind = data.get("type")
    if data.get("error") is not None or kind in ("error", "response.failed"):
        error = _part(data, "error") or _part(data, "response", "error") or data
        return str(error.get("message") or "no reason given")
    return None


def _last(wire: Wire, data: Fields) -> bool:
    """Whether nothing follows that says or counts anything. A chat completion says so without JSON."""
    match wire:
        case Wire.CHAT:
            return False
        case Wire.RESPONSES:
            return data.get("type") in ("response.completed", "response.incomplete")
        case Wire.MESSAGES:
            return data.get("type") == "message_stop"
        case Wire.GEMINI:
            candidates = data.get("candidates")
            ends = [_part(each).get("finishReason") for each in candidates] if isinstance(candidates, list) else []
            return bool(ends) and all(ends) and bool(_usage_of(wire, data))


def _said(wire: Wire, data: Fields) -> int:
    """Bytes of text in an event, the texts of calls and thoughts among them."""
    match wire:
        case Wire.CHAT:
            choices = data.get("choices")
            spoken = [_part(each, "delta") for each in choices] if isinstance(choices, list) else []
        case Wire.RESPONSES:
            delta = data.get("delta")
            return len(delta.encode()) if isinstance(delta, str) else 0
        case Wire.MESSAGES:
            spoken = [_part(data, "delta")]
        case Wire.GEMINI:
            candidates = data.get("candidates")
            spoken = [_part(each, "content") for each in candidates] if isinstance(candidates, list) else []
    return sum(len(text.encode()) for name, text in _texts("", spoken) if name not in ("role", "type", "id"))


def whole(wire: Wire, body: bytes) -> tuple[dict[str, Any], Usage | None]:
    """An answer that came in one piece, and what it has used. Raises ValueError where it is none."""
    reply = _json(body)
    if not reply or _fault(wire, reply):
        raise ValueError("the endpoint's answer is no answer of its protocol")
    usage = _part(reply, "usageMetadata" if wire is Wire.GEMINI else "usage")
    return reply, USAGES[wire](usage, None) if usage else None


def finished(wire: Wire, reply: dict[str, Any], cost: int) -> bytes:
    """The answer as the caller gets it: with its cost, and with counts under the names that were recorded."""
    if wire is Wire.GEMINI and isinstance(usage := reply.get("usageMetadata"), dict):
        counts = {name: value for name, value in usage.items() if isinstance(value, int)}
        thoughts = {"thinkingTokenCount": counts["thoughtsTokenCount"]} if "thoughtsTokenCount" in counts else {}
        reply = {**reply, "usageMetadata": counts | thoughts}
    return msgspec.json.encode({**reply, "credits_consumed": credits(cost)})


def trouble(wire: Wire, code: int, message: str) -> bytes:
    """An event that says, in the middle of a stream, that there is no more to come."""
    match wire:
        case Wire.CHAT:
            return _event({"error": {"message": message, "type": "server_error", "param": None, "code": str(code)}})
        case Wire.RESPONSES:
            return _event({"type": "error", "code": "server_error", "message": message, "param": None}, "error")
        case Wire.MESSAGES:
            return _event({"type": "error", "error": {"type": "api_error", "message": message}}, "error")
        case Wire.GEMINI:
            return _event({"error": {"code": code, "message": message, "status": "INTERNAL"}})


def _event(data: Fields, name: str = "") -> bytes:
    return render(msgspec.json.encode(data), name)

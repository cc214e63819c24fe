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
from tessera.dialects.chat_doors import camel, refuse
from tessera.dialects.chat_media import weigh
from tessera.domain.chat import Usage, Wire, guess
from tessera.domain.credit import credits
from tessera.domain.errors import Invalid, Unreadable
from tessera.kit.sse import Event, render

DEEP = "The request body is nested too deeply"

USUAL_MESSAGES = 4096
"""``max_tokens`` of a message that names none, as documented."""

VALUES = 500_000
"""Commas and brackets of a body at the most. Each is about a token, and no model takes more of them than twice that."""

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


def values(raw: bytes) -> int:
    """The values in a body at the most, without a look at what they are."""
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def understand(wire: Wire, raw: bytes, *, model: str | None, streams: bool, most: int, betas: str = "") -> Asked:
    """``model`` is the one in the path, ``streams`` and ``most`` are what counts where the body says nothing.

    ``betas`` is the header ``anthropic-beta``. Raises Invalid.
    """
    if values(raw) > VALUES:
        raise Invalid(f"body: more than {VALUES} values and commas", field="body")
    request, body = _read(wire, raw)
    try:
        refuse(wire, body, betas)
    except RecursionError as error:
        raise Unreadable(DEEP) from error
    bound, count = _bounds(request, most)
    return Asked(
        wire=wire,
        model=model if model is not None else body["model"],
        stream=streams if request.stream is None else request.stream,
        body=body,
        most=bound,
        count=count,
        given=weigh(len(raw), body),
        caches=b'"cache_control"' in raw,
        tells=bool((getattr(request, "stream_options", None) or {}).get("include_usage")),
    )


def _read(wire: Wire, raw: bytes) -> tuple[Request, dict[str, Any]]:
    """A body as far as we know it, and all of it. Gemini's names come in two spellings, and leave in one."""
    body: dict[str, Any] = read(dict[str, Any], raw)
    if wire is Wire.GEMINI:
        try:
            body = camel(body)
            raw = msgspec.json.encode(body)
        except RecursionError as error:
            raise Unreadable(DEEP) from error
    return read(REQUESTS[wire], raw), body


def _bounds(request: Request, most: int) -> tuple[int, int]:
    match request:
        case ChatCompletionRequest():
            # Which of the two counts is the vendor's matter.
            return max(request.max_completion_tokens or 0, request.max_tokens or 0) or most, request.n or 1
        case ResponsesRequest():
            return request.max_output_tokens or most, 1
        case MessagesRequest():
            return request.max_tokens or USUAL_MESSAGES, 1
        case GeminiRequest():
            config = request.generationConfig
            return (config and config.maxOutputTokens) or most, (config and config.candidateCount) or 1


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

"""The sandbox as a language model: free, offline, the same answer to the same question, and honest about it.

It answers in the words of each protocol, in one piece or as a stream, with tokens that are counted as its words.
Directives in the last thing that a caller said provoke what a developer must handle:

    [sandbox: delay=2s]        it takes so long
    [sandbox: fail=400]        refused: the content     [sandbox: fail=451]     a file that cannot be fetched
    [sandbox: fail=429]        busy                     [sandbox: fail=500]     broken
    [sandbox: fail=reject]     refused at once          [sandbox: fail=ambiguous]  breaks off in the middle
    [sandbox: hang]            no answer ever comes
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tessera.domain.chat import Declined, Question, Wire
from tessera.kit.sse import render
from tessera.providers.sandbox.directives import Directives, Fault, UnknownDirectiveError, parse

Sleep = Callable[[float], Awaitable[None]]
Json = dict[str, Any]

CREATED = 1_767_225_600
"""The moment in every answer, the first of the year 2026: the same question has the same answer, bytes and all."""

SHOWN = 300
"""Characters of a question that its answer repeats."""

WORD = re.compile(r"\S+\s*")

SENTENCES = (
    "No model was asked, and nothing was spent.",
    "Every word of this was put together from your question alone.",
    "Ask the same again and you will read the same again.",
    "With a live key a real model would answer here.",
    "The tokens below are counted as words, and the bill is in test credits.",
    "Write a directive into your question to see how your program takes trouble.",
)

REFUSALS: Mapping[Fault, tuple[int, str]] = {
    Fault.CONTENT: (400, "Your content was flagged as violating content policies (asked for in the prompt)"),
    Fault.UNREACHABLE: (422, "A file of the request could not be fetched (asked for in the prompt)"),
    Fault.BROKEN: (500, "The sandbox failed to answer (asked for in the prompt)"),
    Fault.BUSY: (429, "The sandbox is busy (asked for in the prompt)"),
    Fault.REJECT: (422, "The sandbox rejected the request (asked for in the prompt)"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What is to be said, word by word, and how it is counted. ``cut`` says that it is longer than was allowed."""

    id: str
    model: str
    words: Sequence[str]
    asked: int
    cut: bool
    count: int = 1
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def said(self) -> int:
        return len(self.words) * self.count


class Talk:
    """Takes ``duration`` for every answer that does not ask for another one."""

    name = "sandbox"
    wires = frozenset(Wire)

    def __init__(self, duration: timedelta = timedelta(0), *, sleep: Sleep = asyncio.sleep) -> None:
        self._duration = duration
        self._sleep = sleep

    async def ask(self, question: Question) -> "Spoken":
        prompt = last(question.wire, question.body)
        try:
            text, wanted = parse(prompt)
        except UnknownDirectiveError as error:
            raise Declined(422, str(error)) from error
        if wanted.hang:
            await asyncio.Event().wait()
        if wanted.fault is not None and wanted.fault in REFUSALS:
            await self._sleep(_seconds(wanted.delay))
            code, message = REFUSALS[wanted.fault]
            raise Declined(code, message, retry_after=timedelta(seconds=1) if code == 429 else None)
        return Spoken(question, speech(question, text), wanted, self._duration, self._sleep)

    async def close(self) -> None:
        """Nothing is held here."""


class Spoken:
    """An answer of the sandbox, made while it is read."""

    def __init__(self, question: Question, speech: Speech, wanted: Directives, usual: timedelta, sleep: Sleep) -> None:
        self.streams = question.stream
        self._wire = question.wire
        self._speech = speech
        self._breaks = wanted.fault is Fault.AMBIGUOUS
        self._seconds = _seconds(wanted.delay if wanted.delay is not None else usual)
        self._sleep = sleep

    async def chunks(self) -> AsyncIterator[bytes]:
        pieces = list(EVENTS[self._wire](self._speech)) if self.streams else [_dump(WHOLE[self._wire](self._speech))]
        for number, piece in enumerate(pieces):
            # Half of the time is for thinking, the other half for speaking.
            await self._sleep(self._seconds / 2 if number == 0 else self._seconds / 2 / len(pieces))
            if self._breaks and number >= len(pieces) // 2:
                raise Declined(500, "The sandbox broke off its answer (asked for in the prompt)")
            yield piece

    def close(self) -> None:
        """Nothing is held here."""


def speech(question: Question, prompt: str) -> Speech:
    """The answer to a prompt, from the question alone."""
    said = {name: value for name, value in question.body.items() if not name.startswith("stream")}
    seed = hashlib.sha256(_dump([question.wire, question.model, said])).digest()
    told = " ".join(prompt.split())
    told = f"{told[: SHOWN - 1]}…" if len(told) > SHOWN else told
    chosen = sorted({seed[0] % len(SENTENCES), seed[1] % len(SENTENCES)})
    text = f"This is the Tessera sandbox in place of {question.model}. You said: “{told}”. "
    words = WORD.findall(text + " ".join(SENTENCES[each] for each in chosen))
    return Speech(
        id=seed.hex()[:24],
        model=question.model,
        words=words[: question.most],
        asked=sum(len(WORD.findall(each)) for each in _texts(question.body)),
        cut=len(words) > question.most,
        count=_count(question),
        body=question.body,
    )


def last(wire: Wire, body: Mapping[str, Any]) -> str:
    """The last thing that the caller said."""
    if wire is Wire.RESPONSES and isinstance(body.get("input"), str):
        return str(body["input"])
    name, inner = {
        Wire.CHAT: ("messages", "content"),
        Wire.RESPONSES: ("input", "content"),
        Wire.MESSAGES: ("messages", "content"),
        Wire.GEMINI: ("contents", "parts"),
    }[wire]
    for turn in reversed(body.get(name) or ()):
        if isinstance(turn, dict) and turn.get("role", "user") == "user":
            said = turn.get(inner)
            return said if isinstance(said, str) else " ".join(_parts(said))
    return ""


def _parts(said: Any) -> Iterator[str]:
    for part in said if isinstance(said, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]


def _texts(value: Any) -> Iterator[str]:
    """Every text of a body that somebody said, and none of the files in it."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            stack.extend(each for name, each in value.items() if name in ("text", "content", "parts", "input"))
            stack.extend(value[name] for name in ("messages", "contents", "system", "instructions") if name in value)
        elif isinstance(value, list):
            stack.extend(value)


def _count(question: Question) -> int:
    n = question.body.get("n") if question.wire is Wire.CHAT else None
    return n if isinstance(n, int) else 1


def _seconds(delay: timedelta | None) -> float:
    return delay.total_seconds() if delay is not None else 0.0


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _event(data: object, name: str = "") -> bytes:
    return render(_dump(data), name)


# ---- OpenAI chat completions ----


def _chat_usage(speech: Speech) -> Json:
    total = speech.asked + speech.said
    return {"prompt_tokens": speech.asked, "completion_tokens": speech.said, "total_tokens": total}


def _chat_head(speech: Speech, kind: str) -> Json:
    return {"id": f"chatcmpl-{speech.id}", "object": kind, "created": CREATED, "model": speech.model}


def _chat_whole(speech: Speech) -> Json:
    reason, message = _chat_reason(speech), {"role": "assistant", "content": speech.text, "refusal": None}
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": reason} for index in range(speech.count)
    ]
    return {**_chat_head(speech, "chat.completion"), "choices": choices, "usage": _chat_usage(speech)}


def _chat_events(speech: Speech) -> Iterator[bytes]:
    head = {**_chat_head(speech, "chat.completion.chunk"), "usage": None}
    for index in range(speech.count):
        said: list[tuple[Json, str | None]] = [({"role": "assistant", "content": ""}, None)]
        said += [({"content": word}, None) for word in speech.words]
        said += [({}, _chat_reason(speech))]
        for delta, reason in said:
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
            yield _event({**head, "choices": [choice]})
    yield _event({**head, "choices": [], "usage": _chat_usage(speech)})
    yield render(b"[DONE]")


def _chat_reason(speech: Speech) -> str:
    return "length" if speech.cut else "stop"


# ---- OpenAI Responses ----


def _response(speech: Speech, status: str, output: list[Json]) -> Json:
    over = status != "in_progress"
    usage = {
        "input_tokens": speech.asked,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": speech.said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": speech.asked + speech.said,
    }
    return {
        "id": f"resp_{speech.id}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": speech.body.get("instructions"),
        "metadata": {},
        "model": speech.model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": usage if over else None,
    }


def _message(speech: Speech, status: str, content: list[Json]) -> Json:
    return {"id": f"msg_{speech.id}", "type": "message", "status": status, "role": "assistant", "content": content}


def _output_text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _responses_whole(speech: Speech) -> Json:
    status = "incomplete" if speech.cut else "completed"
    return _response(speech, status, [_message(speech, status, [_output_text(speech.text)])])


def _responses_events(speech: Speech) -> Iterator[bytes]:
    begun, whole = _response(speech, "in_progress", []), _responses_whole(speech)
    item, part = whole["output"][0], whole["output"][0]["content"][0]
    where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": _message(speech, "in_progress", [])},
        {"type": "response.content_part.added", **where, "part": _output_text("")},
        *({"type": "response.output_text.delta", **where, "delta": word, "logprobs": []} for word in speech.words),
        {"type": "response.output_text.done", **where, "text": speech.text, "logprobs": []},
        {"type": "response.content_part.done", **where, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": f"response.{whole['status']}", "response": whole},
    ]
    for number, event in enumerate(events):
        yield _event({**event, "sequence_number": number}, event["type"])


# ---- Anthropic Messages ----


def _messages_whole(speech: Speech) -> Json:
    return {
        "id": f"msg_{speech.id}",
        "type": "message",
        "role": "assistant",
        "model": speech.model,
        "content": [{"type": "text", "text": speech.text}],
        "stop_reason": "max_tokens" if speech.cut else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": speech.asked, "output_tokens": speech.said},
    }


def _messages_events(speech: Speech) -> Iterator[bytes]:
    whole = _messages_whole(speech)
    usage = {"input_tokens": speech.asked, "output_tokens": 1}
    begun = {**whole, "content": [], "stop_reason": None, "usage": usage}
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    events: list[Json] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in speech.words
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": speech.said}},
        {"type": "message_stop"},
    ]
    for event in events:
        yield _event(event, event["type"])


# ---- Gemini ----


def _gemini(speech: Speech, text: str, reason: str | None, said: int) -> Json:
    candidate: Json = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": speech.asked, "candidatesTokenCount": said, "totalTokenCount": speech.asked + said}
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": speech.model,
        "responseId": speech.id,
    }


def _gemini_reason(speech: Speech) -> str:
    return "MAX_TOKENS" if speech.cut else "STOP"


def _gemini_whole(speech: Speech) -> Json:
    return _gemini(speech, speech.text, _gemini_reason(speech), speech.said)


def _gemini_events(speech: Speech) -> Iterator[bytes]:
    for number, word in enumerate(speech.words, 1):
        reason = _gemini_reason(speech) if number == len(speech.words) else None
        yield _event(_gemini(speech, word, reason, number))


WHOLE: Mapping[Wire, Callable[[Speech], Json]] = {
    Wire.CHAT: _chat_whole,
    Wire.RESPONSES: _responses_whole,
    Wire.MESSAGES: _messages_whole,
    Wire.GEMINI: _gemini_whole,
}
EVENTS: Mapping[Wire, Callable[[Speech], Iterator[bytes]]] = {
    Wire.CHAT: _chat_events,
    Wire.RESPONSES: _responses_events,
    Wire.MESSAGES: _messages_events,
    Wire.GEMINI: _gemini_events,
}

"""Chat without a wire: what a question may cost, what an answer has used, who answers for a model."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tessera.api.chat import Stream
from tessera.dialects import chat, chat_models
from tessera.dialects.chat import VALUES, Tally, understand
from tessera.dialects.chat_media import DOCUMENT, FILM, PICTURE, SOUND, Kind
from tessera.domain.chat import Question, Rates, Usage, Wire
from tessera.domain.errors import ConfigError, Invalid, NoProvider
from tessera.domain.task import Failure, Mode, Reason
from tessera.kit.sse import MOST, Splitter, TooLong
from tessera.providers.chat import openai
from tessera.providers.chat.endpoint import declined, place
from tessera.providers.chat.registry import Chats, build, spelled
from tessera.providers.sandbox.talk import Talk

HELLO: dict[Wire, dict[str, Any]] = {
    Wire.CHAT: {"messages": [{"role": "user", "content": "Hello"}]},
    Wire.RESPONSES: {"model": "gpt-5-4", "input": "Hello"},
    Wire.MESSAGES: {"model": "claude-opus-4-7", "messages": [{"role": "user", "content": "Hello"}]},
    Wire.GEMINI: {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
}
RATES = Rates(input=1_000, output=5_000, cached=100, written=1_250, kept=2_000)


def asked(wire: Wire, **more: Any) -> chat.Asked:
    raw = json.dumps({**HELLO[wire], **more}).encode()
    return understand(wire, raw, model="m", streams=False, most=1000)


# ---- money ----


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(), 0),
        (Usage(input=1), 1),  # a part of a milli-credit is a whole one
        (Usage(input=1_000_000, output=1_000_000), 6_000),
        (Usage(cached=1_000_000, written=1_000_000, kept=1_000_000), 3_350),
    ],
)
def test_each_kind_of_token_has_its_price(usage: Usage, cost: int) -> None:
    assert RATES.cost(usage) == cost


def test_the_most_that_a_call_can_cost_knows_the_dearest_way_through_a_cache() -> None:
    assert RATES.most(1_000_000, 1_000_000) == 6_000
    assert RATES.most(1_000_000, 1_000_000, caches=True) == 7_000


def test_every_chat_model_has_a_price_and_says_where_it_comes_from() -> None:
    models = chat_models.models()
    assert len(models) == 41
    for model in models.values():
        assert model.rates.input > 0 and model.rates.output >= model.rates.input
        assert model.rates.source
        assert model.names
    assert models["grok-4-5"].rates.source.startswith("estimate")
    assert models["gpt-5-5"].rates == Rates(
        input=280_000, output=1_680_000, cached=28_000, source=models["gpt-5-5"].rates.source
    )
    assert models["claude-sonnet-4-6"].rates.kept == 340_000


# ---- what is asked ----


@pytest.mark.parametrize(
    ("wire", "more", "most", "count"),
    [
        (Wire.CHAT, {}, 1000, 1),
        (Wire.CHAT, {"max_tokens": 5, "n": 3}, 5, 3),
        (Wire.CHAT, {"max_completion_tokens": 7, "max_tokens": None}, 7, 1),
        (Wire.RESPONSES, {"max_output_tokens": 9}, 9, 1),
        (Wire.MESSAGES, {}, 4096, 1),
        (Wire.MESSAGES, {"max_tokens": 11}, 11, 1),
        (Wire.GEMINI, {"generationConfig": {"maxOutputTokens": 13, "candidateCount": 2}}, 13, 2),
        (Wire.CHAT, {"max_completion_tokens": 1, "max_tokens": 100_000}, 100_000, 1),
        (Wire.CHAT, {"max_completion_tokens": 100_000, "max_tokens": 1}, 100_000, 1),
        (Wire.GEMINI, {"generation_config": {"max_output_tokens": 13, "candidate_count": 2}}, 13, 2),
        (Wire.GEMINI, {"generationConfig": {"max_output_tokens": 13, "candidateCount": 2}}, 13, 2),
        (Wire.GEMINI, {"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}}, 1000, 1),
    ],
)
def test_the_bound_of_an_answer_is_found_where_its_protocol_has_it(
    wire: Wire, more: dict[str, Any], most: int, count: int
) -> None:
    found = asked(wire, **more)
    assert (found.most, found.count) == (most, count)


def test_a_question_is_held_for_by_its_bytes_and_a_picture_by_a_flat_number() -> None:
    plain = asked(Wire.CHAT).given
    longer = asked(Wire.CHAT, messages=[{"role": "user", "content": "Hello" + "x" * 1000}]).given
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 5_000_000}}
    picture = asked(Wire.CHAT, messages=[{"role": "user", "content": [part]}]).given
    assert longer == plain + 1000
    assert PICTURE.least < picture < PICTURE.least + plain + 1000


GOOGLE = "generativelanguage.googleapis.com"

TEXT = "tell me " * 40_000
"""A long text that is none of base64."""

LETTERS = "A" * 400_000


def turn(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(parts)}]}


READ: tuple[tuple[Wire, dict[str, Any]], ...] = (
    (Wire.CHAT, turn({"type": "text", "text": "data:" + TEXT})),
    (Wire.CHAT, {"messages": [{"role": "user", "content": "data:text/plain;base64," + LETTERS}]}),
    (Wire.CHAT, turn({"type": "image_url", "image_url": {"url": "data:image/png;base64," + TEXT}})),
    (Wire.CHAT, turn({"type": "file", "file": {"file_data": "data:text/plain;base64," + LETTERS}})),
    (Wire.CHAT, {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"data": LETTERS}}}]}),
    (
        Wire.CHAT,
        {"tools": [{"source": {"type": "base64", "media_type": "image/png", "data": LETTERS}}]},
    ),
    (Wire.RESPONSES, {"instructions": "data:image/png;base64," + LETTERS}),
    (Wire.RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_text", "data": TEXT, "text": ""}]}]}),
    (
        Wire.MESSAGES,
        turn({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": LETTERS}}),
    ),
    (
        Wire.MESSAGES,
        turn(
            {
                "type": "tool_use",
                "input": {"source": {"type": "base64", "media_type": "image/png", "data": LETTERS}},
            },
            role="assistant",
        ),
    ),
    (Wire.GEMINI, {"contents": [{"parts": [{"inlineData": {"mimeType": "text/plain", "data": LETTERS}}]}]}),
    (Wire.GEMINI, {"contents": [{"parts": [{"functionCall": {"name": "f", "args": {"data": LETTERS}}}]}]}),
)


@pytest.mark.parametrize(("wire", "more"), READ)
def test_what_a_model_reads_as_text_is_held_for_by_its_bytes(wire: Wire, more: dict[str, Any]) -> None:
    assert asked(wire, **more).given > min(len(TEXT), len(LETTERS))


PDF, PNG = "data:application/pdf;base64," + LETTERS, "data:image/png;base64," + LETTERS
FILES: tuple[tuple[Wire, dict[str, Any], Kind], ...] = (
    (Wire.CHAT, turn({"type": "image_url", "image_url": {"url": PNG}}), PICTURE),
    (Wire.CHAT, turn({"type": "input_audio", "input_audio": {"format": "wav", "data": LETTERS}}), SOUND),
    (Wire.CHAT, turn({"type": "file", "file": {"file_data": PDF}}), DOCUMENT),
    (Wire.RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PNG}]}]}, PICTURE),
    (Wire.RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": PDF}]}]}, DOCUMENT),
    (
        Wire.MESSAGES,
        turn({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": LETTERS}}),
        DOCUMENT,
    ),
    (Wire.GEMINI, {"contents": [{"parts": [{"inlineData": {"mimeType": "video/mp4", "data": LETTERS}}]}]}, FILM),
    (Wire.GEMINI, {"contents": [{"parts": [{"inline_data": {"mime_type": "audio/mp3", "data": LETTERS}}]}]}, SOUND),
)


@pytest.mark.parametrize(("wire", "more", "kind"), FILES)
def test_a_file_is_held_for_by_its_kind_and_its_bytes(wire: Wire, more: dict[str, Any], kind: Kind) -> None:
    tokens = max(kind.least, 300_000 // kind.ratio)
    assert tokens < asked(wire, **more).given < tokens + 2_500


@pytest.mark.parametrize(
    ("wire", "part", "kind"),
    [
        (Wire.MESSAGES, {"type": "document", "source": {"type": "url", "url": "https://a.example/x"}}, DOCUMENT),
        (Wire.CHAT, {"type": "image_url", "image_url": {"url": "https://a.example/x"}}, PICTURE),
        (Wire.CHAT, {"type": "file", "file": {"file_url": "https://a.example/x"}}, DOCUMENT),
    ],
)
def test_a_file_at_an_address_is_held_for_as_a_large_one_of_its_kind(
    wire: Wire, part: dict[str, Any], kind: Kind
) -> None:
    assert kind.far < asked(wire, **turn(part)).given < kind.far + 2_500


def test_a_film_at_an_address_is_held_for_as_one_of_an_hour() -> None:
    part = {"file_data": {"file_uri": "https://www.youtube.com/watch?v=x"}}
    assert asked(Wire.GEMINI, contents=[{"parts": [part]}]).given > FILM.far


@pytest.mark.parametrize("wire", Wire)
def test_a_number_that_no_computer_holds_is_refused(wire: Wire) -> None:
    raw = json.dumps({**HELLO[wire], "x": 7}).replace("7}", "1e400}").encode()
    with pytest.raises(Invalid, match="out of range"):
        understand(wire, raw, model="m", streams=False, most=1000)


@pytest.mark.parametrize("filler", [b"0,", b"[],", b"{},"])
def test_a_body_of_countless_values_is_refused_before_it_is_read(filler: bytes) -> None:
    raw = b'{"messages": [' + filler * VALUES
    with pytest.raises(Invalid, match="more than"):
        understand(Wire.CHAT, raw, model="m", streams=False, most=1000)


@pytest.mark.parametrize("wire", Wire)
def test_a_body_that_is_nested_too_deeply_is_refused(wire: Wire) -> None:
    for depth in (300, 450, 900, 20_000):
        nest = "[" * depth + "]" * depth
        raw = json.dumps({**HELLO[wire], "x": 7}).replace("7}", nest + "}").encode()
        try:
            understand(wire, raw, model="m", streams=False, most=1000)
        except Invalid:
            assert depth > 300


def test_a_gemini_body_leaves_in_one_spelling_and_what_the_caller_named_is_left_alone() -> None:
    schema = {"properties": {"my_field": {"type": "STRING"}}}
    found = asked(
        Wire.GEMINI,
        contents=[{"parts": [{"function_call": {"name": "f", "args": {"my_field": 1}}}]}],
        generation_config={"top_p": 0.5, "thinking_config": {"thinking_budget": 9}, "response_schema": schema},
        system_instruction={"parts": [{"text": "a_b"}]},
    ).body
    assert found == {
        "contents": [{"parts": [{"functionCall": {"name": "f", "args": {"my_field": 1}}}]}],
        "generationConfig": {"topP": 0.5, "thinkingConfig": {"thinkingBudget": 9}, "responseSchema": schema},
        "systemInstruction": {"parts": [{"text": "a_b"}]},
    }


def test_one_bound_of_a_completion_is_sent_where_two_were_given() -> None:
    found = asked(Wire.CHAT, max_completion_tokens=1, max_tokens=100_000)
    sent = openai.chat(Question(wire=Wire.CHAT, model="m", body=found.body, stream=False, most=found.most)).body
    assert (sent.get("max_completion_tokens"), sent.get("max_tokens")) == (1, None)


def test_betas_of_anthropics_are_refused_by_name() -> None:
    raw = json.dumps(HELLO[Wire.MESSAGES]).encode()
    with pytest.raises(Invalid, match="files-api-2025-04-14 is not served") as refused:
        understand(Wire.MESSAGES, raw, model="m", streams=False, most=9, betas="files-api-2025-04-14, x")
    assert refused.value.field == "anthropic-beta"


@pytest.mark.parametrize(
    ("wire", "more", "field"),
    [
        (Wire.CHAT, {"messages": []}, "messages"),
        (Wire.CHAT, {"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        (Wire.CHAT, {"stream": "yes"}, "stream"),
        (Wire.CHAT, {"max_tokens": 0}, "max_tokens"),
        (Wire.RESPONSES, {"input": None}, "input"),
        (Wire.RESPONSES, {"previous_response_id": "resp_of_somebody_else"}, "previous_response_id"),
        (Wire.RESPONSES, {"background": True}, "background"),
        (Wire.RESPONSES, {"tools": [{"type": "function"}, {"type": "image_generation"}]}, "tools[1]"),
        (Wire.RESPONSES, {"tools": [{"type": "file_search"}]}, "tools[0]"),
        (Wire.MESSAGES, {"tools": [{"type": "code_execution_20250825", "name": "x"}]}, "tools[0]"),
        (Wire.MESSAGES, {"messages": [{"role": "user"}]}, "messages[0].content"),
        (Wire.GEMINI, {"tools": [{"codeExecution": {}}]}, "tools[0]"),
        (Wire.GEMINI, {"cachedContent": "cachedContents/1"}, "cachedContent"),
        (Wire.GEMINI, {"cached_content": "cachedContents/1"}, "cachedContent"),
        (Wire.GEMINI, {"tools": [{"file_search": {}}]}, "tools[0]"),
        (Wire.GEMINI, {"tools": [{"code_execution": {}}]}, "tools[0]"),
        (Wire.GEMINI, {"generation_config": {"candidateCount": 9}}, "generationConfig.candidateCount"),
        (Wire.GEMINI, {"generation_config": {}, "generationConfig": {}}, "generationConfig"),
        (Wire.GEMINI, {"contents": [{"parts": [{"fileData": {"fileUri": "files/1"}}]}]}, "fileUri"),
        (
            Wire.GEMINI,
            {"contents": [{"parts": [{"file_data": {"file_uri": f"https://{GOOGLE}/v1beta/files/1"}}]}]},
            "fileUri",
        ),
        (Wire.CHAT, turn({"type": "file", "file": {"file_id": "file-1"}}), "file_id"),
        (Wire.CHAT, {"store": True}, "store"),
        (Wire.CHAT, {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}, "messages[0].audio"),
        (Wire.CHAT, {"extra_body": {"google": {"cached_content": "cachedContents/1"}}}, "extra_body"),
        (Wire.MESSAGES, turn({"type": "image", "source": {"type": "file", "file_id": "file_1"}}), "file_id"),
        (Wire.MESSAGES, turn({"type": "container_upload", "file_id": "file_1"}), "file_id"),
        (Wire.RESPONSES, {"prompt": {"id": "pmpt_1"}}, "prompt"),
        (Wire.RESPONSES, {"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        (Wire.RESPONSES, {"input": [{"id": "msg_1"}]}, "input[0]"),
        (Wire.RESPONSES, {"input": [{"type": "image_generation_call", "id": "ig_1"}]}, "input[0]"),
        (
            Wire.RESPONSES,
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]},
            "file_id",
        ),
    ],
)
def test_a_field_that_is_wrong_or_reaches_into_the_operators_account_is_refused_by_name(
    wire: Wire, more: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        asked(wire, **more)
    assert refused.value.field == field


def test_functions_and_searches_are_passed_on() -> None:
    asked(Wire.CHAT, tools=[{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}])
    asked(Wire.GEMINI, tools=[{"googleSearch": {}}])


# ---- what was used ----


def seen(wire: Wire, *events: object) -> Tally:
    tally = Tally(asked(wire))
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event)
        for each in Splitter().feed(f"data: {data}\n\n".encode()):
            tally.see(each)
    return tally


DELTA = {"choices": [{"delta": {"content": "eight ch"}}]}


@pytest.mark.parametrize(
    ("wire", "events", "usage"),
    [
        (Wire.CHAT, [DELTA, {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}], (9, 4)),
        # Thoughts that are in the total alone.
        (
            Wire.CHAT,
            [{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 33}}],
            (9, 24),
        ),
        (Wire.CHAT, [{"choices": [], "usage": {"prompt_tokens": "many", "completion_tokens": -4}}], (0, 0)),
        (
            Wire.MESSAGES,
            [
                {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}},
                {"type": "message_delta", "usage": {"output_tokens": 4}},
            ],
            (9, 4),
        ),
        (
            Wire.GEMINI,
            [{"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1, "thoughtsTokenCount": 3}}],
            (9, 4),
        ),
        (Wire.RESPONSES, [{"response": {"usage": {"input_tokens": 9, "output_tokens": 4}}}], (9, 4)),
    ],
)
def test_tokens_are_taken_as_the_endpoint_counted_them(
    wire: Wire, events: list[object], usage: tuple[int, int]
) -> None:
    known = seen(wire, *events).known(whole=True)
    assert (known.input, known.output) == usage


def test_what_was_broken_off_is_reckoned_by_its_length() -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 400}}
    assert seen(Wire.MESSAGES, start, delta).known(whole=False) == Usage(input=9, output=100)


def test_a_reader_who_leaves_after_the_last_word_pays_what_was_counted() -> None:
    tally = seen(Wire.CHAT, DELTA, {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}, "[DONE]")
    assert tally.over
    assert tally.known(whole=False) == Usage(input=9, output=1)


class Until:
    """An answer that has begun with some events, and goes on for ever."""

    streams = True

    def __init__(self, *events: object) -> None:
        self._events = events
        self.waits = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        for event in self._events:
            yield f"data: {json.dumps(event)}\n\n".encode()
        self.waits.set()
        await asyncio.Event().wait()

    def close(self) -> None:
        """Nothing is held here."""


class Held:
    """A call that notes how it ended."""

    end = math.inf

    def __init__(self, wire: Wire) -> None:
        self.asked = asked(wire)
        self.ends: list[object] = []

    async def settle(self, usage: Usage) -> None:
        self.ends.append(usage)

    async def fail(self, failure: Failure) -> None:
        self.ends.append(failure.reason)


COUNTED = {"type": "message_start", "message": {"usage": {"input_tokens": 9000, "output_tokens": 1}}}


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ([COUNTED], Usage(input=9000, output=1)),
        ([{"type": "ping"}], Reason.CANCELED),
        ([COUNTED, {"type": "error", "error": {"message": "overloaded"}}], Reason.PROVIDER),
    ],
)
async def test_who_leaves_before_the_first_word_pays_what_was_counted(events: list[object], end: object) -> None:
    call, reply = Held(Wire.MESSAGES), Until(*events)

    async def receive() -> Any:
        await reply.waits.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        """Nobody reads it."""

    scope: Any = {"type": "http", "headers": [], "state": {}}
    await Stream(call, reply).to_asgi_response(None, None)(scope, receive, send)  # type: ignore[arg-type]
    assert call.ends == [end]


# ---- events ----


def test_events_come_out_as_they_went_in_however_they_are_cut() -> None:
    raw = b"event: a\ndata: 1\n\ndata: 2\r\ndata: 3\r\n\r\n: note\n\ndata:4\r\r"
    for size in range(1, len(raw)):
        splitter = Splitter()
        events = [event for at in range(0, len(raw), size) for event in splitter.feed(raw[at : at + size])]
        assert b"".join(event.raw for event in events) + splitter.rest == raw
        assert [(event.name, event.data) for event in events if event.data] == [("a", b"1"), ("", b"2\n3"), ("", b"4")]


def test_an_event_without_an_end_is_not_gathered_for_ever() -> None:
    splitter = Splitter()
    splitter.feed(b"data: " + b"x" * (MOST - 10))
    with pytest.raises(TooLong):
        splitter.feed(b"x" * 20)


# ---- who answers ----


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-5-2", "gpt-5.2"),
        ("gpt-5-6-luna", "gpt-5.6-luna"),
        ("gpt-5-codex", "gpt-5-codex"),
        ("gpt-5.2-codex", "gpt-5.2-codex"),
        ("gemini-3-5-flash-openai", "gemini-3.5-flash"),
        ("gemini-3-flash", "gemini-3-flash"),
        ("grok-4-5", "grok-4.5"),
        ("claude-haiku-4-5", "claude-haiku-4-5"),
    ],
)
def test_a_model_has_its_vendors_spelling_upstream(model: str, name: str) -> None:
    assert spelled(model) == name


async def test_a_live_key_never_meets_the_sandbox_and_is_told_what_to_set() -> None:
    chats = Chats({}, Talk(), {})
    with pytest.raises(NoProvider, match="ANTHROPIC_API_KEY"):
        chats.of(Mode.LIVE, "claude-opus-5", Wire.MESSAGES)
    assert chats.of(Mode.TEST, "claude-opus-5", Wire.MESSAGES)[0].name == "sandbox"
    await chats.close()


@pytest.mark.parametrize(
    ("routes", "complaint"),
    [
        ({"gpt-9": "openai:x"}, "no chat model 'gpt-9'"),
        ({"gpt-5-2": "sandbox:x"}, "'sandbox'"),
        ({"gpt-5-2": "anthropic:x"}, "does not speak"),
    ],
)
def test_a_route_that_leads_nowhere_is_found_at_the_start(routes: dict[str, str], complaint: str) -> None:
    wires = {model.id: frozenset(model.names) for model in chat_models.models().values()}
    with pytest.raises(ConfigError, match=complaint):
        Chats({}, Talk(), routes).check(wires)


async def test_a_route_names_endpoint_and_model() -> None:
    endpoints = build({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://10.0.0.7:8000/v1/"})
    chats = Chats(endpoints, Talk(), {"gemini-2.5-flash": "openai:org/model:7b"})
    found, name = chats.of(Mode.LIVE, "gemini-2.5-flash", Wire.CHAT)
    assert (found.name, name) == ("openai", "org/model:7b")
    await chats.close()


@pytest.mark.parametrize(
    ("key", "url", "complaint"),
    [
        ("secret key", "", "OPENAI_API_KEY contains"),
        ("secret", "ftp://host", "OPENAI_BASE_URL is not"),
        ("secret", "https://user:word@host", "OPENAI_BASE_URL is not"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_without_being_shown(key: str, url: str, complaint: str) -> None:
    environ = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": url}
    with pytest.raises(ConfigError, match=complaint) as refused:
        place(environ, "OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1")
    assert "secret" not in str(refused.value) and "word@" not in str(refused.value)


def test_a_wrong_key_of_googles_is_the_operators_matter() -> None:
    text = json.dumps({"error": {"code": 400, "message": "API key not valid.", "details": ["API_KEY_INVALID"]}})
    found = declined(400, text)
    assert (found.code, found.body) == (500, None)
    assert "key" not in str(found).lower()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"error": {"message": "no\\u0000 \\ud800 good", "details": [{"project": 7}]}}', "no\ufffd ? good"),
        ('[{"error": {"message": "once"}}]', "once"),
        ('{"error": "in a word"}', "in a word"),
        ('{"message": "bare"}', "bare"),
        ("<html>", "The provider refused the request"),
        ('{"error": {"message": 5}}', "The provider refused the request"),
        ("[" * 100_000, "The provider refused the request"),
    ],
)
def test_a_refusal_is_told_in_words_that_can_be_kept_and_sent(text: str, message: str) -> None:
    found = declined(400, text)
    assert str(found) == message
    assert "project" not in json.dumps(found.body)

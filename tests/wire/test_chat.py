"""Chat as the Market's document has it: its examples are sent as they stand, and every answer is held against it."""

import json
from typing import Any

import pytest
from tests.wire import promises
from tests.wire.desk import Answer, Desk

from tessera.domain.task import Mode

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT, RESPONSES, MESSAGES, GEMINI = "ChatCompletion", "ResponsesReply", "MessagesReply", "GeminiReply"

SAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "/gemini-2.5-flash/v1/chat/completions": (
        CHAT,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is in this picture?"},
                        {"type": "image_url", "image_url": {"url": "https://media.example.com/cat.jpg"}},
                    ],
                }
            ],
            "stream": False,
        },
    ),
    "/codex/v1/responses": (
        RESPONSES,
        {
            "model": "gpt-5-4",
            "stream": False,
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "Say pong"}]}],
            "reasoning": {"effort": "low"},
        },
    ),
    "/api/v1/responses": (RESPONSES, {"model": "gpt-5-codex", "stream": False, "input": "Say pong"}),
    "/grok/v1/responses": (RESPONSES, {"model": "grok-4-3", "stream": False, "input": "Say pong", "test": "x"}),
    "/claude/v1/messages": (
        MESSAGES,
        {
            "model": "claude-sonnet-4-6",
            "stream": False,
            "max_tokens": 64,
            "messages": [{"role": "user", "content": "Say pong"}],
        },
    ),
    "/anthropic/v1/messages": (
        MESSAGES,
        {
            "model": "claude-sonnet-4-6",
            "stream": False,
            "max_tokens": 64,
            "messages": [{"role": "user", "content": "Say pong"}],
        },
    ),
    "/gemini/v1/models/gemini-3-5-flash:streamGenerateContent": (
        GEMINI,
        {"stream": False, "contents": [{"role": "user", "parts": [{"text": "Say pong"}]}]},
    ),
}
EVERY = pytest.mark.parametrize("path", SAMPLES)
DOCUMENTED = {200, 400, 401, 429, 500}


async def ask(desk: Desk, path: str, body: object = None, **more: Any) -> Answer:
    sent = SAMPLES[path][1] if body is None else body
    return await desk.post(path, sent, **more)


def held(answer: Answer, schema: str) -> Any:
    """The answer, once it is one of this schema."""
    promises.whole("market").check_schema(schema, answer.body)
    return answer.json


@EVERY
async def test_the_samples_of_the_document_are_answered_as_it_says(desk: Desk, path: str) -> None:
    answer = await ask(desk, path)
    assert answer.status == 200
    reply = held(answer, SAMPLES[path][0])
    assert reply["credits_consumed"] > 0
    assert answer.headers["Content-Type"].startswith("application/json")


STREAMS = {
    "/gemini-2.5-flash/v1/chat/completions": True,
    "/gpt-5-2/v1/chat/completions": False,
    "/codex/v1/responses": False,
    "/grok/v1/responses": True,
    "/claude/v1/messages": True,
    "/gemini/v1/models/gemini-3-5-flash:streamGenerateContent": True,
}


@pytest.mark.parametrize(("path", "streams"), STREAMS.items())
async def test_an_answer_streams_by_default_where_the_document_says_so(desk: Desk, path: str, streams: bool) -> None:
    sample = SAMPLES.get(path, SAMPLES["/gemini-2.5-flash/v1/chat/completions"])[1]
    body = {name: value for name, value in sample.items() if name != "stream"}
    plain = await desk.post(path, body)
    assert plain.headers["Content-Type"].startswith("text/event-stream") is streams
    # The vendors' own clients leave it out where they want one object.
    theirs = await desk.post(path, body, headers={"x-stainless-lang": "python"})
    assert theirs.headers["Content-Type"].startswith("text/event-stream") is (streams and "gemini/" in path)


@EVERY
async def test_the_events_of_a_stream_are_those_of_its_protocol(desk: Desk, path: str) -> None:
    answer = await ask(desk, path, {**SAMPLES[path][1], "stream": True})
    blocks = [block for block in answer.body.decode().split("\n\n") if block]
    names = [block.split("\n")[0].removeprefix("event: ") for block in blocks if block.startswith("event: ")]
    match SAMPLES[path][0]:
        case "ChatCompletion":
            assert blocks[-1] == "data: [DONE]"
            assert {json.loads(block[6:])["object"] for block in blocks[:-1]} == {"chat.completion.chunk"}
        case "ResponsesReply":
            assert (names[0], names[-1]) == ("response.created", "response.completed")
        case "MessagesReply":
            assert (names[0], names[-1]) == ("message_start", "message_stop")
        case _:
            for block in blocks:
                promises.whole("market").check_schema(GEMINI, block.removeprefix("data: ").encode())


@EVERY
@pytest.mark.parametrize("key", [None, "tsk_test_nobody-has-this-one-at-all"])
async def test_a_bad_key_has_the_recorded_words(desk: Desk, path: str, key: str | None) -> None:
    async with desk.untouched():
        answer = await ask(desk, path, key=key)
    assert answer.status == (401 if path.startswith("/anthropic") else 200)
    refusal = held(answer, "ErrorEnvelope")
    assert refusal["code"] == 401
    assert refusal["msg"].startswith(
        "Unauthorized – Authentication failed. Please check that your Authorization and Content-Type headers are "
        "correctly set."
    )


BROKEN: tuple[tuple[str, Any, int], ...] = (
    ("/nobody/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}, 422),
    ("/codex/v1/responses", {"model": "grok-4-3", "input": "x"}, 422),
    ("/codex/v1/responses", {"model": "gpt-5-4"}, 422),
    ("/claude/v1/messages", {"model": "claude-1", "messages": [{"role": "user", "content": "x"}]}, 422),
    ("/anthropic/v1/messages", {"model": "claude-opus-5", "messages": []}, 422),
    ("/gemini/v1/models/gemini-1:streamGenerateContent", {"contents": [{"role": "user", "parts": []}]}, 422),
    ("/gpt-5-2/v1/chat/completions", [], 400),
)


@pytest.mark.parametrize(("path", "body", "code"), BROKEN)
async def test_what_cannot_be_served_is_refused_and_touches_nothing(
    desk: Desk, path: str, body: Any, code: int
) -> None:
    await desk.house.accounts.grant(desk.account, Mode.LIVE, 1_000)
    for key in ("test", "live"):
        async with desk.untouched():
            answer = await desk.post(path, body, key=key)
        assert held(answer, "ErrorEnvelope")["code"] == code
        assert answer.status == (400 if path.startswith("/anthropic") else 200)


@EVERY
async def test_a_number_that_no_computer_holds_is_the_callers_fault(desk: Desk, path: str) -> None:
    raw = json.dumps(SAMPLES[path][1]).replace("{", '{"x": 1e400, ', 1)
    async with desk.untouched():
        answer = await desk.raw(path, raw.encode())
    assert held(answer, "ErrorEnvelope")["code"] == 422


async def test_a_beta_of_anthropics_is_refused(desk: Desk) -> None:
    async with desk.untouched():
        answer = await ask(desk, "/anthropic/v1/messages", headers={"anthropic-beta": "files-api-2025-04-14"})
    assert (answer.status, held(answer, "ErrorEnvelope")["code"]) == (400, 422)
    assert "anthropic-beta" in answer.msg


async def test_a_live_key_without_an_endpoint_is_told_what_to_set(desk: Desk) -> None:
    await desk.house.accounts.grant(desk.account, Mode.LIVE, 1_000_000)
    async with desk.untouched():
        answer = await ask(desk, "/claude/v1/messages", key="live")
    assert held(answer, "ErrorEnvelope")["code"] == 505
    assert "ANTHROPIC_API_KEY" in answer.msg


@pytest.mark.parametrize(("fault", "code"), [("400", 400), ("429", 429), ("500", 500), ("reject", 422)])
@EVERY
async def test_a_failure_upstream_is_an_envelope_with_a_documented_status(
    desk: Desk, path: str, fault: str, code: int
) -> None:
    said = json.dumps(SAMPLES[path][1]).replace("Say pong", f"[sandbox: fail={fault}]")
    answer = await ask(desk, path, json.loads(said.replace("What is in this", f"[sandbox: fail={fault}]")))
    assert answer.status in DOCUMENTED
    assert held(answer, "ErrorEnvelope")["code"] == code


async def test_a_get_and_another_verb_are_no_doors(desk: Desk) -> None:
    assert (await desk.get("/gpt-5-2/v1/chat/completions")).status == 405
    assert (await desk.post("/gemini/v1/models/gemini-3-5-flash:countTokens", {})).status == 404


async def test_what_was_said_is_not_kept(desk: Desk) -> None:
    await ask(desk, "/codex/v1/responses", {"model": "gpt-5-4", "input": "the secret of the pyramids"})
    rows = await desk.house.database.pool.fetch("SELECT t::text AS row FROM tasks t WHERE family = 'chat'")
    assert rows
    assert not [row for row in rows if "pyramids" in row["row"]]

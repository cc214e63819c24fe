"""Chat through a real gateway: on the sandbox, and on strict simulators of the vendors."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from openai import APIStatusError, AsyncOpenAI

from tessera.db import accounts, audit, ledger, tasks
from tessera.dialects import chat
from tessera.domain.account import ApiKey, Caps, digest
from tessera.domain.chat import Rates, Usage
from tessera.domain.price import PriceList
from tessera.domain.task import ChatRequest, Mode, State
from tessera.engine.talks import Talks
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway, serving
from tessera.testing.plugin import MakeConfig, configs
from tessera.testing.simulators.chat import ASKED, SAID, WORDS, Simulator
from tessera.testing.ticker import Ticker
from tessera.wiring import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "".join(WORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A path, a body for it, where the text is in its events, and what 1,200 and 340 tokens cost there (200 cached)."""

    path: str
    body: dict[str, Any]
    upstream: str
    cost: float


WAYS = {
    "chat": Way(
        path="/gpt-5-2/v1/chat/completions",
        body={"messages": [{"role": "user", "content": "At what heat does water boil?"}]},
        upstream="/v1/chat/completions",
        cost=0.343,  # 1,200 * 0.0875 + 340 * 0.7 milli-credits
    ),
    "gemini-chat": Way(
        path="/gemini-2.5-flash/v1/chat/completions",
        body={"messages": [{"role": "user", "content": "At what heat does water boil?"}], "include_thoughts": True},
        upstream="/v1beta/openai/chat/completions",
        cost=0.073,  # 1,200 * 0.018 + 340 * 0.15
    ),
    "responses": Way(
        path="/codex/v1/responses",
        body={"model": "gpt-5-5", "input": "At what heat does water boil?", "reasoning": {"effort": "low"}},
        upstream="/v1/responses",
        cost=0.857,  # 1,000 * 0.28 + 200 * 0.028 + 340 * 1.68
    ),
    "grok": Way(
        path="/grok/v1/responses",
        body={"model": "grok-4-5", "input": [{"role": "user", "content": "Water?"}], "test": "x"},
        upstream="/v1/responses",
        cost=1.74,  # 1,200 * 0.6 + 340 * 3, an estimate
    ),
    "messages": Way(
        path="/anthropic/v1/messages",
        body={"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": "Water?"}], "thinkingFlag": True},
        upstream="/v1/messages",
        cost=0.499,  # 1,200 * 0.17 + 200 * 0.017 + 340 * 0.855
    ),
    "gemini": Way(
        path="/gemini/v1/models/gemini-3-5-flash:streamGenerateContent",
        body={"contents": [{"role": "user", "parts": [{"text": "Water?"}]}]},
        upstream="/v1beta/models/gemini-3.5-flash:",
        cost=0.292,  # 1,200 * 0.09 + 340 * 0.54
    ),
}
EVERY = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


@dataclass(frozen=True, slots=True)
class Rig:
    """A gateway whose live key is answered by the simulator, and what an account has left."""

    gateway: Gateway
    sim: Simulator
    http: aiohttp.ClientSession

    def ask(self, way: Way, key: str | None = None, **more: Any) -> Any:
        body = {**way.body, **more}
        headers = {"Authorization": f"Bearer {key or self.gateway.live_key}"}
        return self.http.post(self.gateway.base_url + way.path, json=body, headers=headers)

    async def credits(self, key: str | None = None) -> float:
        return float((await self.gateway.get("/api/v1/chat/credit", key=key or self.gateway.live_key))["data"])

    async def state(self) -> tuple[str, str | None]:
        """State and reason of the newest call."""
        query = "SELECT state, reason FROM tasks WHERE family = 'chat' ORDER BY id DESC LIMIT 1"
        row = await self.gateway.house.database.pool.fetchrow(query)
        return row["state"], row["reason"]

    async def ended(self) -> tuple[str, str | None]:
        """The same, once it is over."""
        async with asyncio.timeout(10):
            while (found := await self.state())[0] == "running":
                await asyncio.sleep(0.01)
        return found


@asynccontextmanager
async def rigged(
    postgres: Databases, make: MakeConfig, *, without: tuple[str, ...] = (), **settings: Any
) -> AsyncIterator[Rig]:
    async with postgres.fresh() as url, Simulator() as sim:

        @asynccontextmanager
        async def opened(**more: Any) -> AsyncIterator[House]:
            config = make(**{"database_url": url, **settings, **more})
            environ = {name: value for name, value in sim.environ.items() if name not in without}
            async with House(config, environ=environ, provided={}) as house:
                yield house

        async with serving(opened) as gateway, aiohttp.ClientSession() as http:
            account = await gateway.house.accounts.find("default")
            await gateway.house.accounts.grant(account, Mode.LIVE, 1_000_000)
            yield Rig(gateway, sim, http)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with rigged(postgres, configs(tmp_path_factory.mktemp("chat"))) as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> AsyncIterator[Rig]:
    """The shared one, whose books must be in order after every test."""
    shared.sim.gate.set()
    shared.sim.calls.clear()
    yield shared
    database = shared.gateway.house.database
    assert await ledger.anomalies(database) == []
    assert await audit.holds(database) == []
    assert not shared.sim._script


# ---- the pass-through ----


@EVERY
async def test_an_answer_in_one_piece_is_passed_on_with_its_cost(rig: Rig, way: Way) -> None:
    before = await rig.credits()
    async with rig.ask(way, stream=False) as response:
        assert response.status == 200
        answer = await response.json(content_type=None)
    assert TEXT in json.dumps(answer)
    assert answer["credits_consumed"] == way.cost
    assert round(before - await rig.credits(), 3) == way.cost
    assert await rig.state() == ("succeeded", None)


@EVERY
async def test_a_stream_arrives_as_it_is_made_and_is_paid_for_by_what_was_counted(rig: Rig, way: Way) -> None:
    """The first words are here while the endpoint still waits with the next ones: nothing on the way gathers them."""
    before = await rig.credits()
    rig.sim.gate.clear()
    async with rig.ask(way, stream=True) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        held = b""
        while WORDS[0].strip().encode() not in held:
            held += await response.content.readany()
        assert WORDS[1].encode() not in held
        assert await rig.state() == ("running", None)
        rig.sim.gate.set()
        rest = await response.read()
    assert all(word.strip().encode() in held + rest for word in WORDS)
    assert round(before - await rig.credits(), 3) == way.cost


@EVERY
async def test_each_vendor_gets_its_own_key_and_nobody_gets_ours(rig: Rig, way: Way) -> None:
    async with rig.ask(way, stream=False) as response:
        await response.read()
    (call,) = rig.sim.calls
    assert call.path.startswith(way.upstream)
    assert rig.gateway.live_key not in json.dumps([dict(call.headers), call.body])


@EVERY
async def test_a_caller_who_leaves_takes_the_endpoint_along_and_pays_for_what_he_read(rig: Rig, way: Way) -> None:
    before = await rig.credits()
    rig.sim.gate.clear()
    async with rig.ask(way, stream=True) as response:
        held = b""
        while WORDS[0].strip().encode() not in held:
            held += await response.content.readany()
        response.close()
    await rig.sim.left.next()
    assert await rig.ended() == ("succeeded", None)
    assert 0 < before - await rig.credits() < 10


async def test_a_caller_who_leaves_before_there_is_an_answer_pays_nothing(rig: Rig) -> None:
    before, way = await rig.credits(), WAYS["chat"]
    rig.sim.script("hang")
    asking = asyncio.create_task(_drained(rig.ask(way, stream=False)))
    await rig.sim.hanging.next()
    asking.cancel()
    await rig.sim.left.next()
    assert await rig.ended() == ("failed", "canceled")
    assert await rig.credits() == before


async def _drained(asking: Any) -> bytes:
    async with asking as response:
        return bytes(await response.read())


@EVERY
async def test_a_stream_that_breaks_off_says_so_and_costs_nothing(rig: Rig, way: Way) -> None:
    before = await rig.credits()
    rig.sim.script("cut")
    async with rig.ask(way, stream=True) as response:
        read = await response.read()
    assert b"broke off its answer" in read
    assert await rig.ended() == ("failed", "provider_failed")
    assert await rig.credits() == before


@EVERY
async def test_an_endpoint_that_gives_up_midway_costs_nothing(rig: Rig, way: Way) -> None:
    before = await rig.credits()
    rig.sim.script("event")
    async with rig.ask(way, stream=True) as response:
        assert b"verloaded" in await response.read()
    assert await rig.ended() == ("failed", "provider_failed")
    assert await rig.credits() == before


@EVERY
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_counts_nothing_is_paid_for_by_its_length(rig: Rig, way: Way, stream: bool) -> None:
    before = await rig.credits()
    rig.sim.script("silent")
    async with rig.ask(way, stream=stream) as response:
        assert response.status == 200
        await response.read()
    assert await rig.ended() == ("succeeded", None)
    assert 0 < before - await rig.credits() < 5


REFUSED: tuple[tuple[Any, int, int, str], ...] = (
    (400, 400, 400, "refused for a test"),
    (422, 422, 400, "refused for a test"),
    (401, 500, 500, "refused this gateway"),
    (402, 500, 500, "refused this gateway"),
    (403, 500, 500, "refused this gateway"),
    (404, 500, 500, "refused this gateway"),
    (302, 500, 500, "refused this gateway"),
    (429, 429, 429, "no more requests"),
    (500, 500, 500, "failed to answer"),
    (503, 500, 500, "failed to answer"),
    (504, 408, 408, "in time"),
    ("drop", 500, 500, "broke off"),
    ("garbage", 500, 500, "cannot be read"),
)


@pytest.mark.parametrize(("fault", "code", "status", "text"), REFUSED, ids=[str(each[0]) for each in REFUSED])
async def test_a_refusal_upstream_costs_nothing_and_shows_no_key(
    rig: Rig, fault: Any, code: int, status: int, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = await rig.credits()
    for name in ("chat", "messages"):
        rig.sim.script(fault)
        async with rig.ask(WAYS[name], stream=False) as response:
            sent = await response.text()
            answer = json.loads(sent)
        assert answer["code"] == code
        assert text in answer["msg"]
        assert answer["data"] is None
        # The path for unmodified clients of Anthropic has real statuses; the others have them in the body.
        assert response.status == (status if name == "messages" else 429 if code == 429 else 200)
        assert not [key for key in rig.sim.keys.values() if key in sent]
        if code == 429:
            assert response.headers["Retry-After"] == "7"
    assert len(rig.sim.calls) == 2  # nothing is sent twice
    assert await rig.credits() == before
    told = "".join(capfd.readouterr())
    assert not [key for key in rig.sim.keys.values() if key in told]


async def test_what_the_endpoint_says_of_a_bad_request_is_passed_on_without_its_key(rig: Rig) -> None:
    rig.sim.script(400)
    async with rig.ask(WAYS["chat"]) as response:
        answer = await response.json(content_type=None)
    assert answer["error"]["type"] == "invalid_request_error"
    assert "Bearer ***" in answer["error"]["message"]


UPSTREAM: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("chat", {"stream": True}, {"model": "gpt-5.2", "stream_options": {"include_usage": True}}),
    ("chat", {}, {"stream": False, "max_completion_tokens": 16384}),
    ("chat", {"max_tokens": 7, "service_tier": "priority", "user": None}, {"max_tokens": 7}),
    (
        "gemini-chat",
        {"stream": False},
        {"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}, "model": "gemini-2.5-flash"},
    ),
    ("responses", {}, {"store": False, "model": "gpt-5.5", "max_output_tokens": 16384, "stream": False}),
    ("grok", {}, {"model": "grok-4.5", "stream": True}),
    ("messages", {}, {"max_tokens": 4096, "thinking": {"type": "adaptive"}, "stream": True}),
    (
        "messages",
        {"model": "claude-haiku-4-5", "max_tokens": 4000},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    ),
    ("messages", {"model": "claude-haiku-4-5", "max_tokens": 500}, {"max_tokens": 500}),
    ("gemini", {"generationConfig": {"maxOutputTokens": 9}}, {"generationConfig": {"maxOutputTokens": 9}}),
    ("gemini", {}, {"generationConfig": {"maxOutputTokens": 16384}}),
)


@pytest.mark.parametrize(("name", "more", "sent"), UPSTREAM)
async def test_a_question_leaves_in_the_vendors_own_words(
    rig: Rig, name: str, more: dict[str, Any], sent: dict[str, Any]
) -> None:
    async with rig.ask(WAYS[name], **more) as response:
        assert response.status == 200
        assert b'"code":' not in (await response.read())[:10]
    (call,) = rig.sim.calls
    assert {field: call.body.get(field) for field in sent} == sent
    assert not {"thinkingFlag", "include_thoughts", "test", "service_tier", "user"} & call.body.keys()


@pytest.mark.parametrize("asked", [True, False])
async def test_the_usage_of_a_stream_is_shown_to_who_asked_for_it(rig: Rig, asked: bool) -> None:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if asked else {}
    async with rig.ask(WAYS["chat"], stream=True, **options) as response:
        events = [line[6:] for line in (await response.text()).split("\n\n") if line.startswith("data: {")]
    assert any(not json.loads(event)["choices"] for event in events) is asked


# ---- clients ----


async def test_the_openai_client_streams_completes_and_understands_refusals(rig: Rig) -> None:
    base = rig.gateway.base_url
    async with AsyncOpenAI(base_url=f"{base}/gpt-5-2/v1", api_key=rig.gateway.live_key, max_retries=0) as client:
        turns: Any = [{"role": "user", "content": "Water?"}]
        stream = await client.chat.completions.create(model="gpt-5-2", messages=turns, stream=True)
        words = [chunk.choices[0].delta.content async for chunk in stream]
        assert "".join(word for word in words if word) == TEXT
        whole = await client.chat.completions.create(model="gpt-5-2", messages=turns)
        assert (whole.choices[0].message.content, whole.usage and whole.usage.total_tokens) == (TEXT, ASKED + SAID)
        rig.sim.script(429)
        with pytest.raises(APIStatusError) as refused:
            await client.chat.completions.create(model="gpt-5-2", messages=turns, stream=True)
        assert refused.value.status_code == 429
        wrong = client.with_options(api_key="tsk_live_nobody-has-this-one-at-all")
        with pytest.raises(APIStatusError, match="Authentication failed") as unknown:
            await wrong.chat.completions.create(model="gpt-5-2", messages=turns)
        assert unknown.value.status_code == 401


@pytest.mark.parametrize("mode", ["live", "test"])
async def test_the_openai_client_streams_responses(rig: Rig, mode: str) -> None:
    key = rig.gateway.live_key if mode == "live" else rig.gateway.test_key
    async with AsyncOpenAI(base_url=f"{rig.gateway.base_url}/codex/v1", api_key=key, max_retries=0) as client:
        stream = await client.responses.create(model="gpt-5-4", input="Water?", stream=True)
        events = [event async for event in stream]
    assert events[-1].type == "response.completed"
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == events[-1].response.output_text


SHOWN = (
    ("messages", "x-api-key", 200),
    ("gemini", "x-goog-api-key", 200),
    ("chat", "x-api-key", 401),
)


@pytest.mark.parametrize(("name", "header", "code"), SHOWN)
async def test_a_key_is_taken_where_the_clients_of_a_protocol_show_it(
    rig: Rig, name: str, header: str, code: int
) -> None:
    way, head = WAYS[name], {header: rig.gateway.test_key}
    async with rig.http.post(rig.gateway.base_url + way.path, json={**way.body, "stream": False}, headers=head) as got:
        answer = await got.json(content_type=None)
    assert answer.get("code", 200) == code


# ---- the sandbox ----


@EVERY
async def test_the_sandbox_answers_the_same_to_the_same_question_streamed_or_not(rig: Rig, way: Way) -> None:
    before = await rig.credits(rig.gateway.test_key)
    bodies = []
    for stream in (True, True, False, False):
        async with rig.ask(way, rig.gateway.test_key, stream=stream) as response:
            assert response.status == 200
            bodies.append(await response.read())
    assert bodies[0] == bodies[1]
    assert bodies[2] == bodies[3]
    assert b"Tessera sandbox" in bodies[2]
    assert not rig.sim.calls
    spent = round(before - await rig.credits(rig.gateway.test_key), 3)
    # A stream costs what the same answer costs in one piece.
    assert spent == round(4 * json.loads(bodies[2])["credits_consumed"], 3) > 0


DIRECTIVES = (("400", 400), ("429", 429), ("451", 422), ("500", 500), ("reject", 422), ("ambiguous", 500), ("no", 422))


@pytest.mark.parametrize(("fault", "code"), DIRECTIVES)
async def test_a_directive_provokes_its_fault_and_costs_nothing(rig: Rig, fault: str, code: int) -> None:
    before = await rig.credits(rig.gateway.test_key)
    turns = [{"role": "user", "content": [{"type": "text", "text": f"Hello [sandbox: fail={fault}]"}]}]
    async with rig.ask(WAYS["chat"], rig.gateway.test_key, messages=turns, stream=False) as response:
        assert (await response.json(content_type=None))["code"] == code
    assert (await rig.state())[0] == "failed"
    assert await rig.credits(rig.gateway.test_key) == before


async def test_an_answer_is_cut_where_the_caller_wants_it_cut(rig: Rig) -> None:
    async with rig.ask(WAYS["messages"], rig.gateway.test_key, stream=False, max_tokens=3) as response:
        answer = await response.json(content_type=None)
    assert answer["stop_reason"] == "max_tokens"
    assert answer["usage"]["output_tokens"] == 3


# ---- money ----


async def test_who_cannot_pay_the_most_that_a_call_can_cost_is_refused(rig: Rig) -> None:
    house = rig.gateway.house
    account = await house.accounts.create("poor")
    key = (await house.accounts.create_key(account, Mode.LIVE)).secret
    await house.accounts.grant(account, Mode.LIVE, 500)
    async with rig.ask(WAYS["chat"], key, max_tokens=100) as response:  # 70 milli-credits out, and the question
        assert "choices" in await response.json(content_type=None)
    async with rig.ask(WAYS["chat"], key, max_tokens=10_000) as response:
        assert (await response.json(content_type=None))["code"] == 402
    assert len(rig.sim.calls) == 1


async def test_a_call_that_a_dead_process_left_behind_gives_its_hold_back(
    rig: Rig, ticker: Ticker, postgres: Databases
) -> None:
    house = rig.gateway.house
    talks = Talks(
        house.database,
        {"gpt-5-2": Rates(input=1000, output=1000)},
        PriceList({}),
        limit=None,
        longest=timedelta(minutes=10),
        clock=ticker,
        ids=house.ids,
    )
    key = await _key(house, rig.gateway.live_key)
    before = await rig.credits()
    task = await talks.open(key, "gpt-5-2", ChatRequest(wire="chat", most=1_000_000, given=1_000_000))
    assert before - await rig.credits() == 2
    ticker.advance(timedelta(minutes=9))
    assert await talks.sweep() == 0
    ticker.advance(timedelta(minutes=2))
    assert await talks.sweep() == 1
    assert await talks.sweep() == 0
    assert await rig.credits() == before
    ended = await tasks.get(house.database, task.id)
    assert ended is not None and ended.state is State.FAILED
    # It was not dead after all: what it says now changes nothing.
    assert await talks.settle(task, Usage(input=5, output=5)) == 0
    assert await rig.credits() == before


async def _key(house: House, secret: str) -> ApiKey:
    return (await accounts.keys_by_digest(house.database, [digest(secret)]))[digest(secret)]


async def test_a_call_never_costs_more_than_was_held_for_it(rig: Rig) -> None:
    before = await rig.credits()
    async with rig.ask(WAYS["chat"], stream=False, max_tokens=1) as response:  # the simulator answers 340
        cost = (await response.json(content_type=None))["credits_consumed"]
    assert cost == round(before - await rig.credits(), 3) < WAYS["chat"].cost


async def _unsent(rig: Rig, path: str, key: str) -> bytes:
    """What is answered to a request of 10 megabytes of which only the head was sent."""
    host, port = rig.gateway.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nContent-Length: 10000000\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode())
    try:
        async with asyncio.timeout(10):
            await reader.readuntil(b'"code":')
            return await reader.readexactly(3)
    finally:
        writer.close()


@EVERY
async def test_who_may_not_ask_is_refused_before_the_body_is_read(rig: Rig, way: Way) -> None:
    house = rig.gateway.house
    account = await house.accounts.create(f"empty{way.path}".replace("/", "-").replace(":", "-")[:40])
    key = (await house.accounts.create_key(account, Mode.LIVE)).secret
    assert await _unsent(rig, way.path, key) == b"402"


async def test_a_question_that_is_refused_counts_in_the_rate_window(
    postgres: Databases, make_config: MakeConfig
) -> None:
    async with rigged(postgres, make_config, rate_limit="2/1h") as rig:
        way, codes = WAYS["responses"], []
        for more in ({"model": "gpt-1"}, {"max_output_tokens": 10_000_000}, {}):
            async with rig.ask(way, stream=False, **more) as response:
                codes.append((await response.json(content_type=None))["code"])
        assert codes == [422, 402, 429]
        assert await _unsent(rig, way.path, rig.gateway.live_key) == b"429"
        assert not rig.sim.calls


async def test_a_large_body_is_understood_beside_the_event_loop(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def understand(*given: Any, **more: Any) -> Any:
        threads.append(threading.current_thread())
        return dialect(*given, **more)

    dialect = chat.understand
    monkeypatch.setattr(chat, "understand", understand)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_020_000}}
    for content in ("small", [picture], "many," * 10_000):
        turns = [{"role": "user", "content": content}]
        async with rig.ask(WAYS["chat"], messages=turns, stream=False) as response:
            assert "choices" in await response.json(content_type=None)
    assert [each is threading.main_thread() for each in threads] == [True, False, False]


async def test_caps_and_the_rate_window_hold_for_calls_too(postgres: Databases, make_config: MakeConfig) -> None:
    async with rigged(postgres, make_config, rate_limit="2/1h") as rig:
        house = rig.gateway.house
        account = await house.accounts.find("default")
        capped = (await house.accounts.create_key(account, Mode.TEST, caps=Caps(day=1))).secret
        async with rig.ask(WAYS["chat"], capped, stream=False) as response:
            assert (await response.json(content_type=None))["code"] == 433
        statuses = []
        for _ in range(3):
            async with rig.ask(WAYS["chat"], stream=False) as response:
                statuses.append(response.status)
                last: Mapping[str, str] = response.headers
        assert statuses == [200, 200, 429]
        assert int(last["Retry-After"]) > 3000


async def test_a_call_that_takes_too_long_is_ended_and_a_model_without_an_endpoint_says_what_to_set(
    postgres: Databases, make_config: MakeConfig
) -> None:
    async with rigged(postgres, make_config, chat_timeout="1s", without=("XAI_API_KEY",)) as rig:
        rig.sim.script("hang")
        async with rig.ask(WAYS["chat"], stream=False) as response:
            assert (await response.json(content_type=None))["code"] == 408
        assert await rig.state() == ("failed", "deadline_passed")
        rig.sim.gate.clear()
        async with rig.ask(WAYS["chat"], stream=True) as response:
            assert b"longer than this gateway" in await response.read()
        # What was delivered by then is paid for.
        assert await rig.state() == ("succeeded", None)
        async with rig.ask(WAYS["grok"], stream=False) as response:
            answer = await response.json(content_type=None)
        assert answer["code"] == 505
        assert "XAI_API_KEY" in answer["msg"] and "tsk_test_" in answer["msg"]

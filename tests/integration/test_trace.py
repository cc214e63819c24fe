"""One task is one connected trace, from the caller's own span to the callback."""

import asyncio
from collections.abc import Callable, Iterator

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tessera.domain.errors import Failed
from tessera.engine.faults import Place
from tessera.kit import trace
from tessera.providers import openai_images
from tessera.providers.fake import Fake, accept, png
from tessera.testing.gateway import Gateway
from tessera.testing.mailbox import Mailbox
from tessera.testing.plugin import OpenGateway
from tessera.testing.servers import Host, Receiver

GENERATE = "/api/v1/gpt4o-image/generate"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"


class Spans:
    """A tracer that keeps its spans here."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = trace.Live(self._provider, self._provider.shutdown)

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def of(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        found = self.of(name)
        assert len(found) == 1, [span.name for span in self.all()]
        return found[0]

    def parent(self, span: ReadableSpan) -> str:
        """The name of a span's parent; the id of one that is not ours."""
        assert span.parent is not None
        names = {each.context.span_id: each.name for each in self.all() if each.context}
        return names.get(span.parent.span_id, f"{span.parent.span_id:016x}")


@pytest.fixture
def spans() -> Iterator[Spans]:
    kept = Spans()
    yield kept
    kept.tracer.close()


async def create(gateway: Gateway, **body: object) -> str:
    answer = await gateway.post(GENERATE, {"prompt": "x", "size": "1:1", **body}, traceparent=TRACEPARENT)
    return str(answer["data"]["taskId"])


async def test_a_task_is_one_connected_trace(
    open_gateway: OpenGateway, receiver: Receiver, host: Host, spans: Spans
) -> None:
    picture = host.put("in.png", png())
    async with open_gateway(provided={"sandbox": Fake("sandbox")}, tracer=spans.tracer) as gateway:
        task_id = await create(gateway, callBackUrl=receiver.url, filesUrl=[picture])
        callback = await receiver.next()
    family = {span.name: spans.parent(span) for span in spans.all()}
    assert family == {
        "request": CALLER,
        "task accept": "request",
        "run": "task accept",
        "submit": "run",
        "poll": "run",
        "ingest": "run",
        "finish": "run",
        "callback": "finish",
    }
    assert {f"{span.context.trace_id:032x}" for span in spans.all() if span.context} == {TRACE}
    accepted = spans.one("task accept").attributes or {}
    assert accepted["tessera.task"] == task_id
    request = spans.one("request").attributes or {}
    assert request["http.route"] == GENERATE
    assert request["http.response.status_code"] == 200
    assert "traceparent" not in callback.headers


async def test_the_failure_of_a_provider_is_seen_without_its_words(
    open_gateway: OpenGateway, receiver: Receiver, spans: Spans
) -> None:
    fake = Fake("sandbox")
    fake.script(accept(failure=Failed("a secret of theirs")))
    async with open_gateway(provided={"sandbox": fake}, tracer=spans.tracer) as gateway:
        await create(gateway, callBackUrl=receiver.url)
        await receiver.next()
    poll = spans.one("poll")
    assert (poll.status.status_code, poll.status.description) == (StatusCode.ERROR, "Failed")
    assert (spans.one("finish").attributes or {})["tessera.state"] == "failed"
    assert "a secret of theirs" not in "".join(span.to_json() for span in spans.all())


async def test_every_try_of_a_callback_belongs_to_the_trace(
    open_gateway: OpenGateway, receiver: Receiver, spans: Spans
) -> None:
    receiver.script(500, 200)
    async with open_gateway(provided={"sandbox": Fake("sandbox")}, tracer=spans.tracer) as gateway:
        await create(gateway, callBackUrl=receiver.url)
        await receiver.next()
        await receiver.next()
    assert [spans.parent(span) for span in spans.of("callback")] == ["finish", "finish"]


@pytest.mark.parametrize("sent", ["nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff-" + TRACE + "-" + CALLER])
async def test_a_traceparent_that_is_none_begins_a_new_trace(
    open_gateway: OpenGateway, spans: Spans, sent: str
) -> None:
    async with open_gateway(work=False, tracer=spans.tracer) as gateway:
        await gateway.post(GENERATE, {"prompt": "x", "size": "1:1"}, traceparent=sent)
    assert spans.one("request").parent is None


async def test_two_callers_of_one_moment_keep_their_own_traces(
    open_gateway: OpenGateway, spans: Spans, passed: Callable[[Place], Mailbox[Place]]
) -> None:
    """They are accepted in one transaction, and yet each job goes on with its own trace."""
    finished = passed("run.finished")
    async with open_gateway(provided={"sandbox": Fake("sandbox")}, tracer=spans.tracer) as gateway:
        parents = [f"00-{digit * 32}-{digit * 16}-01" for digit in "123456"]
        bodies = {"prompt": "x", "size": "1:1"}
        await asyncio.gather(*(gateway.post(GENERATE, bodies, traceparent=parent) for parent in parents))
        for _ in parents:
            await finished.next()
    traces = sorted(f"{span.context.trace_id:032x}" for span in spans.of("run") if span.context)
    assert traces == [digit * 32 for digit in "123456"]


async def test_nothing_is_sent_along_where_nobody_traces(open_gateway: OpenGateway) -> None:
    async with open_gateway(work=False) as gateway:
        await create(gateway)
        assert await gateway.house.database.pool.fetchval("SELECT headers FROM pgqueuer") == "null"


async def test_health_checks_make_no_spans(open_gateway: OpenGateway, spans: Spans) -> None:
    async with open_gateway(work=False, tracer=spans.tracer) as gateway:
        for path in ("/healthz", "/readyz", "/metrics"):
            async with gateway.http.get(gateway.base_url + path) as response:
                assert response.status == 200
    assert spans.all() == []


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_opentelemetrys_own_variables_decide(environ: dict[str, str], on: bool) -> None:
    assert trace.wanted(environ) is on


def test_an_exporter_that_we_do_not_know_is_named() -> None:
    with pytest.raises(ValueError, match="zipkin"):
        trace.exporting({"OTEL_TRACES_EXPORTER": "zipkin"}, "tessera", "1")


def test_an_exporter_gets_the_name_and_version_of_the_service() -> None:
    live = trace.exporting({"OTEL_TRACES_EXPORTER": "console"}, "tessera", "1.2.3")
    try:
        with live.root("request") as span:
            span.note(a=1)
            carried = trace.carrier()
        assert carried is not None
        assert set(carried) <= set(trace.HEADERS)
    finally:
        live.close()


def test_outside_of_a_trace_there_is_nothing_to_carry() -> None:
    assert trace.carrier() is None
    with trace.span("nothing") as span:
        span.note(a=1)
        span.fail("never mind")
    assert trace.carrier() is None


async def test_a_call_to_a_provider_carries_the_trace(spans: Spans) -> None:
    strip = openai_images._only_our_headers("sk-1")
    asked = httpx2.Request("POST", "https://api.openai.com/v1/images/generations")
    await strip(asked)
    assert "traceparent" not in asked.headers
    with spans.tracer.root("run", {"traceparent": TRACEPARENT}), trace.span("submit", "client"):
        await strip(asked)
    submit = spans.one("submit").context
    assert submit is not None
    assert asked.headers["traceparent"] == f"00-{TRACE}-{submit.span_id:016x}-01"

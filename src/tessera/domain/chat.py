"""Talking to language models: what is asked, what was used, what it costs.

Prices are milli-credits for a million tokens. What a call will use is not known before it is over, so the most that it
can use is held, and what it did use is taken in the end.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from tessera.domain.errors import ProviderError
from tessera.domain.task import Json

MILLION = 1_000_000

LETTERS = 4
"""Bytes of text in a token, about, where nobody has counted them."""


class Wire(StrEnum):
    """A protocol: OpenAI chat completions, OpenAI Responses, Anthropic Messages, Gemini generateContent."""

    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"
    GEMINI = "gemini"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens. ``input`` are those read afresh; ``cached``, ``written`` and ``kept`` those that went through a cache:
    read from it, written to it for minutes, written to it for an hour. ``output`` has the thoughts, too."""

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    kept: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output + self.cached + self.written + self.kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Milli-credits for a million tokens. ``cached``, ``written``, ``kept`` None: as ``input``.

    ``source`` says where the numbers come from.
    """

    input: int
    output: int
    cached: int | None = None
    written: int | None = None
    kept: int | None = None
    source: str = ""

    def cost(self, usage: Usage) -> int:
        """Milli-credits, a part of one counts as a whole."""
        asked = usage.input * self.input
        asked += usage.cached * _or(self.cached, self.input)
        asked += usage.written * _or(self.written, self.input)
        asked += usage.kept * _or(self.kept, self.input)
        return math.ceil((asked + usage.output * self.output) / MILLION)

    def most(self, given: int, output: int, *, caches: bool = False) -> int:
        """The most that ``given`` tokens in and ``output`` tokens out can cost; ``caches``: where some are kept."""
        dearest = max(self.input, *(_or(rate, 0) for rate in (self.written, self.kept) if caches), 0)
        return math.ceil((given * dearest + output * self.output) / MILLION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call as an endpoint sees it: ``model`` is its own name for it, ``body`` the fields as the caller sent them.

    ``most`` is how many tokens it may answer with, ``headers`` are those of the caller that are passed on.
    """

    wire: Wire
    model: str
    body: Mapping[str, Json] = field(repr=False)
    stream: bool
    most: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Declined(ProviderError):
    """An endpoint did not answer a question. Nothing is charged for that.

    ``code`` is ours, as in an envelope. ``body`` is what the endpoint itself said, where it is for the caller and not
    for the operator; it holds no key.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        body: Json = None,
        retry_after: timedelta | None = None,
        detail: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, detail=detail)
        self.code = code
        self.body = body
        self.retry_after = retry_after


def guess(size: int) -> int:
    """Tokens in so many bytes of text."""
    return math.ceil(size / LETTERS)


def _or(rate: int | None, other: int) -> int:
    return other if rate is None else rate

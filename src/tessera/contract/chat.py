"""The chat endpoints of the Market: four protocols of other vendors, as far as a gateway looks into them.

What is not named here passes through as it came.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]
Items = Annotated[list[dict[str, Any]], Meta(min_length=1)]


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    """``content`` may be missing where an assistant has only called tools."""

    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


class ChatCompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    model: str | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    n: Annotated[int, Meta(ge=1, le=16)] | None = None
    tools: list[dict[str, Any]] | None = None
    include_thoughts: bool | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None


class ResponsesRequest(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    input: str | Items
    stream: bool | None = None
    max_output_tokens: Tokens | None = None
    tools: list[dict[str, Any]] | None = None
    reasoning: dict[str, Any] | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    background: bool | None = None


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["user", "assistant"]
    content: str | list[dict[str, Any]]


class MessagesRequest(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    messages: Annotated[list[Turn], Meta(min_length=1)]
    max_tokens: Tokens | None = None
    stream: bool | None = None
    thinkingFlag: bool | None = None
    tools: list[dict[str, Any]] | None = None


class GeminiContent(msgspec.Struct, frozen=True, kw_only=True):
    parts: list[dict[str, Any]]
    role: Literal["user", "model", "function"] | None = None


class GeminiConfig(msgspec.Struct, frozen=True, kw_only=True):
    maxOutputTokens: Tokens | None = None
    candidateCount: Annotated[int, Meta(ge=1, le=8)] | None = None
    thinkingConfig: dict[str, Any] | None = None


class GeminiRequest(msgspec.Struct, frozen=True, kw_only=True):
    contents: Annotated[list[GeminiContent], Meta(min_length=1)]
    tools: list[dict[str, Any]] | None = None
    generationConfig: GeminiConfig | None = None
    stream: bool | None = None


class ChatCompletion(msgspec.Struct, frozen=True, kw_only=True):
    choices: list[dict[str, Any]]
    usage: dict[str, Any] | None = None
    credits_consumed: float | None = None


class ResponsesReply(msgspec.Struct, frozen=True, kw_only=True):
    output: list[dict[str, Any]]
    usage: dict[str, Any] | None = None
    credits_consumed: float | None = None


class MessagesReply(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["message"]
    role: str
    content: list[dict[str, Any]]
    usage: dict[str, Any] | None = None
    credits_consumed: float | None = None


class GeminiReply(msgspec.Struct, frozen=True, kw_only=True):
    candidates: list[dict[str, Any]]
    usageMetadata: dict[str, int] | None = None
    credits_consumed: float | None = None

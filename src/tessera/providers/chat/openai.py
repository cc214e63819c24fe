"""OpenAI's protocols: chat completions and Responses, at OpenAI, at xAI, and at whoever else speaks them."""

from collections.abc import Mapping
from typing import Any

from tessera.domain.chat import Question, Wire
from tessera.kit.stream import Client
from tessera.providers.chat.endpoint import Endpoint, Form, Place

BASE = "https://api.openai.com/v1"
XAI = "https://api.x.ai/v1"

BEARER = ("Authorization", "Bearer ")

EXTENSIONS = frozenset({"include_thoughts", "test", "service_tier"})
"""Fields that are not passed on: words of the Market's own, and a class of service that costs the operator more."""


def endpoint(name: str, place: Place, client: Client | None = None) -> Endpoint:
    """OpenAI, or a service that is spoken to in the same way."""
    return Endpoint(name, place, {Wire.CHAT: chat, Wire.RESPONSES: responses}, client)


def chat(question: Question) -> Form:
    """A chat completion. Its usage is always asked for: it is what the call is paid by."""
    body = plain(question)
    if "max_completion_tokens" in body:
        body.pop("max_tokens", None)
    elif "max_tokens" not in body:
        body["max_completion_tokens"] = question.most
    if question.stream:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    else:
        body.pop("stream_options", None)
    return Form(path="/chat/completions", body=body, key=BEARER)


def responses(question: Question) -> Form:
    """A response. It is not kept at the vendor: another account of this gateway could go on from it."""
    body = {**plain(question), "store": False}
    body.setdefault("max_output_tokens", question.most)
    return Form(path="/responses", body=body, key=BEARER)


def plain(question: Question) -> dict[str, Any]:
    """The body without what is null or ours."""
    fields: Mapping[str, Any] = question.body
    kept = {name: value for name, value in fields.items() if value is not None and name not in EXTENSIONS}
    return {**kept, "model": question.model, "stream": question.stream}

"""Anthropic's Messages."""

import re

from tessera.domain.chat import Question, Wire
from tessera.kit.stream import Client
from tessera.providers.chat.endpoint import Endpoint, Form, Place

BASE = "https://api.anthropic.com"
VERSION = "2023-06-01"
KEY = ("x-api-key", "")

PASSED = ("anthropic-version", "anthropic-beta")
EXTENSIONS = frozenset({"thinkingFlag", "service_tier"})

LEAST = 1024
"""Tokens of the smallest budget for thinking."""

# The models that are given a budget for thinking; those after them decide by themselves, and refuse one.
BUDGETED = re.compile(r"-(3-\d|4|4-[0-5])(-\d{8})?$")


def endpoint(place: Place, client: Client | None = None) -> Endpoint:
    return Endpoint("anthropic", place, {Wire.MESSAGES: messages}, client)


def messages(question: Question) -> Form:
    """A message. ``thinkingFlag``, the Market's own word, becomes Anthropic's for the model."""
    kept = {k: v for k, v in question.body.items() if v is not None and k not in EXTENSIONS}
    body = {**kept, "model": question.model, "stream": question.stream}
    body.setdefault("max_tokens", question.most)
    if question.body.get("thinkingFlag") and "thinking" not in body:
        most = body["max_tokens"]
        if not BUDGETED.search(question.model):
            body["thinking"] = {"type": "adaptive"}
        elif most > LEAST:  # with less there is no room for a thought
            body["thinking"] = {"type": "enabled", "budget_tokens": max(LEAST, most // 2)}
    headers = {name: value for name, value in question.headers.items() if name in PASSED}
    return Form(path="/v1/messages", body=body, key=KEY, headers={"anthropic-version": VERSION, **headers})

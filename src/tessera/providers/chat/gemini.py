"""Google's Gemini: its own protocol, and OpenAI's at the address beside it."""

from urllib.parse import quote

from tessera.domain.chat import Question, Wire
from tessera.kit.stream import Client
from tessera.providers.chat import openai
from tessera.providers.chat.endpoint import Endpoint, Form, Place

BASE = "https://generativelanguage.googleapis.com/v1beta"
KEY = ("x-goog-api-key", "")
OURS = frozenset({"stream", "model"})
"""Fields of the body that are said by the address at Google."""


def endpoint(place: Place, client: Client | None = None) -> Endpoint:
    return Endpoint("gemini", place, {Wire.GEMINI: generate, Wire.CHAT: chat}, client)


def generate(question: Question) -> Form:
    """Contents. Whether they stream is said by the address; a field of the body is the Market's own."""
    body = {name: value for name, value in question.body.items() if value is not None and name not in OURS}
    config = {name: value for name, value in (body.get("generationConfig") or {}).items() if value is not None}
    body["generationConfig"] = {"maxOutputTokens": question.most, **config}
    verb = "streamGenerateContent?alt=sse" if question.stream else "generateContent"
    return Form(path=f"/models/{quote(question.model, safe='')}:{verb}", body=body, key=KEY)


def chat(question: Question) -> Form:
    """A chat completion. ``include_thoughts``, the Market's own word, becomes Google's."""
    form = openai.chat(question)
    thoughts = question.body.get("include_thoughts")
    body = dict(form.body)
    if thoughts is not None and "extra_body" not in body:
        body["extra_body"] = {"google": {"thinking_config": {"include_thoughts": thoughts}}}
    return Form(path="/openai/chat/completions", body=body, key=form.key)

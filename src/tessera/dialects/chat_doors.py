"""What a question must not ask for: whatever reaches into the operator's own account at the vendor.

Other customers' things lie there, and some of it costs what no list of ours knows.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tessera.dialects.chat_media import ADDRESSES, HOLDERS, Text, texts
from tessera.domain.chat import Wire
from tessera.domain.errors import Invalid

Fields = Mapping[str, Any]

KEPT = (
    "previous_response_id",
    "conversation",
    "background",
    "deferred",
    "container",
    "mcp_servers",
    "cachedContent",
    "cached_content",
    "prompt",
)
HOSTED = (
    "image_generation",
    "code_interpreter",
    "code_execution",
    "file_search",
    "collections_search",
    "mcp",
)
"""Tools that run at the vendor, on the operator's files or at a price that no list of ours knows."""

HOSTED_NAMES = frozenset({"codeExecution", "code_execution", "fileSearch", "file_search", "mcpServers", "mcp_servers"})

BETAS: frozenset[str] = frozenset()
"""The values of ``anthropic-beta`` that are passed on: a beta can open files, containers and tools at the vendor."""

ACCOUNT = re.compile(r"(^|\.)(generativelanguage|([a-z0-9-]+-)?aiplatform)\.(mtls\.)?googleapis\.com$")
"""Hosts where an address can mean something that the operator's key opens: Google's files have one."""

OPAQUE = frozenset(
    {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels"}
)
"""Fields of Gemini's whose insides have the caller's names, or are no fields of the protocol that we look at."""

SNAKE = re.compile(r"(?<=[A-Za-z0-9])_+([A-Za-z0-9])")


def refuse(wire: Wire, body: Fields, betas: str = "") -> None:
    """Raises Invalid, which names the field. A Gemini body has its names in one spelling, see ``camel``."""
    for name in KEPT:
        if body.get(name) and not (name == "prompt" and wire is not Wire.RESPONSES):
            raise Invalid(f"{name}: is not served here; send the whole conversation each time", field=name)
    if wire is Wire.CHAT:
        _chat(body)
    if wire is Wire.RESPONSES and isinstance(body.get("input"), list):
        _items(body["input"])
    tools = body.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        _tool(f"tools[{index}]", tool if isinstance(tool, dict) else {})
    for text in texts(body):
        if text.told:
            _file(text)
    unknown = [beta for beta in (each.strip() for each in betas.split(",")) if beta and beta not in BETAS]
    if unknown and wire is Wire.MESSAGES:
        raise Invalid(f"anthropic-beta: {unknown[0]} is not served here; leave the header out", field="anthropic-beta")


def camel(value: Any) -> Any:
    """A Gemini body with every name of the protocol as it is documented, ``cachedContent`` for ``cached_content``.

    Google takes both. Raises Invalid where an object has both of one name.
    """
    if isinstance(value, list):
        return [camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for name, inside in value.items():
        spelled = SNAKE.sub(lambda match: match[1].upper(), name)
        if spelled in found:
            raise Invalid(f"{spelled}: is given twice, in two spellings", field=spelled)
        found[spelled] = inside if spelled in OPAQUE else camel(inside)
    return found


def _chat(body: Fields) -> None:
    if body.get("store"):
        raise Invalid("store: nothing is kept at the vendor; leave it out", field="store")
    for index, message in enumerate(body["messages"]):
        if isinstance(message.get("audio"), dict):
            place = f"messages[{index}].audio"
            raise Invalid(f"{place}: names what is kept at the vendor; send its transcript instead", field=place)
    extra = body.get("extra_body")
    for name in _beyond(extra) if extra else ():
        raise Invalid(f"extra_body: {name} is not served here; only google.thinking_config is", field="extra_body")


def _beyond(extra: Any) -> Iterator[str]:
    """What stands in an ``extra_body`` and is not passed on."""
    if not isinstance(extra, dict):
        yield "this"
        return
    for name, value in extra.items():
        if name != "google" or not isinstance(value, dict):
            yield name
        else:
            yield from (f"google.{each}" for each in value if each not in ("thinking_config", "thinkingConfig"))


def _items(items: list[Any]) -> None:
    for index, item in enumerate(items):
        kind, place = str(item.get("type") or ""), f"input[{index}]"
        # Without a type an item is a message, or a reference to one.
        if kind == "item_reference" or (not kind and "role" not in item) or kind.startswith(HOSTED):
            raise Invalid(f"{place}: names what is kept at the vendor; send the item itself", field=place)


def _tool(place: str, tool: Fields) -> None:
    kind = str(tool.get("type") or "").removesuffix("_preview")
    runs = kind.startswith(HOSTED) or not HOSTED_NAMES.isdisjoint(tool)
    if runs or (kind == "shell" and tool.get("environment")):
        raise Invalid(f"{place}: a tool that runs at the vendor is not served here", field=place)


def _file(text: Text) -> None:
    if text.name in ("file_id", "fileId"):
        raise Invalid(f"{text.name}: files at the vendor are not served here; send the file itself", field=text.name)
    address = text.name in ADDRESSES if text.name != "url" else text.holder in HOLDERS
    if address and _opened(text.text):
        raise Invalid(f"{text.name}: must be a public http(s) address or the file itself", field=text.name)


def _opened(url: str) -> bool:
    """Whether an address could be one that only the operator's key opens."""
    if url.startswith("data:"):
        return False
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").lower()
    except ValueError:
        return True
    return parts.scheme.lower() not in ("http", "https") or ACCOUNT.search(host) is not None

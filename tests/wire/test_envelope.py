"""One shape for every refusal: every route that is served, asked in every wrong way."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import pytest
from litestar.enums import HttpMethod
from litestar.routes import HTTPRoute
from structlog.testing import capture_logs
from tests.wire import promises
from tests.wire.conftest import OpenDesk
from tests.wire.desk import Answer, Desk

from tessera.api import app
from tessera.contract.operations import OPERATIONS
from tessera.wiring import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
FILES = ("/files/", "/tessera/")
UPLOADS = ("/api/file-",)
REAL = ("/v1/", "/healthz", "/readyz", "/openapi.json", "/metrics")
"""Paths of ours, where the HTTP status says what happened."""

LEAKS = re.compile(
    rb"<html|<!doctype|traceback|litestar|msgspec|asyncpg|uvicorn|site-packages|[.]py\b|select|nonetype|errno|0x[0-9a]"
)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A way to ask wrongly; what is left out is as it should be."""

    name: str
    key: str | None = "test"
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)


WAYS = (
    Wrong("without a key", key=None),
    Wrong("with a wrong key", key="tsk_test_000000000000000000000000"),
    Wrong("with half a header", key=None, headers={"Authorization": "Bearer"}),
    Wrong("without a body"),
    Wrong("with no JSON", body=b"prompt=x"),
    Wrong("with a list", body=b"[1]"),
    Wrong("with a number", body=b"7"),
    Wrong("with an empty object", body=b"{}"),
    Wrong("with half an object", body=b'{"prompt": "x'),
    Wrong("with bytes that are no text", body=b'{"prompt":"x","size":"1:1","x":"\xff\xfe"}'),
    Wrong("with a deep body", body=b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    Wrong("with a half form", body=b"--b\r\nContent-Disp", headers={"Content-Type": "multipart/form-data; boundary=b"}),
    Wrong("as a page", headers={"Accept": "text/html"}, body=b"<p>"),
    Wrong("with a strange query", query={"taskId": "\0\ufffd", "state": "<b>", "limit": "many"}),
    Wrong("with a strange key to replay", body=b'{"prompt":"x","size":"1:1"}', headers={"Idempotency-Key": "k" * 300}),
    Wrong("in another method's name", headers={"X-HTTP-Method-Override": "DELETE"}),
    Wrong("with a strange type", body=b"\0\1", headers={"Content-Type": "application/x-\xe9"}),
)


NEVER_WRONG = {
    "/api/v1/chat/credit",
    "/api/v1/playground/model-paths",
    "/client/v1/model-pricing/count",
    "/client/v1/model-pricing/page",
}


RECOVERY = "/api/v1/suno/recovery/record-info"
"""It has one key more than all others."""


CHAT = {re.sub(r"{\w+}", "x", each.path) for each in OPERATIONS if each.shape == "chat"}


def asked(house: House) -> Iterator[tuple[str, str, bool]]:
    """Method, path and whether it is served: every route of the application, and every method on it."""
    for route in app.build(house).routes:
        assert isinstance(route, HTTPRoute), f"{route.path} is of a kind that this test does not know"
        path = re.sub(r"{\w+:path}", "x/y.png", re.sub(r"{\w+:str}", "x", route.path))
        served = {str(HttpMethod(method)) for method in route.methods}
        for method in METHODS:
            yield method, path, method in {each.rpartition(".")[2] for each in served}


@asynccontextmanager
async def logged() -> AsyncIterator[list[Any]]:
    """What is logged meanwhile; nothing of it is printed, since drawing a traceback takes longer than all the rest."""
    with capture_logs() as entries:
        yield entries


async def test_every_route_refuses_in_its_one_shape(desk: Desk) -> None:
    count = 0
    async with desk.untouched():
        for method, path, served in asked(desk.house):
            for wrong in WAYS:
                answer = await desk.ask(
                    method, path, key=wrong.key, data=wrong.body, headers=wrong.headers, params=wrong.query
                )
                hold(f"{method} {path} {wrong.name}", path, answer, served=served)
                count += 1
    assert count > 20 * len(METHODS) * len(WAYS) / 2  # the table of routes was really walked


async def test_every_fault_of_ours_is_told_in_two_words(open_desk: OpenDesk) -> None:
    async with open_desk(work=False) as desk, logged() as logs:
        where = [each for each in asked(desk.house) if each[2]]
        link = desk.house.links.url("s/x.png").removeprefix(desk.gateway.base_url)
        folder = desk.house.config.data_dir
        await desk.house.database.close()
        for method, path, _ in [*where, ("GET", link, True)]:
            answer = await desk.ask(method, path, data=b"{}")
            hold(f"{method} {path} without a database", path, answer, served=True)
            assert str(folder).encode() not in answer.body
            assert b"pool" not in answer.body
        failed = await desk.ask("GET", "/api/v1/chat/credit")
        assert (failed.status, failed.json) == (500, {"code": 500, "msg": "Server error", "data": None})
        failed = await desk.ask("POST", "/api/file-base64-upload")
        assert (failed.status, failed.json) == (500, {"success": False, "code": 500, "msg": "Internal server error"})
        failed = await desk.ask("GET", link)
        assert (failed.status, b"<Code>InternalError</Code>" in failed.body) == (500, True)
        ready = await desk.ask("GET", "/readyz", key=None)
        assert ready.status == 503
        assert ready.json["ready"] is False
        assert ready.json["database"].keys() == {"ok", "error"}
        assert ready.json["storage"] == {"ok": True}
        faults = [entry for entry in logs if entry["event"] == "request failed"]
        assert all(entry["exc_info"] is not None for entry in faults)  # and the log has it all
        assert {entry["route"] for entry in faults} >= {"/api/v1/chat/credit", "/api/file-base64-upload"}
        assert link.split("/files/")[1] not in str(faults), "what opens a file is in no log"


def hold(what: str, path: str, answer: Answer, *, served: bool) -> None:
    """The transport rule and the shape, whatever was asked."""
    found = LEAKS.search(answer.body.lower()) if not path.startswith(("/openapi", "/metrics")) else None
    assert not found, f"{what} shows {found}"
    assert answer.headers["X-Content-Type-Options"] == "nosniff", what
    assert "Server" not in answer.headers, what
    if not served:
        assert answer.status == 405, what
        assert answer.headers["Allow"], what
    if answer.headers.get("Content-Length") and not answer.body:
        return  # HEAD: there is no body to look at
    if path.startswith(FILES):
        hold_xml(what, answer)
    elif path.startswith(UPLOADS):
        assert answer.status in {400, 401, 405, 500}, what
        promises.images().check_schema("UploadError", answer.body)
        assert answer.code == answer.status, what
    elif answer.status == 200 and path.startswith(REAL):
        return  # what was wrong did not matter
    elif path in CHAT:
        assert answer.status in {200, 400, 401, 404, 405, 500}, what  # each protocol has its own form of error
        assert answer.json, what
    elif path == "/readyz":
        assert answer.status in {405, 503}, what
    else:
        hold_envelope(what, path, answer)


def hold_envelope(what: str, path: str, answer: Answer) -> None:
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8", what
    if answer.code == 200:
        assert answer.status == 200, what
        # Some have nothing to be wrong about but the key; the music records answer null for what there is not.
        assert path in NEVER_WRONG or answer.json["data"] is None, what
        return
    if path == RECOVERY and "task_id" in answer.json:
        return
    promises.images().check_schema("ErrorEnvelope", answer.body)
    if path.startswith(REAL):
        assert answer.status in {400, 401, 404, 405, 422, 500}, what
    else:
        assert answer.status == (answer.code if answer.code in {404, 405, 429, 500} else 200), what


def hold_xml(what: str, answer: Answer) -> None:
    assert answer.status in {400, 403, 404, 405, 500}, what
    assert answer.headers["Content-Type"] == "application/xml", what
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'", what
    error = ElementTree.fromstring(answer.body)
    assert [each.tag for each in error] == ["Code", "Message"], what
    assert all(each.text for each in error), what

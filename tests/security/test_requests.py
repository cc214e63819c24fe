"""Who asks, and for whose: claimed addresses, foreign ids, pages of other origins."""

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from tests.security import raw
from tests.wire.conftest import OpenDesk, served
from tests.wire.desk import BASE64, BY_URL, COMMON, CREDIT, DOWNLOAD, GENERATE, RECORD, STREAM, Answer, Desk, seated

from tessera.providers.fake import Fake
from tessera.testing.databases import Databases
from tessera.testing.gateway import Gateway
from tessera.testing.plugin import Passed
from tessera.testing.servers import Receiver, receiving

pytestmark = pytest.mark.asyncio(loop_scope="module")

OFFICE = "203.0.113.7"
"""The one IPv4 address that the key of these tests may be used from."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def common(postgres: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, Fake]]:
    async with served(postgres, tmp_path_factory.mktemp("requests"), webhook_schedule="10ms") as both:
        yield both


@pytest_asyncio.fixture(loop_scope="module")
async def desk(common: tuple[Gateway, Fake], passed: Passed) -> Desk:
    return await seated(*common, passed("run.finished"))


# ---- whose address ----

CHAINS = [
    # what the nearest proxy wrote stands at the end; all before it may be the caller's invention
    ([OFFICE], True),
    ([f"{OFFICE}, 10.1.2.3"], True),
    ([f"198.51.100.9, {OFFICE}"], True),
    ([f"{OFFICE}, 198.51.100.9"], False),
    ([f"{OFFICE}, 198.51.100.9, 10.1.2.3"], False),
    ([f"{OFFICE}, {OFFICE}, 198.51.100.9"], False),
    ([OFFICE, "198.51.100.9"], False),
    (["198.51.100.9", OFFICE], True),
    ([OFFICE, "10.1.2.3"], True),
    ([f"127.0.0.1, {OFFICE}, 127.0.0.1, 10.0.0.1"], True),
    # ports, brackets, IPv6
    ([f"{OFFICE}:4711"], True),
    ([f"{OFFICE}:4711, 10.1.2.3:80"], True),
    (["2001:db8:1::9"], True),
    (["[2001:db8:1::9]"], True),
    (["[2001:DB8:1:0::9]:4711, [fd00::1]:80"], True),
    (["2001:db8:2::9"], False),
    ([f"::ffff:{OFFICE}"], True),
    ([f"[::ffff:{OFFICE}]:80, ::ffff:10.1.2.3"], True),
    (["::ffff:198.51.100.9"], False),
    ([f"64:ff9b::{OFFICE}"], False),
    # what is no address at all ends the chain, and is nobody's
    ([f"{OFFICE}, unknown"], False),
    ([f"{OFFICE}, _hidden"], False),
    ([f"{OFFICE},"], False),
    ([f", {OFFICE}"], True),
    ([f"{OFFICE}, 10.1.2.3.4"], False),
    (["203.0.113.7.example.com"], False),
    (["203.0.113.07"], False),
    (["3405803783"], False),
    (["0xCB.0.0x71.7"], False),
    ([f'"{OFFICE}"'], False),
    ([f"for={OFFICE}"], False),
    ([f"{OFFICE} 198.51.100.9"], False),
    ([f"{OFFICE};"], False),
    ([f"{OFFICE}%0a"], False),
    ([f"{OFFICE}/32"], False),
    (["203.0.113.0/24"], False),
    (["２０３.0.113.7"], False),
    ([", ".join([OFFICE] + ["10.0.0.1"] * 3000)], True),
    ([", ".join([OFFICE] * 3000 + ["198.51.100.9"])], False),
    ([""], False),
    (["10.1.2.3, 127.0.0.1"], False),
]
"""Lines of X-Forwarded-For, and whether a key for the office may be used so."""


async def test_only_a_proxy_of_ours_says_who_is_behind_it(open_desk: OpenDesk) -> None:
    async with open_desk(trusted_proxies="127.0.0.1,10.0.0.0/8,fd00::/8") as desk:
        key = await desk.new_key(networks=(f"{OFFICE}/32", "2001:db8:1::/48"))
        for lines, allowed in CHAINS:
            answer = await asked_from(desk, key, [f"X-Forwarded-For: {line}" for line in lines])
            assert answer == (200 if allowed else 401), lines


async def test_without_proxies_of_ours_nobody_claims_an_address(open_desk: OpenDesk) -> None:
    for proxies in ("", "10.0.0.0/8", "::1"):
        async with open_desk(trusted_proxies=proxies) as desk:
            key = await desk.new_key(networks=(OFFICE,))
            claims = [f"X-Forwarded-For: {OFFICE}", f"X-Real-IP: {OFFICE}", f"Forwarded: for={OFFICE}"]
            claims += [f"CF-Connecting-IP: {OFFICE}", f"True-Client-IP: {OFFICE}", f"X-Client-IP: {OFFICE}"]
            claims += [f"X-Forwarded-For: {OFFICE}:80", f"x_forwarded_for: {OFFICE}"]
            assert await asked_from(desk, key, claims) == 401


async def test_other_headers_are_never_believed_not_even_of_a_proxy(open_desk: OpenDesk) -> None:
    async with open_desk(trusted_proxies="127.0.0.0/8") as desk:
        key = await desk.new_key(networks=(OFFICE,))
        for claim in (f"X-Real-IP: {OFFICE}", f"Forwarded: for={OFFICE}", f"X_Forwarded_For: {OFFICE}"):
            assert await asked_from(desk, key, [claim]) == 401


async def test_a_key_without_a_list_is_not_bound_by_what_a_header_claims(desk: Desk) -> None:
    assert await asked_from(desk, desk.keys["test"], ["X-Forwarded-For: nonsense"]) == 200


async def asked_from(desk: Desk, key: str, headers: list[str]) -> int:
    """The code of an answer to the credit question."""
    sent = [header.encode().decode("latin-1") for header in headers]
    answer = await raw.get(desk.gateway.base_url, CREDIT, f"Authorization: Bearer {key}", *sent)
    return int(answer.body.split(b":", 2)[1].split(b",")[0])


# ---- whose id ----

Ask = Callable[[Desk, str], Awaitable[Answer]]

BY_TASK: dict[str, Ask] = {
    "record": lambda desk, id_: desk.ask("GET", RECORD, params={"taskId": id_}),
    "record with prefix": lambda desk, id_: desk.ask("GET", RECORD, params={"taskId": f"task_4o_{id_}"}),
    "link": lambda desk, id_: desk.post(DOWNLOAD, {"taskId": id_, "url": "https://files.example/x.png"}),
    "task": lambda desk, id_: desk.get(f"/v1/tasks/{id_}"),
    "cancel": lambda desk, id_: desk.post(f"/v1/tasks/{id_}/cancel", {}),
    "deliveries": lambda desk, id_: desk.get("/v1/webhooks/deliveries", taskId=id_),
}
BY_DELIVERY: dict[str, Ask] = {
    "delivery": lambda desk, id_: desk.get(f"/v1/webhooks/deliveries/{id_}"),
    "redeliver": lambda desk, id_: desk.post(f"/v1/webhooks/deliveries/{id_}/redeliver", {}),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web(common: object) -> AsyncIterator[Receiver]:
    async with receiving() as server:
        yield server


async def theirs(desk: Desk, web: Receiver) -> dict[str, str]:
    """Ids of another account: a task that has succeeded and was told of, one that has failed, one of the live mode."""
    body = {"prompt": "A paper boat", "size": "1:1", "callBackUrl": web.url}
    task_id, url = await desk.made(body)
    await web.next()
    (delivery,) = (await desk.get("/v1/webhooks/deliveries", taskId=task_id)).data
    return {"task": task_id, "delivery": delivery["id"], "url": url}


def unknown(like: str) -> str:
    """An id of the same form that there is not."""
    return like[:-6] + ("000000" if not like.endswith("000000") else "111111")


@contextmanager
def statements(patch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """Every statement that is sent to the database meanwhile, with how many rows came back; not the queue's."""
    seen: list[tuple[str, int]] = []
    execute = asyncpg.Connection._execute

    async def noted(self: Any, query: str, *args: Any, **more: Any) -> Any:
        result = await execute(self, query, *args, **more)
        if "pgqueuer" not in query:
            rows = result[0] if isinstance(result, tuple) else result
            seen.append((" ".join(query.split()), len(rows) if isinstance(rows, list) else -1))
        return result

    with patch.context() as context:
        context.setattr(asyncpg.Connection, "_execute", noted)
        yield seen


@pytest.mark.parametrize("name", [*BY_TASK, *BY_DELIVERY])
async def test_a_foreign_id_is_an_unknown_id_to_the_last_byte(
    desk: Desk, web: Receiver, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await desk.neighbour()
    ids = await theirs(other, web)
    ask = BY_TASK.get(name) or BY_DELIVERY[name]
    foreign = ids["task" if name in BY_TASK else "delivery"]
    await ask(desk, unknown(foreign))  # the key is remembered from now on
    async with desk.untouched(), other.untouched():
        with statements(monkeypatch) as first:
            one = await ask(desk, foreign)
        with statements(monkeypatch) as second:
            two = await ask(desk, unknown(foreign))
        live = await ask(Desk(desk.gateway, desk.fake, desk.account, {"test": desk.keys["live"]}, None), foreign)  # type: ignore[arg-type]
    assert shown(one) == shown(two) == shown(live)
    assert one.code in {404, 422}
    assert first
    assert [query for query, _ in first] == [query for query, _ in second]
    if name in BY_TASK:
        assert first == second, "a foreign row was read"


def shown(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    return answer.status, {k: v for k, v in answer.headers.items() if k != "Date"}, answer.body


async def test_a_foreign_file_is_no_file_of_ours_to_link_to(desk: Desk, web: Receiver) -> None:
    ids = await theirs(await desk.neighbour(), web)
    mine, _ = await desk.made()
    async with desk.untouched():
        foreign = await desk.post(COMMON, {"url": ids["url"]})
        altered = await desk.post(COMMON, {"url": ids["url"].replace("/files/", "/files/x", 1)})
        assert shown(foreign) == shown(altered)
        both = await desk.post(DOWNLOAD, {"taskId": mine, "url": ids["url"]})
        neither = await desk.post(DOWNLOAD, {"taskId": mine, "url": "https://files.example/x.png"})
        assert shown(both) == shown(neither)
        alone = await desk.post(DOWNLOAD, {"url": ids["url"]})
        assert shown(alone) == shown(await desk.post(DOWNLOAD, {"url": "https://files.example/x.png"}))


async def test_a_foreign_id_takes_no_longer_than_an_unknown_one(desk: Desk, web: Receiver) -> None:
    """Coarse, for the machine is shared: by turns, medians, and a bound that only another round trip would break."""
    ids = await theirs(await desk.neighbour(), web)
    for name in ("record", "task"):
        times: dict[str, list[float]] = {ids["task"]: [], unknown(ids["task"]): []}
        for _ in range(60):
            for id_, taken in times.items():
                began = time.perf_counter()
                await BY_TASK[name](desk, id_)
                taken.append(time.perf_counter() - began)
        foreign, none = (statistics.median(taken) for taken in times.values())
        assert foreign < 1.5 * none + 0.001


async def test_a_file_name_of_another_account_is_out_of_reach(desk: Desk) -> None:
    """An upload into what looks like another account's folder lands in our own."""
    other = await desk.neighbour()
    place = {"base64Data": "SGVsbG8=", "uploadPath": "a", "fileName": "x.txt"}
    theirs = (await other.post(BASE64, place)).data
    mine = (await desk.post(BASE64, {**place, "uploadPath": f"kieai/{other.account.id}/a", "base64Data": "QnVo"})).data
    assert mine["filePath"].startswith(f"kieai/{desk.account.id}/")
    assert (await desk.fetch(theirs["downloadUrl"])).body == b"Hello"


# ---- pages of other origins ----

ORIGINS = ["https://evil.example", "null", "http://127.0.0.1", "https://evil.example\tx"]
PRIVATE = [("GET", CREDIT), ("GET", RECORD), ("POST", GENERATE), ("POST", DOWNLOAD), ("POST", COMMON)]
OWN = [("GET", "/v1/tasks/x"), ("POST", "/v1/tasks/x/cancel"), ("GET", "/v1/webhooks/deliveries"), ("GET", "/readyz")]


@pytest.mark.parametrize(("method", "path"), [*PRIVATE, *OWN])
async def test_no_other_origin_may_read_what_a_key_opens(desk: Desk, method: str, path: str) -> None:
    for origin in ORIGINS:
        answer = await desk.ask(method, path, headers={"Origin": origin}, data=b"{}" if method == "POST" else None)
        assert [name for name in answer.headers if name.lower().startswith("access-control-")] == []
        host = urlsplit(desk.gateway.base_url).netloc
        lines = [f"OPTIONS {path} HTTP/1.1", f"Host: {host}", "Connection: close", f"Origin: {origin}"]
        lines += [f"Access-Control-Request-Method: {method}", "Access-Control-Request-Headers: authorization", "", ""]
        (before,) = await raw.send(desk.gateway.base_url, "\r\n".join(lines).encode())
        assert [name for name, _ in before.headers if name.startswith("access-control-")] == []


@pytest.mark.parametrize("path", [BASE64, STREAM, BY_URL])
async def test_an_upload_from_a_page_needs_the_key_in_its_hand(desk: Desk, path: str) -> None:
    """Uploads answer every origin, as the API does whose contract this is; but never with what a browser holds."""
    ask = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method, key in (("OPTIONS", None), ("POST", None), ("POST", "test")):
        answer = await desk.ask(method, path, key=key, headers=ask, data=b"{}")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert answer.status in {204, 401, 400}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "text/html"]
)
async def test_a_form_of_another_page_starts_nothing(desk: Desk, kind: str) -> None:
    """What a browser posts without asking carries no key; and cookies or parameters are no key."""
    body = b'{"prompt": "A paper boat", "size": "1:1"}'
    head = {
        "Origin": "https://evil.example",
        "Content-Type": kind,
        "Cookie": f"Authorization=Bearer {desk.keys['test']}",
    }
    async with desk.untouched():
        for path in (GENERATE, f"{GENERATE}?Authorization=Bearer%20{desk.keys['test']}&api_key={desk.keys['test']}"):
            answer = await desk.ask("POST", path, key=None, data=body, headers=head)
            assert answer.code == 401
            assert "Set-Cookie" not in answer.headers
        basic = await desk.ask("POST", GENERATE, data=body, headers={"Authorization": f"Basic {desk.keys['test']}"})
        assert basic.code == 401


async def test_a_key_shown_twice_is_no_key(desk: Desk) -> None:
    """Two readers of a request must not see two callers in it."""
    other = await desk.neighbour()
    both = [f"Authorization: Bearer {desk.keys['test']}", f"Authorization: Bearer {other.keys['test']}"]
    for lines in (both, both[::-1], [f"{both[0]}, {both[1][15:]}"]):
        answer = await raw.get(desk.gateway.base_url, CREDIT, *lines)
        assert b'"code":401' in answer.body, lines


async def test_what_is_answered_with_a_key_is_kept_by_no_cache(desk: Desk) -> None:
    task_id, url = await desk.made()
    for answer in (
        await desk.get(CREDIT),
        await desk.get(RECORD, taskId=task_id),
        await desk.post(COMMON, {"url": url}),
        await desk.get(f"/v1/tasks/{task_id}"),
        await desk.post(BASE64, {"base64Data": "SGVsbG8=", "uploadPath": "up"}),
        await desk.ask("GET", CREDIT, key="wrong-key"),
        await desk.get("/no/such/path"),
    ):
        assert answer.headers["Cache-Control"] == "no-store"


# ---- where an answer may send a caller ----


async def test_no_request_is_answered_with_a_redirect(desk: Desk) -> None:
    host = urlsplit(desk.gateway.base_url).netloc
    for target in (
        "//evil.example",
        "//evil.example/%2f..",
        "/\\evil.example",
        "/files",
        "/files/",
        "/v1/tasks",
        "/v1/",
    ):
        for header in ("X-Forwarded-Host: evil.example", f"Host: {host}", "X-Original-URL: /metrics"):
            answer = await raw.get(desk.gateway.base_url, target, *([] if header.startswith("Host") else [header]))
            assert not 300 <= answer.status < 400, (target, answer)
            assert [value for name, value in answer.headers if name in {"location", "refresh", "link"}] == []
            assert b"evil.example" not in answer.body

"""Credits, keys, and what is refused before an operation is looked at."""

from datetime import timedelta
from typing import Any

import pytest
from tests.wire.conftest import OpenDesk
from tests.wire.desk import BASE64, BY_URL, COMMON, CREDIT, DOWNLOAD, GENERATE, RECORD, STREAM, Answer, Desk

from tessera.domain.account import Caps
from tessera.domain.errors import Failed
from tessera.domain.task import Mode
from tessera.providers.fake import accept
from tessera.testing.ticker import Ticker

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_ACCESS = "You do not have access permissions"
BOAT = {"prompt": "A paper boat", "size": "1:1"}
PRICE = 10
"""Credits for one 4o image."""

OPERATIONS = [
    ("POST", GENERATE),
    ("GET", RECORD),
    ("POST", DOWNLOAD),
    ("POST", COMMON),
    ("GET", CREDIT),
    ("POST", BASE64),
    ("POST", STREAM),
    ("POST", BY_URL),
]


def refused(code: int, msg: str) -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": None}


# ---- credits ----


async def test_credits_are_a_bare_number(desk: Desk) -> None:
    answer = await desk.get(CREDIT)
    assert answer.body == b'{"code":200,"msg":"success","data":1000}'
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"


@pytest.mark.parametrize(
    ("milli", "shown"), [(250, b"1000.25"), (1, b"1000.001"), (842_350, b"1842.35"), (-1_000_000, b"0")]
)
async def test_credits_keep_their_decimals(desk: Desk, milli: int, shown: bytes) -> None:
    await desk.house.accounts.grant(desk.account, Mode.TEST, milli)
    assert (await desk.get(CREDIT)).body == b'{"code":200,"msg":"success","data":%s}' % shown


async def test_credits_are_counted_for_each_mode_apart(desk: Desk) -> None:
    await desk.house.accounts.grant(desk.account, Mode.LIVE, 3500)
    assert (await desk.ask("GET", CREDIT, key="live")).data == 3.5
    assert (await desk.get(CREDIT)).data == 1000


async def test_a_json_content_type_on_the_credit_question_is_accepted(desk: Desk) -> None:
    answer = await desk.ask("GET", CREDIT, headers={"Content-Type": "application/json"})
    assert answer.data == 1000


async def test_a_task_holds_its_price_and_a_failed_one_gives_it_back(desk: Desk) -> None:
    desk.fake.script(accept(failure=Failed("Failed to generate image")))
    task_id = await desk.submit()
    assert (await desk.ended(task_id))["successFlag"] == 2
    assert await desk.credits() == 1000
    await desk.made()
    assert await desk.credits() == 1000 - PRICE


# ---- keys ----

MALFORMED = "the header 'Authorization' is there, but it must read 'Bearer YOUR_API_KEY'"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dGVzdDp0ZXN0",
        "tsk_test_0123456789abcdef01234567",
        "Bearer a b",
        "Bearer \xe9\xe9\xe9\xe9\xe9\xe9\xe9\xe9",
    ],
)
async def test_a_missing_key_is_refused_on_every_operation(desk: Desk, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in OPERATIONS:
        answer = await desk.ask(method, path, key=None, headers=headers)
        assert_no_access(path, answer)


async def test_a_wrong_key_is_refused_on_every_operation(desk: Desk) -> None:
    for method, path in OPERATIONS:
        assert_no_access(path, await desk.ask(method, path, key="tsk_test_000000000000000000000000"))


@pytest.mark.parametrize(
    ("header", "advice"),
    [
        (None, "send the header 'Authorization: Bearer YOUR_API_KEY'"),
        ("Bearer ", MALFORMED),
        (
            "tsk_test_0123456789abcdef01234567",
            "the header 'Authorization' is there, but it must read 'Bearer YOUR_API_KEY'",
        ),
        ("Bearer abc", "this gateway has no such API key"),
        ("Bearer tsk_test_000000000000000000000000", "this gateway has no such API key"),
        ("Bearer YOUR_API_KEY", "this gateway has no such API key"),
    ],
)
async def test_a_refused_key_is_answered_with_what_to_mend(desk: Desk, header: str | None, advice: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await desk.ask("GET", CREDIT, key=None, headers=headers)
    assert answer.json == refused(401, f"{NO_ACCESS}: {advice}")
    upload = await desk.ask("POST", "/api/file-base64-upload", key=None, headers=headers)
    assert upload.msg == f"Authentication failed: Invalid API Key ({advice})"


async def test_nothing_is_told_of_how_near_a_wrong_key_came(desk: Desk) -> None:
    good = desk.keys["test"]
    answers = [
        await desk.ask("GET", CREDIT, key=key) for key in (good[:-1], f"{good}0", f"tsk_live_{good[9:]}", "tsk_test_")
    ]
    assert [answer.json for answer in answers] == [refused(401, f"{NO_ACCESS}: this gateway has no such API key")] * 4


def assert_no_access(path: str, answer: Answer) -> None:
    if path.startswith("/api/file-"):
        assert answer.status == 401
        assert answer.json.keys() == {"success", "code", "msg"}
        assert answer.msg.startswith("Authentication failed: Invalid API Key")
    else:
        assert answer.status == 200
        assert answer.code == 401
        assert answer.msg.startswith(NO_ACCESS)
        assert answer.data is None


async def test_the_word_bearer_is_read_in_any_case(desk: Desk) -> None:
    answer = await desk.ask("GET", CREDIT, key=None, headers={"Authorization": f"bEARER {desk.keys['test']}"})
    assert answer.data == 1000


async def test_a_revoked_key_is_refused(desk: Desk) -> None:
    made = await desk.house.accounts.create_key(desk.account, Mode.TEST)
    await desk.house.accounts.revoke(made.key.id)
    answer = await desk.ask("GET", CREDIT, key=made.secret)
    assert answer.json == refused(401, f"{NO_ACCESS}: this API key was revoked")


async def test_a_revoked_key_starts_nothing_even_while_it_is_remembered(desk: Desk) -> None:
    made = await desk.house.accounts.create_key(desk.account, Mode.TEST)
    assert (await desk.ask("GET", CREDIT, key=made.secret)).code == 200
    await desk.house.accounts.revoke(made.key.id)
    async with desk.untouched():
        answer = await desk.post(GENERATE, BOAT, key=made.secret)
    assert answer.json == refused(401, f"{NO_ACCESS}: this API key was revoked")


async def test_an_expired_key_is_refused(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(now=ticker) as desk:
        key = await desk.new_key(expires_at=ticker() + timedelta(hours=1))
        assert (await desk.ask("GET", CREDIT, key=key)).code == 200
        ticker.advance(3600)
        assert (await desk.ask("GET", CREDIT, key=key)).json == refused(401, f"{NO_ACCESS}: this API key has expired")


async def test_a_key_serves_only_the_addresses_on_its_list(desk: Desk) -> None:
    foreign = await desk.new_key(networks=("203.0.113.0/24", "2001:db8::/32"))
    own = await desk.new_key(networks=("203.0.113.0/24", "127.0.0.0/8"))
    answer = await desk.ask("GET", CREDIT, key=foreign)
    assert answer.json == refused(401, f"{NO_ACCESS}: this API key may not be used from your address")
    assert (await desk.ask("GET", CREDIT, key=own)).code == 200


async def test_nobody_can_claim_another_address(desk: Desk) -> None:
    foreign = await desk.new_key(networks=("203.0.113.0/24",))
    claims = {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7", "X-Real-IP": "203.0.113.7"}
    assert (await desk.ask("GET", CREDIT, key=foreign, headers=claims)).code == 401


async def test_a_proxy_of_ours_may_say_who_is_behind_it(open_desk: OpenDesk) -> None:
    async with open_desk(trusted_proxies="127.0.0.1,10.0.0.0/8") as desk:
        key = await desk.new_key(networks=("203.0.113.0/24",))

        async def code(chain: str) -> int:
            return int((await desk.ask("GET", CREDIT, key=key, headers={"X-Forwarded-For": chain})).code)

        assert await code("203.0.113.7") == 200
        assert await code("198.51.100.9, 203.0.113.7, 10.1.2.3") == 200
        # What stands left of the first address that is no proxy of ours was written by the caller.
        assert await code("203.0.113.7, 198.51.100.9") == 401
        assert await code("203.0.113.7, nonsense") == 401


@pytest.mark.parametrize(("cap", "word"), [("hour", "hourly"), ("day", "daily"), ("total", "total")])
async def test_a_used_up_cap_is_code_433(desk: Desk, cap: str, word: str) -> None:
    key = await desk.new_key(caps=Caps(**{cap: PRICE * 1000}))
    task_id = await desk.submit(key=key)
    await desk.ended(task_id)
    async with desk.untouched():
        answer = await desk.post(GENERATE, BOAT, key=key)
    assert answer.status == 200
    assert answer.json == refused(433, f"The {word} usage cap of this API key is reached")
    assert (await desk.post(GENERATE, BOAT)).code == 200  # the account's other key is not capped


async def test_without_enough_credits_nothing_starts(desk: Desk) -> None:
    await desk.house.accounts.grant(desk.account, Mode.TEST, (2 * PRICE - 1 - 1000) * 1000)
    async with desk.untouched():
        answer = await desk.post(GENERATE, {**BOAT, "nVariants": 2})
    assert answer.status == 200
    assert answer.json == refused(402, "Credits insufficient")
    assert (await desk.post(GENERATE, BOAT)).code == 200


async def test_a_live_key_without_a_provider_is_told_what_to_set(desk: Desk) -> None:
    await desk.house.accounts.grant(desk.account, Mode.LIVE, 100_000)
    async with desk.untouched():
        answer = await desk.post(GENERATE, BOAT, key="live")
    assert answer.status == 200
    assert answer.json == refused(
        505,
        "No provider is configured for gpt4o-image: set the key of one that serves it (`tessera doctor` lists them), "
        "or use a test key (tsk_test_...) to run on the sandbox",
    )


async def test_over_the_rate_limit_is_a_real_429_with_the_time_to_wait(open_desk: OpenDesk, ticker: Ticker) -> None:
    async with open_desk(rate_limit="20/10s", now=ticker, work=False) as desk:
        for _ in range(19):
            await desk.submit()
        ticker.advance(4)
        await desk.submit(key=await desk.new_key())  # the window is the account's, not the key's
        async with desk.untouched():
            answer = await desk.post(GENERATE, BOAT)
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "6"
        assert answer.json == refused(429, "Too many requests: at most 20 new tasks in 10 s; try again in 6.0 s")
        assert (await desk.get(CREDIT)).code == 200
        assert (await (await desk.neighbour()).post(GENERATE, BOAT)).code == 200
        ticker.advance(6)
        assert (await desk.post(GENERATE, BOAT)).code == 200


# ---- paths and methods ----


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1/gpt4o-image/generat", "/api/v2/chat/credit", "/nope", "/api/v1/jobs/"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_unknown_path_is_a_real_404_in_the_envelope(desk: Desk, method: str, path: str) -> None:
    answer = await desk.ask(method, path)
    assert answer.status == 404
    assert answer.json == refused(404, "Not Found")
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", GENERATE),
        ("POST", RECORD),
        ("GET", DOWNLOAD),
        ("PUT", COMMON),
        ("GET", COMMON),
        ("POST", CREDIT),
        ("DELETE", CREDIT),
    ],
)
async def test_a_wrong_method_is_a_real_405_in_the_envelope(desk: Desk, method: str, path: str) -> None:
    answer = await desk.ask(method, path, params={"taskId": "x"})
    assert answer.status == 405
    assert answer.json == refused(405, "Method not allowed")
    assert answer.headers["Allow"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", [BASE64, STREAM, BY_URL])
async def test_a_wrong_method_on_an_upload_path_has_its_own_form(desk: Desk, method: str, path: str) -> None:
    answer = await desk.ask(method, path)
    assert answer.status == 405
    assert answer.body == b'{"success":false,"code":405,"msg":"Method not allowed"}'


async def test_health_says_what_is_up_and_no_more(desk: Desk) -> None:
    assert (await desk.ask("GET", "/healthz", key=None)).body == b'{"status":"ok"}'
    ready = await desk.ask("GET", "/readyz", key=None)
    assert ready.json == {"ready": True, "database": {"ok": True}, "storage": {"ok": True}, "queue": {"ok": True}}

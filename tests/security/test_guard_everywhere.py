"""One list of hostile URLs, three doors: inputs of a task, uploads by URL, callbacks. None of them opens.

Whatever happens, the canary on the loopback is not woken, no inner address is dialled (the fixture ``street`` looks
after every test), and nothing is charged for a task that could not begin.
"""

import base64
from typing import Any

import pytest
from tests.security.hostile import INNER, NAMES, OK, PAGES, RULES, URLS, Page, forever, redirect, say
from tests.security.internet import OTHER, PORT, WEB, Internet
from tests.wire.desk import BASE64, BY_URL, GENERATE, Answer, Desk

from tessera.providers.fake import png
from tessera.testing.plugin import Passed

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANNOT = "Unable to download image from the provided filesUrl"
DEFAULT = {"prompt": "A paper boat", "size": "1:1"}


def ids(value: object) -> str | None:
    return repr(value)[1:60] if isinstance(value, str) else getattr(value, "name", None)


async def picture(street: Desk) -> str:
    """A picture of our own, which is always good."""
    data = {"base64Data": base64.b64encode(png()).decode(), "uploadPath": "in", "fileName": "in.png"}
    return str((await street.post(BASE64, data)).data["fileUrl"])


def told(rule: str, msg: str, field: str) -> bool:
    return msg.startswith(tuple(f"{field}: {text}" for text in RULES[rule]))


async def task_failed(street: Desk, body: dict[str, object]) -> Any:
    """A task that was accepted, could not begin, and cost nothing."""
    before, asked = await street.credits(), len(street.fake.submissions)
    record = await street.ended(await street.submit({**DEFAULT, **body}))
    assert (record["successFlag"], record["status"]) == (2, "CREATE_TASK_FAILED"), record
    assert record["response"] is None
    assert len(street.fake.submissions) == asked, "the provider was asked"
    assert await street.credits() == before
    return record


async def told_of(street: Desk, url: str, passed: Passed) -> Any:
    """The delivery of a task's callback, once it is over, with its attempts."""
    recorded = passed("callback.recorded")
    task_id = await street.submit({**DEFAULT, "callBackUrl": url})
    record = await street.ended(task_id)
    assert record["successFlag"] == 1, "a task does not fail for its callback"
    (delivery,) = (await street.get("/v1/webhooks/deliveries", taskId=task_id)).data
    while delivery["state"] == "pending":
        await recorded.next()
        delivery = (await street.get(f"/v1/webhooks/deliveries/{delivery['id']}")).data
    return (await street.get(f"/v1/webhooks/deliveries/{delivery['id']}")).data


# ---- by their text ----


@pytest.mark.parametrize(("url", "rule"), URLS, ids=ids)
async def test_a_hostile_text_is_refused_at_every_door(street: Desk, net: Internet, url: str, rule: str) -> None:
    url = url.replace("{canary}", str(net.canary.port))
    good = f"http://web.test:{PORT}/good"
    async with street.untouched():
        for field, body in (
            ("filesUrl[1]", {"filesUrl": [good, url]}),
            ("maskUrl", {"filesUrl": [good], "maskUrl": url}),
            ("callBackUrl", {"callBackUrl": url}),
        ):
            answer = await street.post(GENERATE, {**DEFAULT, **body})
            assert (answer.status, answer.code, answer.data) == (200, 422, None), field
            assert told(rule, answer.msg, field), answer.msg
        answer = await street.post(BY_URL, {"fileUrl": url, "uploadPath": "up"})
        assert answer.status == answer.code == 400
        assert told(rule, answer.msg, "fileUrl"), answer.msg
    assert net.dialled == []
    assert net.names.asked == []


async def test_the_old_name_of_the_field_is_no_other_door(street: Desk, net: Internet) -> None:
    async with street.untouched():
        answer = await street.post(GENERATE, {**DEFAULT, "fileUrl": f"http://127.1:{net.canary.port}/"})
    assert (answer.code, answer.msg) == (422, f"fileUrl: {INNER}")


# ---- by what a name leads to ----


def at(name: str, net: Internet) -> str:
    return f"http://{name}:{net.canary.port}/"


@pytest.mark.parametrize("name", [name for name, _ in NAMES])
async def test_an_inner_name_is_no_input(street: Desk, net: Internet, name: str) -> None:
    record = await task_failed(street, {"filesUrl": [at(name, net)]})
    assert (record["errorCode"], record["errorMessage"]) == (451, CANNOT)
    assert net.names.asked == [name]
    assert net.dialled == []


async def test_an_inner_name_is_no_mask(street: Desk, net: Internet) -> None:
    record = await task_failed(street, {"filesUrl": [await picture(street)], "maskUrl": at("mixed.test", net)})
    assert (record["errorCode"], record["errorMessage"]) == (451, CANNOT)
    assert net.dialled == []


@pytest.mark.parametrize("name", [name for name, _ in NAMES])
async def test_an_inner_name_is_no_upload(street: Desk, net: Internet, name: str) -> None:
    async with street.untouched():
        answer = await street.post(BY_URL, {"fileUrl": at(name, net), "uploadPath": "up"})
    refused(answer, 400, f"fileUrl: the file could not be fetched: {INNER}")
    assert net.dialled == []


@pytest.mark.parametrize("name", [name for name, _ in NAMES])
async def test_an_inner_name_is_no_callback(street: Desk, net: Internet, passed: Passed, name: str) -> None:
    delivery = await told_of(street, at(name, net), passed)
    assert delivery["state"] == "failed"
    assert [(a["status"], a["error"], a["excerpt"]) for a in delivery["attempts"]] == [(None, INNER, None)] * 2
    assert net.dialled == []


async def test_a_name_is_dialled_at_the_address_that_was_judged(street: Desk, net: Internet, passed: Passed) -> None:
    """The second answer of each name is the loopback: whoever looked it up twice would go there."""
    body = png()
    net.pages["/picture"] = say(f"{OK}Content-Length: {len(body)}\r\n\r\n", body)
    for name in ("turns-1.test", "turns-2.test", "turns-3.test"):
        net.names.put(name, [WEB], ["127.0.0.1"])
    _, url = await street.made({**DEFAULT, "filesUrl": [f"http://turns-1.test:{PORT}/picture"]})
    assert url
    upload = await street.post(BY_URL, {"fileUrl": f"http://turns-2.test:{PORT}/picture", "uploadPath": "up"})
    assert upload.data["fileSize"] == len(body)
    delivery = await told_of(street, f"http://turns-3.test:{PORT}/picture", passed)
    assert delivery["state"] == "delivered"
    assert net.names.asked == ["turns-1.test", "turns-2.test", "turns-3.test"]
    assert net.dialled == [(WEB, PORT)] * 3


async def test_a_name_that_turns_inward_between_two_hops_is_refused(street: Desk, net: Internet) -> None:
    for number in (1, 2):
        net.names.put(f"turned-{number}.test", [WEB], ["127.0.0.1"])
        net.pages[f"/turn-{number}"] = redirect(f"http://turned-{number}.test:{{canary}}/")
    record = await task_failed(street, {"filesUrl": [f"http://turned-1.test:{PORT}/turn-1"]})
    assert (record["errorCode"], record["errorMessage"]) == (451, CANNOT)
    answer = await street.post(BY_URL, {"fileUrl": f"http://turned-2.test:{PORT}/turn-2", "uploadPath": "up"})
    refused(answer, 400, f"fileUrl: the file could not be fetched: {INNER}")
    assert net.dialled == [(WEB, PORT)] * 2


async def test_a_callback_is_judged_anew_with_every_try(street: Desk, net: Internet, passed: Passed) -> None:
    net.names.put("later.test", [WEB], ["127.0.0.1"])
    delivery = await told_of(street, f"http://later.test:{PORT}/broken-server", passed)
    assert [(a["status"], a["error"]) for a in delivery["attempts"]] == [(500, None), (None, INNER)]
    assert net.dialled == [(WEB, PORT)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody.test", "The host name could not be resolved."),
        ("empty.test", "The host name could not be resolved."),
        ("silent.test", "The server took too long."),
        ("other.test", "The server could not be reached."),
    ],
)
async def test_a_name_that_leads_nowhere_costs_nothing(
    street: Desk, net: Internet, passed: Passed, name: str, words: str
) -> None:
    net.names.put("empty.test", [])
    net.names.put("other.test", [OTHER])
    record = await task_failed(street, {"filesUrl": [at(name, net)]})
    assert (record["errorCode"], record["errorMessage"]) == (451, CANNOT)
    async with street.untouched():
        answer = await street.post(BY_URL, {"fileUrl": at(name, net), "uploadPath": "up"})
    refused(answer, 500, f"fileUrl: the file could not be fetched: {words}")
    delivery = await told_of(street, at(name, net), passed)
    assert [(a["status"], a["error"]) for a in delivery["attempts"]] == [(None, words)] * 2


# ---- by what they answer ----


@pytest.mark.parametrize("page", PAGES, ids=ids)
async def test_a_hostile_answer_is_no_input(street: Desk, net: Internet, page: Page) -> None:
    record = await task_failed(street, {"filesUrl": [f"http://web.test:{PORT}/{page.name}"]})
    assert record["errorCode"] == page.task, record
    if page.task == 451:
        assert record["errorMessage"] == CANNOT
    assert set(net.dialled) == {(WEB, PORT)}


@pytest.mark.parametrize("name", ["redirect-by-302", "endless", "gzip-bomb", "shorter-than-said"])
async def test_a_hostile_answer_is_no_mask(street: Desk, net: Internet, name: str) -> None:
    own = await picture(street)
    record = await task_failed(street, {"filesUrl": [own], "maskUrl": f"http://web.test:{PORT}/{name}"})
    assert record["errorCode"] == {page.name: page.task for page in PAGES}[name]
    assert set(net.served) == {f"/{name}"}


@pytest.mark.parametrize("page", PAGES, ids=ids)
async def test_a_hostile_answer_is_no_upload(street: Desk, page: Page) -> None:
    async with street.untouched():
        answer = await street.post(BY_URL, {"fileUrl": f"http://web.test:{PORT}/{page.name}", "uploadPath": "up"})
    status, words = page.upload
    assert (answer.status, answer.code) == (status, status), answer
    assert words in answer.msg, answer
    assert set(answer.json) == {"success", "code", "msg"}
    # What the caller did not say is not told: no address, no port of ours, no word of a library's.
    assert not any(secret in answer.msg for secret in ("127.0.0.1", WEB, "aiohttp", "Errno", "canary")), answer.msg


@pytest.mark.parametrize("page", PAGES, ids=ids)
async def test_a_hostile_answer_to_a_callback_is_put_on_record_and_no_more(
    street: Desk, net: Internet, passed: Passed, page: Page
) -> None:
    delivery = await told_of(street, f"http://web.test:{PORT}/{page.name}", passed)
    good = isinstance(page.callback, int) and 200 <= page.callback < 300
    assert delivery["state"] == ("delivered" if good else "failed"), delivery
    assert len(delivery["attempts"]) == (1 if good else 2)
    for attempt in delivery["attempts"]:
        assert (attempt["status"] or attempt["error"]) == page.callback, attempt
        assert len(attempt["excerpt"] or "") <= 512
    assert set(net.served) == {f"/{page.name}"}, "a redirect was followed"


async def test_a_file_of_just_the_cap_is_taken_and_one_byte_more_is_not(street: Desk, net: Internet) -> None:
    for size, status in ((20_000, 200), (20_001, 400)):
        net.pages["/sized"] = say(f"{OK}Content-Length: {size}\r\n\r\n", b"x" * size)
        answer = await street.post(BY_URL, {"fileUrl": f"http://web.test:{PORT}/sized", "uploadPath": "up"})
        assert answer.status == status
        net.pages["/sized"] = say(f"{OK}\r\n", b"x" * size)
        answer = await street.post(BY_URL, {"fileUrl": f"http://web.test:{PORT}/sized", "uploadPath": "up"})
        assert answer.status == status


async def test_nothing_stays_on_the_disk_of_what_was_not_taken(street: Desk, net: Internet) -> None:
    net.pages["/more"] = forever(f"{OK}\r\n", b"x" * 65536)
    await task_failed(street, {"filesUrl": [f"http://web.test:{PORT}/more"]})
    assert (await street.post(BY_URL, {"fileUrl": f"http://web.test:{PORT}/more", "uploadPath": "up"})).status == 400
    assert [path for path in street.house.scratch.rglob("*") if path.is_file()] == []


def refused(answer: Answer, status: int, msg: str) -> None:
    assert (answer.status, answer.json) == (status, {"success": False, "code": status, "msg": msg})

"""What ``/metrics`` tells, and whom."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tessera.api.metrics import permitted
from tessera.db import ledger
from tessera.domain.errors import Failed, Unavailable
from tessera.kit.meter import BOUNDS, Book
from tessera.providers.fake import Fake, accept, refuse
from tessera.testing.gateway import Gateway
from tessera.testing.plugin import OpenGateway
from tessera.testing.servers import Receiver
from tessera.testing.ticker import Ticker

GENERATE = "/api/v1/gpt4o-image/generate"
TOKEN = "a-token-of-enough-characters"


async def scrape(gateway: Gateway, **headers: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Every sample by its name and then by its label values, in the alphabetical order of their names."""
    async with gateway.http.get(f"{gateway.base_url}/metrics", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        text = await response.text()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


async def test_what_happens_is_counted_once_each(open_gateway: OpenGateway, receiver: Receiver) -> None:
    fake = Fake("sandbox")
    fake.script(
        refuse(Unavailable("busy", retry_after=timedelta(0))), accept(), accept(failure=Failed("it cannot be drawn"))
    )
    receiver.script(500)
    async with open_gateway(provided={"sandbox": fake}) as gateway:
        for _ in range(2):
            await gateway.post(GENERATE, {"prompt": "x", "size": "1:1", "callBackUrl": receiver.url})
        for _ in range(3):
            await receiver.next()
        await gateway.post(GENERATE, {"prompt": "", "size": "1:1"})
        await gateway.get("/api/v1/chat/credit", key="tsk_test_nobody_has_this_one")
        await gateway.get("/nowhere/1")
        found = await scrape(gateway)

    assert found["tessera_attempts_total"] == {
        ("unavailable", "sandbox"): 1,
        ("succeeded", "sandbox"): 1,
        ("failed", "sandbox"): 1,
    }
    assert found["tessera_tasks_total"] == {
        ("succeeded", "gpt4o-image", ""): 1,
        ("failed", "gpt4o-image", "provider_failed"): 1,
    }
    assert found["tessera_callbacks_total"][("retrying",)] == 1
    assert found["tessera_jobs_failed_total"] == {(): 0}
    assert found["tessera_in_flight"] == {("sandbox",): 0}
    assert found["tessera_request_seconds_count"] == {
        ("200", GENERATE): 2,
        ("422", GENERATE): 1,
        ("401", "/api/v1/chat/credit"): 1,
        ("404", "unknown"): 1,
    }
    assert found["process_resident_memory_bytes"][()] > 1_000_000


async def test_the_queue_is_seen_as_it_is(open_gateway: OpenGateway, ticker: Ticker) -> None:
    async with open_gateway(work=False, now=ticker) as gateway:
        empty = await scrape(gateway)
        assert empty["tessera_tasks_open"] == {("waiting",): 0, ("running",): 0}
        assert empty["tessera_tasks_oldest_waiting_seconds"] == {(): 0}
        for _ in range(3):
            await gateway.post(GENERATE, {"prompt": "x", "size": "1:1"})
            ticker.advance(10)
        found = await scrape(gateway)
    assert found["tessera_queue_jobs"] == {("task-test", "queued"): 3}
    assert found["tessera_tasks_open"] == {("waiting",): 3, ("running",): 0}
    assert found["tessera_tasks_oldest_waiting_seconds"] == {(): 30}
    assert found["tessera_deliveries_pending"] == {(): 0}
    assert found["tessera_worker_up"] == {(): 0}
    assert found["tessera_database_up"] == {(): 1}
    assert found["tessera_ledger_anomalies"] == {(): 0}


async def test_a_wallet_that_is_not_the_sum_of_its_ledger_is_an_anomaly(open_gateway: OpenGateway) -> None:
    async with open_gateway(work=False) as gateway:
        house = gateway.house
        await house.database.pool.execute("UPDATE wallets SET balance = balance + 1 WHERE mode = 'test'")
        assert len(await ledger.anomalies(house.database)) == 1
        assert (await scrape(gateway))["tessera_ledger_anomalies"] == {(): 1}
        await house.database.pool.execute("UPDATE wallets SET balance = balance - 1 WHERE mode = 'test'")
        # Not added up again within the minute.
        assert (await scrape(gateway))["tessera_ledger_anomalies"] == {(): 1}


async def test_without_the_database_the_other_numbers_still_come(open_gateway: OpenGateway) -> None:
    async with open_gateway(work=False) as gateway:
        await gateway.house.database.pool.execute("ALTER TABLE tasks RENAME TO gone")
        found = await scrape(gateway)
    assert found["tessera_database_up"] == {(): 0}
    assert "tessera_tasks_open" not in found
    assert "tessera_tasks_total" not in found
    assert found["tessera_worker_up"] == {(): 0}


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_through_a_proxy_there_are_no_metrics(open_gateway: OpenGateway, header: str) -> None:
    head = {header: "127.0.0.1"}
    async with (
        open_gateway(work=False) as gateway,
        gateway.http.get(f"{gateway.base_url}/metrics", headers=head) as response,
    ):
        assert response.status == 404
        assert await response.json(content_type=None) == {"code": 404, "msg": "Not Found", "data": None}


async def test_with_a_token_only_who_shows_it_is_answered(open_gateway: OpenGateway) -> None:
    async with open_gateway(work=False, metrics_token=TOKEN) as gateway:
        for shown in ("", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN):
            async with gateway.http.get(f"{gateway.base_url}/metrics", headers={"Authorization": shown}) as response:
                assert response.status == 404, shown
        found = await scrape(gateway, Authorization=f"Bearer {TOKEN}", **{"X-Forwarded-For": "203.0.113.9"})
        assert found["tessera_database_up"] == {(): 1}


class _Peer:
    def __init__(self, host: str | None) -> None:
        self.client = type("Client", (), {"host": host}) if host is not None else None
        self.headers: dict[str, str] = {}


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("192.0.2.1", False), ("nonsense", False), (None, False)],
)
def test_only_the_machine_itself_is_answered_without_a_token(host: str | None, allowed: bool) -> None:
    assert permitted(_Peer(host), None) is allowed  # type: ignore[arg-type]


async def test_no_label_holds_what_a_caller_invented(open_gateway: OpenGateway) -> None:
    async with open_gateway(work=False) as gateway:
        secret = "zzz-0123456789"
        for path in (f"/v1/tasks/{secret}", f"/files/{secret}/{secret}.png", f"/{secret}", f"/tessera/{secret}"):
            async with gateway.http.get(gateway.base_url + path) as response:
                assert response.status >= 400
        async with gateway.http.get(f"{gateway.base_url}/metrics") as response:
            text = await response.text()
    assert secret not in text
    routes = set(re.findall(r'tessera_request_seconds_count\{[^}]*route="([^"]*)"', text))
    assert "/v1/tasks/{task_id}" in routes


def test_a_duration_is_counted_under_the_first_bound_that_holds_it() -> None:
    book = Book()
    for seconds in (0.0, BOUNDS[0], BOUNDS[0] * 1.01, BOUNDS[-1] * 2):
        book.time("t", seconds, "a")
    times = book.times("t")[("a",)]
    assert times.groups == [2, 1, *[0] * (len(BOUNDS) - 2), 1]
    assert times.total == pytest.approx(BOUNDS[0] * 2.01 + BOUNDS[-1] * 2)


def test_a_level_goes_up_and_down() -> None:
    book = Book()
    book.move("n", 2, "a")
    book.move("n", -1, "a")
    book.count("c")
    assert book.levels("n") == {("a",): 1}
    assert book.counts("c") == {(): 1}
    assert book.counts("never") == {}


async def test_every_number_is_explained_to_the_operator(open_gateway: OpenGateway, receiver: Receiver) -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    fake = Fake("sandbox")
    async with open_gateway(provided={"sandbox": fake}) as gateway:
        await gateway.post(GENERATE, {"prompt": "x", "size": "1:1", "callBackUrl": receiver.url})
        await receiver.next()
        async with gateway.http.get(f"{gateway.base_url}/metrics") as response:
            text = await response.text()
    served = {match[1] for match in re.finditer(r"^# TYPE (tessera_\w+) ", text, re.MULTILINE)}
    explained = set(re.findall(r"^\| `(tessera_\w+)` \|", page, re.MULTILINE))
    assert served == explained

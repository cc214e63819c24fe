"""The checker of the torture can fail: every promise, broken in a doctored set of books, is found broken."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tessera.db.audit import (
    AssetRow,
    AttemptRow,
    DeliveryRow,
    LedgerRow,
    QueueRow,
    TaskRow,
    WalletRow,
    Write,
)
from tessera.testing.torture.books import (
    FINDABLE,
    KEYED,
    PLAIN,
    Books,
    Death,
    House,
    Poll,
    Post,
    Received,
    ReceiverBook,
    Sent,
    UpstreamBook,
    UpstreamJob,
)
from tessera.testing.torture.check import CHECKS, check, takeovers

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
URL = "http://127.0.0.1:9/fine/n1"


def task(**more: object) -> TaskRow:
    usual: dict[str, object] = {
        "id": "t1",
        "account_id": "a",
        "state": "succeeded",
        "reason": None,
        "epoch": 1,
        "price": 10,
        "request": '{"prompt": "via torture-keyed n1"}',
        "callback_url": URL,
    }
    return TaskRow(**{**usual, **more})  # type: ignore[arg-type]


def post(at: float, *, provider: str = KEYED, key: str = "k1", answer: str = "accepted") -> Post:
    return Post(at=at, provider=provider, key=key, task_id="t1", worker="w.1", answer=answer)  # type: ignore[arg-type]


def entry(kind: str, amount: int, charge: int = 0, task_id: str | None = "t1") -> LedgerRow:
    return LedgerRow(account_id="a", mode="live", kind=kind, amount=amount, charge=charge, task_id=task_id)


def write(actor: str, before: tuple[int, str], after: tuple[int, str]) -> Write:
    return Write(
        task_id="t1",
        actor=actor,
        at=NOON,
        epoch_before=before[0],
        epoch=after[0],
        state_before=before[1],
        state=after[1],
    )


def delivery(**more: object) -> DeliveryRow:
    usual: dict[str, object] = {
        "id": "m1",
        "task_id": "t1",
        "url": URL,
        "event": "task.succeeded",
        "state": "delivered",
        "tries": (1,),
        "statuses": (200,),
    }
    return DeliveryRow(**{**usual, **more})  # type: ignore[arg-type]


def received(**more: object) -> Received:
    usual: dict[str, object] = {
        "at": 5.0,
        "message_id": "m1",
        "task_id": "t1",
        "code": 200,
        "genuine": True,
        "status": 200,
    }
    return Received(**{**usual, **more})  # type: ignore[arg-type]


HOUSE = House(
    tasks=(task(),),
    attempts=(
        AttemptRow(task_id="t1", number=1, provider=KEYED, idempotency_key="k1", state="succeeded", upstream_id="u1"),
    ),
    ledger=(entry("grant", 100, task_id=None), entry("hold", -10), entry("settle", 0, 10)),
    wallets=(WalletRow(account_id="a", mode="live", balance=90),),
    assets=(AssetRow(key="s/t1-1_0.png", task_id="t1", position=0, size=3, sha256="h1", purged=False),),
    deliveries=(delivery(),),
    writes=(
        write("w.1", (0, "waiting"), (1, "waiting")),
        write("w.1", (1, "waiting"), (1, "running")),
        write("w.1", (1, "running"), (1, "succeeded")),
    ),
    jobs=(),
    bytes={"s/t1-1_0.png": "h1"},
)

GOOD = Books(
    sent=(Sent(nonce="n1", key="key-n1", callback_url=URL, posts=1, told=["t1"]),),
    upstream=UpstreamBook(
        posts=[post(1.0)],
        jobs=[UpstreamJob(id="u1", at=1.0, provider=KEYED, key="k1", task_id="t1", hashes=("h1",))],
        polls=[Poll(at=2.0, job="u1", worker="w.1"), Poll(at=3.0, job="u1", worker="w.1")],
    ),
    receiver=ReceiverBook(received=[received()]),
    house=HOUSE,
    deaths=(),
    schedule=4,
    lease=30.0,
)


def house(**changes: object) -> Books:
    return replace(GOOD, house=replace(HOUSE, **changes))  # type: ignore[arg-type]


def upstream(**changes: object) -> Books:
    return replace(GOOD, upstream=replace(GOOD.upstream, **changes))  # type: ignore[arg-type]


def ended_as(state: str, *entries: LedgerRow) -> Books:
    return house(tasks=(task(state=state),), ledger=entries)


def second_job(**more: object) -> Books:
    first = GOOD.upstream.jobs[0]
    return upstream(jobs=[first, replace(first, id="u2", **more)])  # type: ignore[arg-type]


def died(*polls: Poll) -> Books:
    book = replace(GOOD.upstream, polls=list(polls))
    return replace(GOOD, upstream=book, deaths=(Death(at=10.0, actor="w.1", cause="kill"),))


BROKEN: list[tuple[str, str, Callable[[], Books]]] = [
    ("a lost task", "kept", lambda: house(tasks=())),
    ("a task without an end", "ended", lambda: house(tasks=(task(state="running"),))),
    ("a key with two tasks", "not_doubled", lambda: house(tasks=(task(), task(id="t2")))),
    (
        "a key with two answers",
        "not_doubled",
        lambda: replace(GOOD, sent=(replace(GOOD.sent[0], told=["t1", "t2"]),)),
    ),
    (
        "a refused request that is there",
        "not_doubled",
        lambda: replace(GOOD, sent=(replace(GOOD.sent[0], told=[], refused="402"),)),
    ),
    ("two jobs for one intent", "accepted_once", second_job),
    ("two jobs for one task", "accepted_once", lambda: second_job(key="k2")),
    ("a job without an intent", "accepted_once", lambda: house(attempts=())),
    (
        "sent again after an ambiguous submission",
        "not_resent",
        lambda: upstream(posts=[post(1.0, provider=PLAIN, answer="lost"), post(2.0, provider=PLAIN, key="k2")]),
    ),
    (
        "sent again though the provider would have told of the job",
        "not_resent",
        lambda: upstream(posts=[post(1.0, provider=FINDABLE, answer="lost"), post(1.5, provider=FINDABLE)]),
    ),
    (
        "submitted again after a poll",
        "taken_over_without_resubmission",
        lambda: upstream(posts=[post(1.0), post(2.5)]),
    ),
    ("a missing settle", "settled_once", lambda: house(ledger=HOUSE.ledger[:2])),
    ("a second settle", "settled_once", lambda: house(ledger=(*HOUSE.ledger, entry("settle", 0, 10)))),
    ("a settle of another amount", "settled_once", lambda: house(ledger=(*HOUSE.ledger[:2], entry("settle", 0, 9)))),
    ("a missing hold", "settled_once", lambda: house(ledger=(HOUSE.ledger[0], HOUSE.ledger[2]))),
    ("a success for nothing", "settled_once", lambda: ended_as("succeeded", entry("hold", -10), entry("release", 10))),
    (
        "a failure that was charged",
        "settled_once",
        lambda: ended_as("failed", entry("hold", -10), entry("settle", 0, 10)),
    ),
    ("an entry without a task", "settled_once", lambda: house(ledger=(*HOUSE.ledger, entry("hold", -10, 0, "t9")))),
    ("a wrong balance", "balanced", lambda: house(wallets=(WalletRow(account_id="a", mode="live", balance=91),))),
    (
        "a balance below zero",
        "balanced",
        lambda: house(ledger=(entry("hold", -10),), wallets=(WalletRow(account_id="a", mode="live", balance=-10),)),
    ),
    ("a wrong hash", "stored", lambda: house(bytes={"s/t1-1_0.png": "h2"})),
    ("missing bytes", "stored", lambda: house(bytes={})),
    (
        "another file than the provider made",
        "stored",
        lambda: house(assets=(replace(HOUSE.assets[0], sha256="h9"),), bytes={"s/t1-1_0.png": "h9"}),
    ),
    ("a success without a file", "stored", lambda: house(assets=())),
    ("a purged file that is there", "stored", lambda: house(assets=(replace(HOUSE.assets[0], purged=True),))),
    ("a missing callback", "told", lambda: house(deliveries=())),
    ("a callback of another end", "told", lambda: house(deliveries=(delivery(event="task.failed"),))),
    ("a callback that nobody got", "told", lambda: replace(GOOD, receiver=ReceiverBook())),
    (
        "a callback that was refused",
        "told",
        lambda: replace(GOOD, receiver=ReceiverBook(received=[received(status=500)])),
    ),
    ("a callback that is still to come", "told", lambda: house(deliveries=(delivery(state="pending"),))),
    (
        "a callback given up too early",
        "told",
        lambda: house(deliveries=(delivery(state="failed", tries=(1, 2), statuses=(500, 500)),)),
    ),
    (
        "a try that is not on record",
        "told",
        lambda: house(deliveries=(delivery(tries=(1, 3), statuses=(500, 200)),)),
    ),
    (
        "a forged callback",
        "told_truly",
        lambda: replace(GOOD, receiver=ReceiverBook(received=[received(genuine=False)])),
    ),
    (
        "a callback of no delivery",
        "told_truly",
        lambda: replace(GOOD, receiver=ReceiverBook(received=[received(message_id="m9")])),
    ),
    (
        "a callback that lies",
        "told_truly",
        lambda: replace(
            house(tasks=(task(state="failed"),), deliveries=(delivery(event="task.failed"),)),
        ),
    ),
    (
        "a zombie that writes",
        "fenced",
        lambda: house(
            writes=(
                *HOUSE.writes[:2],
                write("w.2", (1, "running"), (2, "running")),
                write("w.1", (2, "running"), (2, "succeeded")),
            )
        ),
    ),
    (
        "an end that is undone",
        "fenced",
        lambda: house(writes=(*HOUSE.writes, write("w.1", (1, "succeeded"), (1, "failed")))),
    ),
    (
        "an epoch that goes back",
        "fenced",
        lambda: house(writes=(*HOUSE.writes[:1], write("w.1", (0, "waiting"), (1, "waiting")))),
    ),
    ("a job left over", "emptied", lambda: house(jobs=(QueueRow(kind="task", subject="t1", status="picked"),))),
    (
        "a late take-over",
        "taken_over_in_time",
        lambda: died(Poll(at=9.0, job="u1", worker="w.1"), Poll(at=41.0, job="u1", worker="w.2")),
    ),
]


def test_books_that_agree_are_found_in_order() -> None:
    assert [finding.name for finding in check(GOOD) if not finding.kept] == []


@pytest.mark.parametrize(("broken", "books"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_promise_is_found(broken: str, books: Callable[[], Books]) -> None:
    found = {finding.name: finding for finding in check(books())}
    assert not found[broken].kept
    assert found[broken].breaches


def test_every_promise_has_been_seen_broken() -> None:
    assert {name for _, name, _ in BROKEN} == set(CHECKS)


def test_a_failure_that_cost_nothing_is_in_order() -> None:
    books = ended_as("failed", entry("grant", 100, task_id=None), entry("hold", -10), entry("release", 10))
    assert {finding.name for finding in check(books) if not finding.kept} <= {"balanced", "told"}


def test_a_full_row_of_attempts_is_as_good_as_a_delivery() -> None:
    full = delivery(state="failed", tries=(1, 2, 3, 4, 5), statuses=(500, None, 302, 500, 500))
    gone = delivery(state="failed", tries=(1,), statuses=(410,))
    for row in (full, gone):
        assert [finding.name for finding in check(house(deliveries=(row,))) if not finding.kept] == []


def test_sending_again_is_right_where_the_provider_had_no_job() -> None:
    posts = [post(0.5, provider=FINDABLE, answer="lost"), post(1.0, provider=FINDABLE)]
    assert [finding.name for finding in check(upstream(posts=posts)) if not finding.kept] == []


def test_the_time_of_a_takeover_is_from_the_death_to_the_next_poll_of_another() -> None:
    polls = [
        Poll(at=9.5, job="u1", worker="w.1"),
        Poll(at=14.0, job="u1", worker="w.2"),
        Poll(at=20.0, job="u1", worker="w.2"),
    ]
    assert takeovers(died(*polls)) == [("u1", 4.0)]
    assert takeovers(died(polls[0])) == [], "nobody had to ask again"
    again = died(*polls)
    second = replace(
        again,
        deaths=(*again.deaths, Death(at=13.0, actor="w.3", cause="kill")),
        house=replace(HOUSE, writes=(*HOUSE.writes, write("w.3", (1, "running"), (2, "running")))),
    )
    assert takeovers(second) == [("u1", 1.0)], "one that had claimed it died, too"
    assert takeovers(died(polls[0], Poll(at=9.8, job="u1", worker="w.2"), polls[1])) == [], "it was another's already"

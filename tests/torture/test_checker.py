"""The checker of the torture can fail: every promise, broken in a doctored set of books, is found broken."""

import math
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


def write(actor: str, before: tuple[int, str], after: tuple[int, str], *, at: float = 4.0) -> Write:
    return Write(
        task_id="t1",
        actor=actor,
        at=datetime.fromtimestamp(at, UTC),
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
    lying=("s/t1-1_0.png",),
    ill=(),
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


def died(*polls: Poll, ended: float = 50.0) -> Books:
    """A worker that died at 10.0; its task came to its end at ``ended`` by another one's hand."""
    book = replace(GOOD.upstream, polls=list(polls))
    writes = (
        *HOUSE.writes[:2],
        write("w.2", (1, "running"), (2, "running"), at=ended - 0.1),
        write("w.2", (2, "running"), (2, "succeeded"), at=ended),
    )
    return replace(
        GOOD,
        upstream=book,
        deaths=(Death(at=10.0, actor="w.1", cause="kill"),),
        house=replace(HOUSE, writes=writes),
    )


HELD = Poll(at=9.0, job="u1", worker="w.1")


def canceled(*, upstream_id: str | None = "u1", provider: str = KEYED, heard: bool = True) -> Books:
    """A canceled task with a job upstream, which has ``heard`` of it or not."""
    job = replace(GOOD.upstream.jobs[0], provider=provider, canceled=heard)
    attempt = replace(HOUSE.attempts[0], provider=provider, state="canceled", upstream_id=upstream_id)
    books = house(
        tasks=(task(state="canceled"),),
        attempts=(attempt,),
        ledger=(HOUSE.ledger[0], entry("hold", -10), entry("release", 10)),
        wallets=(WalletRow(account_id="a", mode="live", balance=100),),
        assets=(),
        bytes={},
        lying=(),
        deliveries=(delivery(event="task.canceled"),),
        writes=(*HOUSE.writes[:2], write("api", (1, "running"), (2, "canceled"))),
    )
    return replace(
        books,
        upstream=replace(GOOD.upstream, jobs=[job]),
        receiver=ReceiverBook(received=[received(code=499)]),
    )


def revived(*rows: DeliveryRow, got: tuple[Received, ...], at: float = 6.0) -> Books:
    """A task that failed by its deadline at 4.0 and succeeded after all at ``at``."""
    writes = (
        *HOUSE.writes[:2],
        write("w.1", (1, "running"), (1, "failed")),
        write("w.1", (1, "failed"), (1, "succeeded"), at=at),
    )
    books = house(
        ledger=(HOUSE.ledger[0], entry("hold", -10), entry("release", 10)),
        wallets=(WalletRow(account_id="a", mode="live", balance=100),),
        writes=writes,
        deliveries=rows,
    )
    return replace(books, receiver=ReceiverBook(received=list(got)))


FAILED = delivery(id="m0", event="task.failed")


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
        "a callback of an end that was not the end",
        "told_truly",
        lambda: replace(
            house(deliveries=(delivery(), delivery(id="m2", event="task.canceled"))),
            receiver=ReceiverBook(received=[received(), received(message_id="m2", code=499)]),
        ),
    ),
    (
        "a failure told of a success",
        "told_truly",
        lambda: replace(GOOD, receiver=ReceiverBook(received=[received(code=500)])),
    ),
    (
        "a cancel told as a failure",
        "told_truly",
        lambda: replace(canceled(), receiver=ReceiverBook(received=[received(code=500)])),
    ),
    (
        "a failure told as a cancel",
        "told_truly",
        lambda: replace(
            house(tasks=(task(state="failed"),), deliveries=(delivery(event="task.failed"),)),
            receiver=ReceiverBook(received=[received(code=499)]),
        ),
    ),
    (
        "a callback about another task",
        "told_truly",
        lambda: replace(GOOD, receiver=ReceiverBook(received=[received(task_id="t9")])),
    ),
    (
        "a success that was told before there was one",
        "told_truly",
        lambda: revived(FAILED, delivery(), got=(received(message_id="m0", at=5.0), received(at=7.0))),
    ),
    (
        "a failure told of a task that never failed",
        "told_truly",
        lambda: house(deliveries=(FAILED, delivery())),
    ),
    (
        "an end that was put out twice",
        "told",
        lambda: replace(
            house(deliveries=(delivery(), delivery(id="m2"))),
            receiver=ReceiverBook(received=[received(), received(message_id="m2")]),
        ),
    ),
    ("bytes without a row", "swept", lambda: house(lying=(*HOUSE.lying, "s/t1-2_0.png"))),
    (
        "bytes that a row calls gone",
        "swept",
        lambda: house(assets=(replace(HOUSE.assets[0], purged=True),), bytes={}),
    ),
    ("a cancel that its provider never heard of", "passed_on", lambda: canceled(heard=False)),
    (
        "a lost receipt that nobody looked for",
        "passed_on",
        lambda: canceled(upstream_id=None, provider=FINDABLE, heard=False),
    ),
    ("an anomaly that a doctor sees", "well", lambda: house(ill=("t1 (succeeded, price 10): hold None, no end 0",))),
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
        lambda: died(HELD, Poll(at=41.0, job="u1", worker="w.2")),
    ),
    ("a take-over that ends a task late without a question", "taken_over_in_time", lambda: died(HELD, ended=41.0)),
    (
        "a take-over that never happened",
        "taken_over_in_time",
        lambda: replace(died(HELD), house=replace(HOUSE, writes=HOUSE.writes[:2])),
    ),
]


def test_books_that_agree_are_found_in_order() -> None:
    assert broken_in(GOOD) == []


def broken_in(books: Books) -> list[str]:
    return [finding.name for finding in check(books) if finding.broken]


def test_what_nothing_has_put_to_the_test_is_not_called_kept() -> None:
    empty = replace(
        GOOD,
        sent=(),
        upstream=UpstreamBook(),
        receiver=ReceiverBook(),
        house=House(
            tasks=(),
            attempts=(),
            ledger=(),
            wallets=(),
            assets=(),
            deliveries=(),
            writes=(),
            jobs=(),
            bytes={},
            lying=(),
            ill=(),
        ),
    )
    findings = check(empty)
    assert {finding.name for finding in findings} == set(CHECKS)
    assert all(finding.untried and not finding.kept and not finding.broken for finding in findings)
    assert {finding.name for finding in check(GOOD) if finding.untried} == {
        "not_resent",
        "passed_on",
        "taken_over_in_time",
    }


@pytest.mark.parametrize("provider", [KEYED, FINDABLE])
def test_a_cancel_that_its_provider_heard_of_is_in_order(provider: str) -> None:
    assert broken_in(canceled(provider=provider)) == []


def test_nobody_can_tell_a_provider_of_a_job_whose_id_was_lost_and_that_cannot_be_asked() -> None:
    assert broken_in(canceled(upstream_id=None, heard=False)) == []


def test_a_late_success_may_be_told_as_failure_and_then_as_success() -> None:
    told = (received(message_id="m0", code=500, at=5.0), received(message_id="m1", at=7.0))
    assert broken_in(revived(FAILED, delivery(), got=told)) == []
    again = replace(told[0], code=200, at=7.0)
    assert broken_in(revived(FAILED, delivery(), got=(again, told[1]))) == [], "by then it was true"


@pytest.mark.parametrize(("broken", "books"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_promise_is_found(broken: str, books: Callable[[], Books]) -> None:
    found = {finding.name: finding for finding in check(books())}
    assert found[broken].broken
    assert not found[broken].kept
    assert found[broken].breaches


def test_every_promise_has_been_seen_broken() -> None:
    assert {name for _, name, _ in BROKEN} == set(CHECKS)


def test_a_failure_that_cost_nothing_is_in_order() -> None:
    books = ended_as("failed", entry("grant", 100, task_id=None), entry("hold", -10), entry("release", 10))
    assert set(broken_in(books)) <= {"balanced", "told", "told_truly"}


def test_a_full_row_of_attempts_is_as_good_as_a_delivery() -> None:
    full = delivery(state="failed", tries=(1, 2, 3, 4, 5), statuses=(500, None, 302, 500, 500))
    gone = delivery(state="failed", tries=(1,), statuses=(410,))
    for row in (full, gone):
        assert broken_in(house(deliveries=(row,))) == []


def test_sending_again_is_right_where_the_provider_had_no_job() -> None:
    posts = [post(0.5, provider=FINDABLE, answer="lost"), post(1.0, provider=FINDABLE)]
    assert broken_in(upstream(posts=posts)) == []


def test_the_time_of_a_takeover_is_from_the_death_to_the_next_poll_of_another() -> None:
    polls = [
        Poll(at=9.5, job="u1", worker="w.1"),
        Poll(at=14.0, job="u1", worker="w.2"),
        Poll(at=20.0, job="u1", worker="w.2"),
    ]
    assert takeovers(died(*polls)) == [("u1", 4.0)]
    assert takeovers(died(polls[0])) == [("u1", 40.0)], "what was under way has come to its end then"
    assert takeovers(died(polls[0], ended=9.9)) == [], "the dead one had brought it to its end"
    again = died(*polls)
    second = replace(
        again,
        deaths=(*again.deaths, Death(at=13.0, actor="w.3", cause="kill")),
        house=replace(again.house, writes=(*again.house.writes, write("w.3", (1, "running"), (2, "running")))),
    )
    assert takeovers(second) == [("u1", 1.0)], "one that had claimed it died, too"
    assert takeovers(died(polls[0], Poll(at=9.8, job="u1", worker="w.2"), polls[1])) == [], "it was another's already"
    forgotten = replace(died(polls[0]), house=replace(HOUSE, writes=HOUSE.writes[:2]))
    assert takeovers(forgotten) == [("u1", math.inf)], "nobody has looked after it"

"""The comparison of the books: one function a promise, each answers what it looked at and every breach, in words."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tessera.db.audit import DeliveryRow
from tessera.testing.torture.books import FINDABLE, KEYED, Books, Death, Post, Received, Sent

TERMINAL = frozenset({"succeeded", "failed", "canceled"})
SHOWN = 20
"""Breaches that are kept in words; all are counted."""

RECENT = 15.0
"""A job that its worker had not asked after for so many seconds was not in its hands when it died."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``examined`` is how many cases there were: a promise that nothing put to the test is not kept, only untried."""

    name: str
    promise: str
    examined: int
    breaches: tuple[str, ...]
    count: int

    @property
    def broken(self) -> bool:
        return self.count > 0

    @property
    def untried(self) -> bool:
        return self.examined == 0 and not self.broken

    @property
    def kept(self) -> bool:
        return not self.broken and not self.untried


Check = Callable[[Books], tuple[int, Iterator[str]]]

CHECKS: dict[str, tuple[str, Check]] = {}


def _promise(words: str) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        CHECKS[check.__name__] = (words, check)
        return check

    return register


def check(books: Books) -> list[Finding]:
    """All promises, one finding each."""
    findings = []
    for name, (promise, one) in CHECKS.items():
        examined, breaches = one(books)
        told = list(breaches)
        findings.append(Finding(name, promise, examined, tuple(told[:SHOWN]), len(told)))
    return findings


@_promise("no acknowledged task is missing")
def kept(books: Books) -> tuple[int, Iterator[str]]:
    there = {task.id for task in books.house.tasks}
    told = [(sent, task_id) for sent in books.sent for task_id in sent.told]
    return len(told), (
        f"{sent.nonce}: {task_id} was answered and is not there" for sent, task_id in told if task_id not in there
    )


@_promise("every task has come to an end")
def ended(books: Books) -> tuple[int, Iterator[str]]:
    tasks = books.house.tasks
    return len(tasks), (f"{task.id} is {task.state}" for task in tasks if task.state not in TERMINAL)


@_promise("an idempotency key stands for one task, a request without one makes no more tasks than it was sent times")
def not_doubled(books: Books) -> tuple[int, Iterator[str]]:
    made = Counter(json.loads(task.request)["prompt"].split()[-1] for task in books.house.tasks)

    def breaches() -> Iterator[str]:
        for sent in books.sent:
            if len(set(sent.told)) > (1 if sent.key else sent.posts):
                yield f"{sent.nonce}: was told {sorted(set(sent.told))}"
            if made[sent.nonce] > _most(sent):
                yield f"{sent.nonce}: {made[sent.nonce]} tasks of {sent.posts} posts, key {sent.key}"
            if made[sent.nonce] and sent.refused and not sent.told:
                yield f"{sent.nonce}: was refused ({sent.refused}) and is there all the same"

    return len(books.sent), breaches()


def _most(sent: Sent) -> int:
    return 1 if sent.key else sent.posts


@_promise("at most one job upstream for each intent and for each task, and none without an intent on record")
def accepted_once(books: Books) -> tuple[int, Iterator[str]]:
    jobs = books.upstream.jobs
    intents = {attempt.idempotency_key for attempt in books.house.attempts}

    def breaches() -> Iterator[str]:
        for key, count in Counter(job.key for job in jobs).items():
            if count > 1:
                yield f"{count} jobs for the intent {key}"
        for task_id, count in Counter(job.task_id for job in jobs).items():
            if count > 1:
                yield f"{count} jobs for the task {task_id}"
        for job in jobs:
            if job.key not in intents:
                yield f"{job.id} was accepted without an intent"

    return len(jobs), breaches()


@_promise("where keys are not honoured nothing is sent again after an ambiguous submission")
def not_resent(books: Books) -> tuple[int, Iterator[str]]:
    found = _by_task([post for post in books.upstream.posts if post.provider != KEYED])

    def breaches() -> Iterator[str]:
        for task_id, posts in found.items():
            for post, following in pairwise(posts):
                if post.answer != "refused" and not _cleared_up(books, post, following.at):
                    yield f"{task_id}: sent again {following.at - post.at:.2f} s after one that was {post.answer}"

    return len(found), breaches()


def _by_task(posts: Sequence[Post]) -> dict[str, list[Post]]:
    found: dict[str, list[Post]] = defaultdict(list)
    for post in sorted(posts, key=lambda post: post.at):
        found[post.task_id].append(post)
    return found


def _cleared_up(books: Books, post: Post, until: float) -> bool:
    """Whether the provider can be asked, and truly had no job under this key by then: so sending again was right."""
    had = any(job.key == post.key and job.at < until for job in books.upstream.jobs)
    return post.provider == FINDABLE and not had


@_promise("nothing is submitted again once its upstream id is on record")
def taken_over_without_resubmission(books: Books) -> tuple[int, Iterator[str]]:
    keys = {job.id: job.key for job in books.upstream.jobs}
    polled: dict[str, float] = {}
    for poll in books.upstream.polls:
        if poll.job in keys:
            polled.setdefault(keys[poll.job], poll.at)

    def breaches() -> Iterator[str]:
        for post in books.upstream.posts:
            if post.key in polled and post.at > polled[post.key]:
                yield f"{post.task_id}: submitted {post.at - polled[post.key]:.2f} s after its first poll"

    return len(polled), breaches()


@_promise("one hold for each task, and one settle (success) or release (all else) for each hold")
def settled_once(books: Books) -> tuple[int, Iterator[str]]:
    entries: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for row in books.house.ledger:
        if row.task_id is not None:
            entries[row.task_id].append((row.kind, row.amount, row.charge))

    def breaches() -> Iterator[str]:
        for task in books.house.tasks:
            hold = ("hold", -task.price, 0)
            settle, release = ("settle", 0, task.price), ("release", task.price, 0)
            # A success after the deadline costs nothing: its hold had been released with the deadline.
            good = ([hold, settle], [hold, release]) if task.state == "succeeded" else ([hold, release],)
            if task.state in TERMINAL and sorted(entries[task.id]) not in [sorted(each) for each in good]:
                yield f"{task.id} ({task.state}, {task.price}): {entries[task.id]}"
        revived = {write.task_id for write in books.house.writes if write.state_before == "failed"}
        for task in books.house.tasks:
            kinds = {kind for kind, _, _ in entries[task.id]}
            if task.state == "succeeded" and "release" in kinds and task.id not in revived:
                yield f"{task.id} succeeded in time and was not charged"
        for task_id in entries.keys() - {task.id for task in books.house.tasks}:
            yield f"{task_id}: entries of a task that is not there"

    return len(books.house.tasks), breaches()


@_promise("a balance is the sum of its ledger, and never below zero")
def balanced(books: Books) -> tuple[int, Iterator[str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for row in books.house.ledger:
        sums[row.account_id, row.mode] += row.amount

    def breaches() -> Iterator[str]:
        for wallet in books.house.wallets:
            total = sums[wallet.account_id, wallet.mode]
            if wallet.balance != total or wallet.balance < 0:
                yield f"{wallet.account_id} {wallet.mode}: balance {wallet.balance}, ledger {total}"

    return len(books.house.wallets), breaches()


@_promise("every success has the bytes that the provider made, under the recorded size and hash")
def stored(books: Books) -> tuple[int, Iterator[str]]:
    succeeded = [task for task in books.house.tasks if task.state == "succeeded"]
    made = {job.task_id: job.hashes for job in books.upstream.jobs}
    assets: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for asset in books.house.assets:
        if asset.task_id is not None:
            assets[asset.task_id].append((asset.key, asset.sha256))

    def breaches() -> Iterator[str]:
        for task in succeeded:
            hashes = tuple(digest for _, digest in assets[task.id])
            if hashes != made.get(task.id):
                yield f"{task.id}: recorded {hashes}, the provider made {made.get(task.id)}"
        for asset in books.house.assets:
            lies = books.house.bytes.get(asset.key)
            if asset.purged and lies is not None:
                yield f"{asset.key}: purged, and its bytes are there"
            elif not asset.purged and lies != asset.sha256:
                yield f"{asset.key}: recorded {asset.sha256}, in the store {lies}"

    return len(succeeded), breaches()


@_promise("nothing lies in the store that no row knows of")
def swept(books: Books) -> tuple[int, Iterator[str]]:
    known = {asset.key: asset for asset in books.house.assets}

    def breaches() -> Iterator[str]:
        for key in books.house.lying:
            if key not in known:
                yield f"{key}: bytes without a row"
            elif known[key].purged:
                yield f"{key}: bytes behind a row that calls them purged"

    return len(books.house.lying), breaches()


@_promise("the provider of a canceled task is told, wherever its job has an upstream id or can be found by its key")
def passed_on(books: Books) -> tuple[int, Iterator[str]]:
    canceled = {task.id for task in books.house.tasks if task.state == "canceled"}
    received = {attempt.upstream_id for attempt in books.house.attempts}
    jobs = [
        job
        for job in books.upstream.jobs
        if job.task_id in canceled and (job.id in received or job.provider == FINDABLE)
    ]
    return len(jobs), (f"{job.task_id}: {job.id} was never told" for job in jobs if not job.canceled)


@_promise("a doctor who only sees the database finds nothing ill")
def well(books: Books) -> tuple[int, Iterator[str]]:
    return len(books.house.tasks), iter(books.house.ill)


@_promise("every terminal task with a callback URL has a delivered callback or a full row of attempts")
def told(books: Books) -> tuple[int, Iterator[str]]:
    tasks = [task for task in books.house.tasks if task.callback_url and task.state in TERMINAL]
    deliveries: dict[str, list[str]] = defaultdict(list)
    answered = {got.message_id for got in books.receiver.received if got.status and 200 <= got.status < 300}

    def breaches() -> Iterator[str]:
        for row in books.house.deliveries:
            deliveries[row.task_id].append(row.event)
            full = len(row.tries) == books.schedule + 1 or 410 in row.statuses
            if list(row.tries) != list(range(1, len(row.tries) + 1)):
                yield f"{row.id}: the tries on record are {row.tries}"
            if row.state == "delivered" and row.id not in answered:
                yield f"{row.id}: called delivered, and the receiver never took it"
            if row.state != "delivered" and not (row.state == "failed" and full):
                yield f"{row.id} of {row.task_id}: {row.state} after {len(row.tries)} tries"
        for task in tasks:
            if f"task.{task.state}" not in deliveries[task.id]:
                yield f"{task.id} ({task.state}): its end was never put out for delivery"
        for task_id, events in deliveries.items():
            for event, count in Counter(events).items():
                if count > 1:
                    yield f"{task_id}: {event} was put out {count} times"

    return len(tasks), breaches()


@_promise("every callback is genuine and says what became of its task")
def told_truly(books: Books) -> tuple[int, Iterator[str]]:
    rows = {row.id: row for row in books.house.deliveries}
    states = {task.id: task.state for task in books.house.tasks}
    revived = _revived(books)

    def breaches() -> Iterator[str]:
        for row in rows.values():
            final = states.get(row.task_id)
            late = row.event == "task.failed" and row.task_id in revived
            if row.event != f"task.{final}" and not late:
                yield f"{row.id}: {row.event} was told of a task that is {final}"
        for got in books.receiver.received:
            about = rows.get(got.message_id)
            if not got.genuine:
                yield f"{got.message_id}: its signature is wrong"
            if about is None:
                yield f"{got.message_id}: no such delivery is on record"
            elif got.task_id != about.task_id:
                yield f"{got.message_id}: names {got.task_id}, and is about {about.task_id}"
            elif _said(got.code) not in _sayable(about, got, revived):
                yield f"{got.message_id}: says {got.code} for {about.event}"

    return len(books.receiver.received), breaches()


def _revived(books: Books) -> dict[str, float]:
    """When tasks that had failed by their deadline succeeded after all."""
    return {
        write.task_id: write.at.timestamp()
        for write in books.house.writes
        if (write.state_before, write.state) == ("failed", "succeeded")
    }


def _said(code: int) -> str:
    return {200: "task.succeeded", 499: "task.canceled"}.get(code, "task.failed")


def _sayable(row: DeliveryRow, got: Received, revived: Mapping[str, float]) -> set[str]:
    """What a callback may say: its own event, or the late success that its task has come to meanwhile."""
    late = row.event == "task.failed" and got.at >= revived.get(row.task_id, math.inf)
    return {row.event, "task.succeeded"} if late else {row.event}


@_promise("whoever lost a claim changes nothing any more; what is over stays over")
def fenced(books: Books) -> tuple[int, Iterator[str]]:
    def breaches() -> Iterator[str]:
        holder: dict[str, tuple[int, str]] = {}
        for write in books.house.writes:
            epoch, actor = holder.get(write.task_id, (0, ""))
            late = write.state_before == "failed" and write.state in {"failed", "succeeded"}
            if write.state_before in TERMINAL and not late:
                yield f"{write.task_id}: {write.state_before} became {write.state} by {write.actor}"
            if write.epoch_before != epoch:
                yield f"{write.task_id}: epoch {write.epoch_before} was written after epoch {epoch}"
            if write.epoch > write.epoch_before:
                holder[write.task_id] = (write.epoch, write.actor)
            elif write.actor != actor:
                yield f"{write.task_id}: {write.actor} wrote under the claim of {actor or 'nobody'}"

    return len(books.house.writes), breaches()


@_promise("nothing is left in the queue")
def emptied(books: Books) -> tuple[int, Iterator[str]]:
    return len(books.house.tasks), (f"{job.kind} {job.subject}: {job.status}" for job in books.house.jobs)


@_promise("a dead worker's jobs are asked after by another one within the bound")
def taken_over_in_time(books: Books) -> tuple[int, Iterator[str]]:
    times = takeovers(books)
    return len(times), (
        f"{job}: {'never' if seconds == math.inf else f'{seconds:.1f} s'}, allowed are {books.lease:g} s"
        for job, seconds in times
        if seconds > books.lease
    )


def takeovers(books: Books) -> list[tuple[str, float]]:
    """For each job that was in the hands of a process when it died: seconds until another one asked after it.

    Where one that had claimed it meanwhile died, too, the time is counted from that death. A task that came to its end
    first needs nobody any more; one that neither was asked after nor ended was never taken over (infinity).
    """
    tasks = {job.id: job.task_id for job in books.upstream.jobs}
    polls: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for poll in books.upstream.polls:
        polls[poll.job].append((poll.at, poll.worker))
    died = {death.actor: death.at for death in books.deaths}
    claims: dict[str, list[float]] = defaultdict(list)
    ends: dict[str, float] = {}
    for write in books.house.writes:
        if write.epoch > write.epoch_before and write.actor in died:
            claims[write.task_id].append(died[write.actor])
        if write.state in TERMINAL:
            ends.setdefault(write.task_id, write.at.timestamp())
    times = []
    for death in books.deaths:
        for job, asked in polls.items():
            task_id = tasks.get(job, "")
            ended = ends.get(task_id, math.inf)
            if ended <= death.at or not _held(asked, death):
                continue
            following = min([ended, *(at for at, worker in asked if worker != death.actor and at > death.at)])
            between = [at for at in claims[task_id] if death.at < at < following]
            times.append((job, following - max([death.at, *between])))
    return times


def _held(asked: Sequence[tuple[float, str]], death: Death) -> bool:
    """Whether a job was in the hands of this process when it died: it was the last to ask, and not long before."""
    mine = [at for at, worker in asked if worker == death.actor]
    return (
        bool(mine)
        and death.at - mine[-1] <= RECENT
        and not any(mine[-1] < at <= death.at for at, worker in asked if worker != death.actor)
    )

"""The rows under load: what is asked of the gateway, and of the bare handler beside it, in alternating rounds."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal

import msgspec
import psutil

from bench.load import Outcome, Plan, drive, get, post
from bench.server import Server

FAMILY = "/api/v1/gpt4o-image"
WORDS = ("a lighthouse", "two herons", "an old tram", "the night market", "a paper boat", "wild garlic", "a red kite")
PLACES = ("at dusk", "in the rain", "under the ice", "seen from a train", "in the style of a woodcut", "on Mars")

Name = Literal["submit", "record-info", "download-url"]


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One target for a few seconds. ``cpu`` and ``database_cpu`` are microseconds of processor time for one answer."""

    outcome: Outcome
    cpu: float
    database_cpu: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Rounds in pairs: the bare handler's, then the gateway's."""

    name: Name
    connections: int
    peer: list[Round]
    gateway: list[Round]

    @property
    def ratios(self) -> list[float]:
        """Of each pair, the gateway's rate as a part of the bare handler's."""
        return [ours.outcome.rate / bare.outcome.rate for bare, ours in zip(self.peer, self.gateway, strict=True)]


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """``rounds`` of ``seconds`` each, after ``warm`` seconds that do not count."""

    rounds: int
    seconds: float
    warm: float
    watched: int
    records: int


FULL = Pace(rounds=5, seconds=3.0, warm=1.0, watched=60, records=400)
QUICK = Pace(rounds=2, seconds=1.0, warm=0.5, watched=20, records=150)


def requests(files: Mapping[str, str], key: str) -> dict[Name, list[bytes]]:
    """What is sent for each row: many prompts, and reads spread over all the tasks."""
    prompts = [f"{word} {place}, number {n}" for n in range(12) for word in WORDS for place in PLACES]
    bodies = [msgspec.json.encode({"prompt": prompt, "size": "1:1", "nVariants": 1}) for prompt in prompts]
    wanted = [msgspec.json.encode({"taskId": task_id, "url": link}) for task_id, link in files.items()]
    return {
        "submit": [post(f"{FAMILY}/generate", body, key) for body in bodies],
        "record-info": [get(f"{FAMILY}/record-info?taskId={task_id}", key) for task_id in files],
        "download-url": [post(f"{FAMILY}/download-url", body, key) for body in wanted],
    }


def measure(
    name: Name, sent: Sequence[bytes], peer: Server, gateway: Server, database: psutil.Process, pace: Pace
) -> Row:
    """Peer, gateway, peer, gateway: what the machine does to one it soon does to the other."""
    for server in (peer, gateway):
        drive(Plan(port=server.port, requests=list(sent), seconds=pace.warm))
    rounds: list[tuple[Round, Round]] = []
    for _ in range(pace.rounds):
        rounds.append((_round(peer, sent, database, pace), _round(gateway, sent, database, pace)))
    return Row(name=name, connections=32, peer=[a for a, _ in rounds], gateway=[b for _, b in rounds])


def one_by_one(sent: Sequence[bytes], gateway: Server, pace: Pace) -> list[Outcome]:
    """A single connection: what one caller sees of an idle gateway."""
    plan = Plan(port=gateway.port, requests=list(sent), connections=1, seconds=pace.seconds)
    return [drive(plan) for _ in range(pace.rounds)]


def _round(server: Server, sent: Sequence[bytes], database: psutil.Process, pace: Pace) -> Round:
    before, stored = server.cpu(), database_cpu(database)
    outcome = drive(Plan(port=server.port, requests=list(sent), seconds=pace.seconds))
    each = 1e6 / outcome.answers
    return Round(
        outcome=outcome, cpu=(server.cpu() - before) * each, database_cpu=(database_cpu(database) - stored) * each
    )


def database_cpu(server: psutil.Process) -> float:
    """Processor seconds of PostgreSQL: of its first process, of its sessions, and of those that have ended."""
    times = server.cpu_times()
    total = float(times.user + times.system + times.children_user + times.children_system)
    for session in server.children():
        try:
            times = session.cpu_times()
        except psutil.NoSuchProcess:  # it has just ended
            continue
        total += times.user + times.system
    return total


def middle(rounds: Sequence[Outcome], figure: Literal["rate", "p50", "p99"]) -> float:
    return median(float(getattr(outcome, figure)) for outcome in rounds)

"""What a run tells: a summary for people, and the same as JSON."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from tessera.testing.torture.check import Finding, takeovers
from tessera.testing.torture.harness import Outcome, facts


def times(outcome: Outcome) -> dict[str, float]:
    """Take-over times in seconds: how many, median, longest. What never happened has no time; it is a breach."""
    found = sorted(seconds for _, seconds in takeovers(outcome.books) if seconds != math.inf)
    if not found:
        return {"count": 0}
    return {"count": len(found), "median": statistics.median(found), "longest": found[-1]}


def show(console: Console, outcome: Outcome, findings: Sequence[Finding]) -> None:
    books = outcome.books
    states = Counter(task.state for task in books.house.tasks)
    answers = Counter(post.answer for post in books.upstream.posts)
    console.print(
        f"seed {outcome.ordeal.seed}: {len(books.house.tasks)} tasks "
        f"({', '.join(f'{count} {state}' for state, count in sorted(states.items()))}), "
        f"{len(books.upstream.posts)} submissions upstream "
        f"({', '.join(f'{count} {answer}' for answer, count in sorted(answers.items()))}), "
        f"{len(books.upstream.jobs)} jobs billed, {len(books.receiver.received)} callbacks, "
        f"{len(books.deaths)} deaths, {outcome.seconds:.0f} s"
    )
    console.print(_events(outcome))
    console.print(_promises(findings))
    for finding in findings:
        for breach in finding.breaches:
            console.print(f"  {finding.name}: {breach}", style="red", highlight=False)
    took = times(outcome)
    console.print("take-over: " + ", ".join(f"{name} {value:.3g}" for name, value in took.items()))
    if not outcome.quiet:
        console.print("not everything had ended in time", style="red")


def _events(outcome: Outcome) -> Table:
    table = Table("chaos", "count", title="what was done to it", title_justify="left")
    upstream = {f"provider: {name}": count for name, count in outcome.books.upstream.chaos.items()}
    receiver = {f"receiver: {name}": count for name, count in outcome.books.receiver.chaos.items()}
    for name, count in sorted({**outcome.blows, **upstream, **receiver}.items()):
        table.add_row(name, str(count))
    return table


def _promises(findings: Sequence[Finding]) -> Table:
    table = Table("promise", "cases", "", title="what it kept", title_justify="left")
    for finding in findings:
        table.add_row(finding.promise, str(finding.examined), _verdict(finding))
    return table


def _verdict(finding: Finding) -> str:
    if finding.broken:
        return f"[red]BROKEN {finding.count}[/]"
    return "[red]NOT EXAMINED[/]" if finding.untried else "[green]kept[/]"


def write(path: Path, outcome: Outcome, findings: Sequence[Finding]) -> None:
    """The report as JSON: seed, counts of every kind of chaos, each promise with its evidence, take-over times."""
    told = {
        **facts(outcome),
        "provider": outcome.books.upstream.chaos,
        "receiver": outcome.books.receiver.chaos,
        "promises": [
            {
                "name": f.name,
                "promise": f.promise,
                "examined": f.examined,
                "kept": f.kept,
                "count": f.count,
                "breaches": f.breaches,
            }
            for f in findings
        ],
        "takeover": times(outcome),
        "deaths": outcome.books.deaths,
        "quiet": outcome.quiet,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(told)))

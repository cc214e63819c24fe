"""The figures beside their targets: a table for people, a JSON file for machines."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.load import Outcome
from bench.rows import Pace, Row, middle
from bench.size import Files, Starts
from bench.walk import Walked

SUBMITS = 3000.0
NOTES = (
    "Rates are answers a second over {connections} connections; every answer was checked. The ratio is the gateway's "
    "rate as a part of the bare handler's, pair by pair, in the same run. Processor time is of one answer: gateway "
    "+ PostgreSQL, then bare handler.",
    "submit: durable when answered (synchronous_commit={synchronous_commit}, fsync={fsync}; the disk took "
    "{fdatasync_ms} ms to keep 8 kB). The gateway runs without a worker: jobs stay in the queue, and only accepting is "
    "measured.",
    "a file of 100 MB: an upload, fetched over four connections from the local store; the bare file server is "
    "Starlette's FileResponse in a process of its own. Ready: from the start of `tessera serve`, embedded PostgreSQL "
    "included, to its first answer; memory is that of its Python process after some seconds without work.",
    "called, callback: whole tasks one at a time on an idle gateway with its worker; from the request's first byte to "
    "the call of the provider, and from the provider's answer (a file, still to be stored) to the callback's arrival.",
)
BUSY = "Other work ran on this machine (load {load:.1f} on {cores} cores at the start): trust the ratios, not the rates"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One promise: ``met`` is judged by the median."""

    measure: str
    target: str
    seen: str
    value: float
    met: bool


def lines(rows: Sequence[Row], single: Sequence[Outcome], walked: Walked) -> list[Line]:
    by_name = {row.name: row for row in rows}
    submits = [each.outcome for each in by_name["submit"].gateway]
    found = [
        line("durable submits", SUBMITS, middle(submits, "rate"), "/s", least=True),
        line("submit, p99", 50, middle(submits, "p99"), " ms"),
        line("submit / bare handler, aim", 20, 100 * median(by_name["submit"].ratios), " %", least=True),
    ]
    for name in ("record-info", "download-url"):
        ratio = 100 * median(by_name[name].ratios)
        found.append(line(f"{name} / bare handler", 25, ratio, " %", least=True))
    found.append(line("one submit at a time, p50", 3, middle(single, "p50"), " ms"))
    found.append(line("submit to provider called, p50", 20, walked.called.p50, " ms"))
    found.append(line("done to callback, p50", 50, walked.told.p50, " ms"))
    return found


def size_lines(files: Files, starts: Starts) -> list[Line]:
    whole, ranges = files.ratios
    return [
        line("a file of 100 MB / bare file server", 50, 100 * whole, " %", least=True),
        line("its ranges of 8 MB / bare file server", 50, 100 * ranges, " %", least=True),
        line("start to ready, existing data", 1.5, median(starts.ready), " s"),
        line("memory of the idle gateway", 150, starts.memory / 1e6, " MB"),
    ]


def line(measure: str, target: float, value: float, unit: str, *, least: bool = False) -> Line:
    return Line(
        measure=measure,
        target=f"{'≥' if least else '≤'} {target:,g}{unit}",
        seen=f"{value:,.0f}{unit}" if value >= 100 else f"{value:.1f}{unit}",
        value=round(value, 3),
        met=value >= target if least else value <= target,
    )


def show(console: Console, rows: Sequence[Row], found: Sequence[Line], facts: dict[str, Any]) -> None:
    durability, machine = facts["durability"], facts["machine"]
    console.print(table("Under load, medians of the rounds", HEADS, [_cells(row) for row in rows]))
    judged = [(each.measure, each.target, each.seen, mark(each)) for each in found]
    console.print(table("Promises", ("", "target", "seen", ""), judged))
    for note in NOTES:
        text = note.format(connections=rows[0].connections, fdatasync_ms=machine["fdatasync_ms"], **durability)
        console.print(text, style="dim", highlight=False)
    if machine["load_before"][0] > machine["cores"] / 2:
        console.print(BUSY.format(load=machine["load_before"][0], cores=machine["cores"]), style="yellow")


HEADS = ("", "gateway/s", "p50 ms", "p99 ms", "bare/s", "ratio (range)", "cpu µs", "bare")


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for place, head in enumerate(heads):
        made.add_column(head, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    return made


def mark(line: Line) -> str:
    return "[green]met[/]" if line.met else "[red]missed[/]"


def _cells(row: Row) -> tuple[str, ...]:
    ours, theirs = [each.outcome for each in row.gateway], [each.outcome for each in row.peer]
    cpu, stored = median(each.cpu for each in row.gateway), median(each.database_cpu for each in row.gateway)
    return (
        row.name,
        f"{middle(ours, 'rate'):,.0f}",
        f"{middle(ours, 'p50'):.1f}",
        f"{middle(ours, 'p99'):.1f}",
        f"{middle(theirs, 'rate'):,.0f}",
        f"{100 * median(row.ratios):.0f} % ({100 * min(row.ratios):.0f}-{100 * max(row.ratios):.0f})",
        f"{cpu:.0f}+{stored:.0f}",
        f"{median(each.cpu for each in row.peer):.0f}",
    )


def write(
    path: Path,
    facts: dict[str, Any],
    pace: Pace,
    rows: Sequence[Row],
    single: Sequence[Outcome],
    walked: Walked,
    found: Sequence[Line],
) -> None:
    """Everything that was measured, every round."""
    document = {
        **facts,
        "pace": pace,
        "promises": found,
        "rows": [{**msgspec.to_builtins(row), "ratios": row.ratios} for row in rows],
        "one_by_one": single,
        "tasks": {"accepted": walked.accepted, "called": walked.called, "told": walked.told},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")

"""The figures beside their targets: a table for people, a JSON file for machines."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench.load import Outcome
from bench.rows import Pace, Row, middle
from bench.walk import Walked

SUBMITS = 3000.0
NOTES = """\
Rates are answers a second over {connections} connections; every answer was checked. Ratio: the gateway's rate as a part
of the bare handler's, pair by pair, in the same run. Processor time is that of one answer.
submit: durable when answered (synchronous_commit={synchronous_commit}, fsync={fsync}; the disk took {fdatasync_ms} ms
to keep 8 kB). The gateway runs without a worker: jobs stay in the queue, and only accepting is measured.
called, told: whole tasks one at a time on an idle gateway with its worker; from the request's first byte to the call
of the provider, and from the provider's answer (a file, still to be stored) to the callback's arrival."""


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
        _line("durable submits", SUBMITS, middle(submits, "rate"), "/s", least=True),
        _line("submit, p99", 50, middle(submits, "p99"), " ms"),
        _line("submit / bare handler", 20, 100 * median(by_name["submit"].ratios), " %", least=True),
    ]
    for name in ("record-info", "download-url"):
        ratio = 100 * median(by_name[name].ratios)
        found.append(_line(f"{name} / bare handler", 25, ratio, " %", least=True))
    found.append(_line("one submit at a time, p50", 3, middle(single, "p50"), " ms"))
    found.append(_line("submit to provider called, p50", 20, walked.called.p50, " ms"))
    found.append(_line("done to callback, p50", 50, walked.told.p50, " ms"))
    return found


def _line(measure: str, target: float, value: float, unit: str, *, least: bool = False) -> Line:
    return Line(
        measure=measure,
        target=f"{'≥' if least else '≤'} {target:,.0f}{unit}",
        seen=f"{value:,.0f}{unit}" if value >= 100 else f"{value:.1f}{unit}",
        value=round(value, 3),
        met=value >= target if least else value <= target,
    )


def show(console: Console, rows: Sequence[Row], found: Sequence[Line], facts: dict[str, Any]) -> None:
    table = Table(title="Under load, medians", title_justify="left")
    for head in ("row", "gateway /s", "p50 ms", "p99 ms", "bare /s", "ratio (least - most)", "cpu µs (+ db) | bare"):
        table.add_column(head, justify="left" if head == "row" else "right")
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)
    table = Table(title="Promises", title_justify="left")
    for head in ("measure", "target", "seen", ""):
        table.add_column(head, justify="left" if head == "measure" else "right")
    for line in found:
        table.add_row(line.measure, line.target, line.seen, "[green]met[/]" if line.met else "[red]missed[/]")
    console.print(table)
    durability, machine = facts["durability"], facts["machine"]
    console.print(
        NOTES.format(connections=rows[0].connections, fdatasync_ms=machine["fdatasync_ms"], **durability),
        style="dim",
        highlight=False,
        soft_wrap=True,
    )


def _cells(row: Row) -> tuple[str, ...]:
    ours = [each.outcome for each in row.gateway]
    cpu, stored, bare = (
        median(each.cpu for each in row.gateway),
        median(each.database_cpu for each in row.gateway),
        median(each.cpu for each in row.peer),
    )
    return (
        row.name,
        f"{middle(ours, 'rate'):,.0f}",
        f"{middle(ours, 'p50'):.1f}",
        f"{middle(ours, 'p99'):.1f}",
        f"{middle([each.outcome for each in row.peer], 'rate'):,.0f}",
        f"{100 * median(row.ratios):.0f} % ({100 * min(row.ratios):.0f} - {100 * max(row.ratios):.0f})",
        f"{cpu:.0f} (+ {stored:.0f}) | {bare:.0f}",
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

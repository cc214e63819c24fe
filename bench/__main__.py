"""Measure the gateway on this machine, beside a bare handler in the same run, and hold it against its promises.

``python -m bench`` takes about three minutes and a half, ``python -m bench --quick`` three quarters of a minute.
"""

import argparse
import asyncio
import secrets
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console

from bench import machine, report, rows, size
from bench.load import HOST, ROOT, Outcome
from bench.server import free_port, serving
from bench.walk import Walked, walk
from tessera.db.embedded import Embedded

GATEWAY = ("tessera.cli.main", "api")
"""The gateway under load, as its operator starts it."""

RESULTS = ROOT / "bench" / "results" / "latest.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the gateway on this machine.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, about half a minute")
    parser.add_argument("--folder", type=Path, help="where the database and the files lie meanwhile")
    arguments = parser.parse_args()
    pace = rows.QUICK if arguments.quick else rows.FULL
    with tempfile.TemporaryDirectory(prefix="tessera-bench-", dir=arguments.folder) as folder:
        _run(Path(folder), pace)


def _run(folder: Path, pace: rows.Pace) -> None:
    console = Console()
    began = time.monotonic()
    facts: dict[str, object] = {"at": datetime.now(UTC), "machine": machine.facts(folder)}
    database = Embedded(folder / "data" / "postgres")
    url = database.start()
    try:
        facts["durability"] = asyncio.run(machine.durability(url))
        key = f"tsk_test_{secrets.token_hex(24)}"
        environ = _settings(folder / "data", free_port(), key)
        facts["settings"] = {name: text for name, text in environ.items() if not name.endswith("_KEY")}
        postmaster = psutil.Process(int((folder / "data" / "postgres" / "postmaster.pid").read_text().split()[0]))
        console.print("whole tasks, one at a time ...", style="dim")
        walked = _walk(environ, key, folder / "notes", pace)
        measured, single = _load(environ, rows.requests(walked.files, key), postmaster, pace, console)
        console.print("a large file ...", style="dim")
        with serving(GATEWAY, int(environ["TESSERA_PORT"]), environ) as gateway:
            served = size.files(gateway, key, folder, rounds=pace.rounds, seconds=pace.seconds)
    finally:
        database.stop()
    console.print("starts ...", style="dim")
    started = size.starts(environ, rounds=pace.rounds)
    facts["seconds"] = round(time.monotonic() - began, 1)
    found = [*report.lines(measured, single, walked), *report.size_lines(served, started)]
    report.show(console, measured, found, facts)
    report.write(RESULTS, {**facts, "files": served, "starts": started}, pace, measured, single, walked, found)
    console.print(f"every round: {RESULTS.relative_to(ROOT)}")


def _settings(data: Path, port: int, key: str) -> dict[str, str]:
    """A gateway as it comes, but for a wide-open rate window and a deep purse."""
    return {
        "TESSERA_DATA_DIR": str(data),
        "TESSERA_HOST": HOST,
        "TESSERA_PORT": str(port),
        "TESSERA_RATE_LIMIT": "0",
        "TESSERA_LOG_LEVEL": "warning",
        "TESSERA_BOOTSTRAP_TEST_KEY": key,
        "TESSERA_BOOTSTRAP_TEST_CREDITS": "1000000000",
    }


def _walk(environ: dict[str, str], key: str, notes: Path, pace: rows.Pace) -> Walked:
    with serving(["bench.house", str(notes)], int(environ["TESSERA_PORT"]), environ) as gateway:
        return asyncio.run(walk(gateway, key, notes, watched=pace.watched, more=pace.records - pace.watched))


def _load(
    environ: dict[str, str],
    sent: dict[rows.Name, list[bytes]],
    database: psutil.Process,
    pace: rows.Pace,
    console: Console,
) -> tuple[list[rows.Row], list[Outcome]]:
    peer_port, port = free_port(), int(environ["TESSERA_PORT"])
    measured = []
    with serving(["bench.peer", str(peer_port)], peer_port) as peer, serving(GATEWAY, port, environ) as gateway:
        for name in ("record-info", "download-url", "submit"):
            console.print(f"{name} ...", style="dim")
            measured.append(rows.measure(name, sent[name], peer, gateway, database, pace))
        console.print("one submit at a time ...", style="dim")
        return measured, rows.one_by_one(sent["submit"], gateway, pace)


if __name__ == "__main__":
    main()

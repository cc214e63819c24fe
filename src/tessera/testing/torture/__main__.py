"""``python -m tessera.testing.torture``: break the gateway for some minutes, and see whether it kept its promises."""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
from rich.console import Console

from tessera.testing.torture import distributed, report
from tessera.testing.torture.check import Finding, check
from tessera.testing.torture.harness import FULL, Ordeal, torture

SETTLE = 0.35
"""The part of the time that is kept for everything to end."""


def main() -> None:
    arguments = _arguments()
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="tessera-torture-"))
    began = time.monotonic()
    # Its pool tells at length that the database went away; here it is us who send it away.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {text}", style="dim", highlight=False)

    try:
        good = _run(arguments, folder, console, say)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(130)
    if good and not arguments.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        console.print(f"logs and data: {folder}")
    sys.exit(0 if good else 1)


def _run(arguments: argparse.Namespace, folder: Path, console: Console, say: Callable[[str], None]) -> bool:
    """The torture, and with ``--distributed`` all that belongs to it.

    Answers whether every promise was kept. One that nothing has put to the test was not.
    """
    extra: list[Finding] = []
    if arguments.distributed:
        extra = asyncio.run(distributed.limits(folder / "limits", say))
    outcome = asyncio.run(torture(_ordeal(arguments), folder / "torture", say))
    findings = [*check(outcome.books), *extra]
    report.show(console, outcome, findings)
    if arguments.json:
        report.write(arguments.json, outcome, findings)
    if arguments.distributed:
        for workers in (1, 2, 3):
            measured = asyncio.run(distributed.throughput(workers, folder / f"load-{workers}", say))
            console.print(f"{measured.workers} workers: {measured.rate:.0f} tasks/s ({measured.tasks} tasks)")
    good = outcome.quiet and all(finding.kept for finding in findings)
    if not good or arguments.keep:
        (folder / "books.json").write_bytes(msgspec.json.encode(outcome.books))
    return good


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tessera.testing.torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="another seed is another run")
    parser.add_argument("--tasks", type=int, default=FULL.tasks)
    parser.add_argument("--minutes", type=float, default=3.0, help="for everything together")
    parser.add_argument("--distributed", action="store_true", help="two APIs, three workers, a bucket; and more")
    parser.add_argument("--lease", type=float, default=FULL.lease, help="bound of a take-over in seconds")
    parser.add_argument("--json", type=Path, help="write the report there, too")
    parser.add_argument("--keep", action="store_true", help="keep logs and data of a good run, too")
    return parser.parse_args()


def _ordeal(arguments: argparse.Namespace) -> Ordeal:
    seconds = arguments.minutes * 60
    return replace(
        distributed.MANY if arguments.distributed else FULL,
        seed=arguments.seed,
        tasks=arguments.tasks,
        seconds=seconds * (1 - SETTLE),
        settle=max(60.0, seconds * SETTLE),
        lease=arguments.lease,
    )


if __name__ == "__main__":
    main()

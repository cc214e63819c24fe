"""What a command prints: tables and words for people, JSON for scripts. Errors go to stderr."""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def data(value: object) -> None:
    """JSON for scripts, indented."""
    print(json.dumps(value, indent=2))


def line(value: object) -> None:
    """JSON on a single line, at once: whoever started us waits for it."""
    print(json.dumps(value), flush=True)


def say(text: str, *, dim: bool = False) -> None:
    """A line of words. It is never wrapped by us, so that keys and URLs can be copied; ``text`` is rich markup."""
    out.print(text, soft_wrap=True, style="dim" if dim else None)


def error(text: str) -> None:
    err.print(f"[bold red]Error:[/] [red]{escape(text)}[/]", soft_wrap=True)


def facts(rows: Mapping[str, str]) -> None:
    """Names and values, one a line. Values are plain text."""
    width = max(map(len, rows))
    for name, value in rows.items():
        say(f"[dim]{name:<{width}}[/]  {escape(_tame(value))}")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str] = frozenset()) -> None:
    """A table on a terminal; elsewhere tab-separated lines, the first one with the heads. Cells are plain text.

    A cell is never broken: where the terminal is too narrow it wraps the line itself, and ids and URLs can be copied.
    """
    grid = [list(columns), *([_tame(cell) for cell in row] for row in rows)]
    if not out.is_terminal:
        for row in grid:
            print("\t".join(row))
        return
    widths = [max(map(cell_len, column)) for column in zip(*grid, strict=True)]
    for number, row in enumerate(grid):
        cells = zip(row, widths, columns, strict=True)
        padded = (_padded(cell, width, name in right) for cell, width, name in cells)
        say(escape("  ".join(padded).rstrip()), dim=number == 0)
    if len(grid) == 1:
        say("none", dim=True)


def _padded(cell: str, width: int, to_the_right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if to_the_right else cell + space


def _tame(cell: str) -> str:
    """A text of a stranger as part of one line: it gives the terminal no orders, and ends no cell."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in cell)


def count(number: int, one: str, many: str) -> str:
    """How many of a thing: ``1 entry``, ``1,204 entries``."""
    return f"{number:,} {one if number == 1 else many}"


def program() -> str:
    """Our command as it can be typed here: bare where the shell would find this very one, else with its path."""
    typed = sys.argv[0]
    if Path(typed).name != "tessera":
        return "tessera"
    found = shutil.which("tessera")
    return "tessera" if found is not None and Path(found).resolve() == Path(typed).resolve() else typed


def moment(value: datetime) -> str:
    """A moment to the second, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def iso(value: datetime | None) -> str | None:
    """A moment for JSON."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value else None

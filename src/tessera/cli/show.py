"""What a command prints: tables and words for people, JSON for scripts. Errors go to stderr."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def data(value: object) -> None:
    """JSON for scripts, indented."""
    print(json.dumps(value, indent=2))


def line(value: object) -> None:
    """JSON on a single line, at once: whoever started us waits for it."""
    print(json.dumps(value), flush=True)


def say(text: str) -> None:
    """A line of words. It is never wrapped by us, so that keys and URLs can be copied; ``text`` is rich markup."""
    out.print(text, soft_wrap=True)


def error(text: str) -> None:
    err.print(f"[bold red]Error:[/] [red]{escape(text)}[/]", soft_wrap=True)


def facts(rows: Mapping[str, str]) -> None:
    """Names and values, one a line. Values are plain text."""
    width = max(map(len, rows))
    for name, value in rows.items():
        say(f"[dim]{name:<{width}}[/]  {escape(value)}")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str] = frozenset()) -> None:
    """A table on a terminal; tab-separated lines elsewhere, as other programs like them. Cells are plain text."""
    if not out.is_terminal:
        for row in rows:
            print("\t".join(row))
        return
    view = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        view.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        view.add_row(*map(escape, row))
    out.print(view)


def moment(value: datetime) -> str:
    """A moment to the second, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def iso(value: datetime | None) -> str | None:
    """A moment for JSON."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value else None

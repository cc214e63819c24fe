"""How the demo tells its story: ticks, a spinner and a bar on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

PLAIN_STEP = 0.25
"""How much progress makes a new line where there is no bar."""


class Stage:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._lively = console.is_terminal and not console.options.ascii_only
        self._number = 0

    def title(self, name: str, text: str) -> None:
        self._say(f"[bold]{name}[/]  [dim]{escape(text)}[/]\n" if self._lively else f"{name}: {escape(text)}")

    def part(self, name: str, text: str) -> None:
        """The heading of a part: the steps below it belong together."""
        self._say(f"\n[bold cyan]{name}[/]  [dim]{escape(text)}[/]" if self._lively else f"\n{name} ({escape(text)})")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """One step of the story: what is being done while the block runs, and its number."""
        self._number += 1
        if not self._lively:
            self._say(f"{self._number}. {escape(text)}")
            yield
            return
        with self._console.status(f"[bold]{escape(text)}[/]", spinner="dots"):
            yield
        self._say(f"[bold green]✓[/] [bold]{escape(text)}[/]")

    @contextmanager
    def progress(self, text: str) -> Iterator[Callable[[float], None]]:
        """A step with a measure: call what this answers with 0.0 to 1.0."""
        if self._lively:
            yield from self._bar(text)
            return
        told = 0.0

        def tell(part: float) -> None:
            nonlocal told
            if part - told >= PLAIN_STEP or (part >= 1.0 > told):
                told = part
                self.note(f"progress {part:.0%}")

        with self.step(text):
            yield tell

    def _bar(self, text: str) -> Iterator[Callable[[float], None]]:
        columns = (SpinnerColumn(), TextColumn("[bold]{task.description}[/]"), BarColumn(), TaskProgressColumn())
        with Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True) as bar:
            task = bar.add_task(text, total=1.0)
            yield lambda part: bar.update(task, completed=part)
        self._number += 1
        self._say(f"[bold green]✓[/] [bold]{escape(text)}[/]")

    def note(self, text: str) -> None:
        """A fact below the step."""
        self._say(f"  [dim]{escape(text)}[/]" if self._lively else f"   {escape(text)}")

    def summary(self, title: str, rows: Mapping[str, str]) -> None:
        if not self._lively:
            self._say(f"\n{title}")
            for name, value in rows.items():
                self._say(f"  {name}: {escape(value)}")
            return
        self._console.print()
        self._console.rule(f"[bold]{title}[/]", style="green")
        width = max(map(len, rows))
        for name, value in rows.items():
            self._say(f"[dim]{name:<{width}}[/]  {escape(value)}")

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

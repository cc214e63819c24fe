"""What a gateway says at its start: where it listens, and on the first start the keys, once."""

import os

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from tessera import __version__
from tessera.cli import show
from tessera.config import Config
from tessera.wiring import House, Welcome

SAMPLE = '{"prompt": "A lighthouse at dusk", "size": "1:1"}'


class Voice:
    """Speaks to people, or with ``as_json`` to scripts: one line when ready. ``listens`` says whether there is HTTP."""

    def __init__(self, config: Config, *, as_json: bool, listens: bool) -> None:
        self._config = config
        self._listens = listens
        self._json = as_json
        self._welcomed = False

    def ready(self, house: House) -> None:
        """The process does its work from now on."""
        if self._json:
            self._welcomed = True
            show.line(self._facts(house))
            return
        self.welcome(house)
        what = "is ready at" if self._listens else "worker is ready; its links are built on"
        show.say(f"[bold green]Tessera {__version__}[/] {what} [bold]{escape(self._config.base_url)}[/]")
        providers = ", ".join(sorted(house.routes.providers))
        if self._listens and self._config.public_url is not None:
            show.say(f"[dim]listening on {escape(self._config.host)}:{self._config.port}[/]")
        show.say(f"[dim]data {escape(str(self._config.data_dir.resolve()))}, providers {escape(providers)}[/]")
        show.out.file.flush()

    def welcome(self, house: House) -> None:
        """The keys of the first start, if this is one and nobody has shown them yet."""
        welcome = house.welcome
        if welcome is None or self._welcomed:
            return
        self._welcomed = True
        if self._json:
            show.line({"event": "first start", "first_start": _keys(welcome)})
            return
        if show.out.is_terminal:
            show.out.print(_panel(welcome))
        else:
            show.say("First start. These are shown once:")
            show.facts(_keys(welcome))
        show.say("Make a first picture:\n")
        show.say(escape(_sample(self._config.base_url, welcome.test_key)) + "\n")

    def _facts(self, house: House) -> dict[str, object]:
        return {
            "event": "ready",
            "url": self._config.base_url,
            "pid": os.getpid(),
            "version": __version__,
            "data_dir": str(self._config.data_dir.resolve()),
            "providers": sorted(house.routes.providers),
            "first_start": _keys(house.welcome) if house.welcome else None,
        }


def _keys(welcome: Welcome) -> dict[str, str]:
    return {
        "account": welcome.account_id,
        "test_key": welcome.test_key,
        "live_key": welcome.live_key,
        "webhook_secret": welcome.webhook_secret,
    }


def _panel(welcome: Welcome) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(style="bold", overflow="fold")
    grid.add_row("test key", welcome.test_key)
    grid.add_row("", "[not bold dim]free: runs on the built-in sandbox[/]")
    grid.add_row("live key", welcome.live_key)
    grid.add_row("", "[not bold dim]runs on the providers whose keys you set[/]")
    grid.add_row("webhook secret", welcome.webhook_secret)
    grid.add_row("", "[not bold dim]verifies the callbacks[/]")
    return Panel(
        grid, title="First start: keep these, they are shown once", border_style="green", padding=1, expand=False
    )


def _sample(url: str, key: str) -> str:
    return (
        f"  curl {url}/api/v1/gpt4o-image/generate \\\n"
        f"    -H 'Authorization: Bearer {key}' \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{SAMPLE}'"
    )

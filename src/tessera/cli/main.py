"""The command ``tessera``.

Commands import what they need when they run: asking for help must not load a web server.
"""

import sys
from typing import Annotated

import typer

from tessera import __version__
from tessera.cli import accounts, backup, credits, demo, doctor, keys, migrate, serve, settings, show, webhooks
from tessera.cli.fail import explain

app = typer.Typer(
    name="tessera",
    help="One API for generative media that you run yourself.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve.serve)
app.command()(serve.api)
app.command()(serve.worker)
app.command()(demo.demo)
app.command("config")(settings.config)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(doctor.doctor)
app.command()(migrate.migrate)
app.add_typer(accounts.app, name="accounts")
app.add_typer(keys.app, name="keys")
app.add_typer(credits.app, name="credits")
app.add_typer(webhooks.app, name="webhooks")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tessera {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; the process ends here."""
    try:
        app()
    except Exception as error:  # what explain does not know goes on, with its traceback
        failure = explain(error)
        if failure is None:
            raise
        show.error(str(failure))
        sys.exit(failure.code)


if __name__ == "__main__":
    main()

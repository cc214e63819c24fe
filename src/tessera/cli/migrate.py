"""``tessera migrate``: the schema brought up to date, while gateways of the release before go on working."""

from typing import Annotated

import typer
from rich.markup import escape

from tessera.cli import office, show
from tessera.cli.options import DataDir, Json


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is to be done; status 1 where that is anything.")
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Bring the database's schema up to date, also while gateways run.

    Every start of a gateway does the same; this is for whoever wants it done before, and at a time of their choice.
    """
    config = office.settings(data_dir)
    from tessera.wiring import upgrade

    found, steps = office.run(upgrade(config, check=check))
    if as_json:
        done, pending = ([], steps) if check else (steps, [])
        show.data({"before": found.revision, "done": list(done), "pending": list(pending)})
    else:
        show.say(_heading(found.revision, check=check, any_steps=bool(steps)))
        for step in steps:
            show.say(f"  {escape(step)}")
    if check and steps:
        raise typer.Exit(1)


def _heading(revision: str | None, *, check: bool, any_steps: bool) -> str:
    had = f"The schema was {revision}" if revision else "There was no schema"
    if not any_steps:
        return f"The schema is {revision}: nothing to do."
    if check:
        return f"{had.replace('was', 'is')}. To be done:"
    return f"{had}. Done:"

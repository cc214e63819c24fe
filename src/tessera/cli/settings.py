"""``tessera config``: the settings in force, and where each came from."""

from tessera.cli import options, show
from tessera.cli.options import File, Json


def config(file: File = None, as_json: Json = False) -> None:
    """Show every setting: its value, and who set it. Secrets are masked."""
    from tessera.config import describe

    rows = describe(options.settings(file))
    if as_json:
        show.data([{"name": r.name, "env": r.env, "value": r.value, "origin": r.origin, "doc": r.doc} for r in rows])
        return
    show.table(["setting", "value", "set by"], ([row.name, row.value, row.origin] for row in rows))

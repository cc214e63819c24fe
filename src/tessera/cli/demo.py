"""``tessera demo``: a gateway of its own, used through its HTTP API only."""

from pathlib import Path
from typing import Annotated

import typer

from tessera.cli.options import Json


def demo(
    output: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("demo-output"),
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder in which its gateway keeps its data. (Default: gateway, in the output folder.)",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a gateway for a moment and do the main job with it: upload, edit, callback, direct download.

    The gateway stops at the end. Its data stays, and the last lines tell how to serve it again.
    With --json the story goes to stderr.
    """
    from tessera.cli import story

    story.tell(output, data_dir or output / "gateway", as_json=as_json)

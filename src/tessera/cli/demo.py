"""``tessera demo``: a gateway of its own, used through its HTTP API only."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tessera.cli.options import Json


class Part(StrEnum):
    """What the demo can make, in its order."""

    PICTURE = "picture"
    FILM = "film"
    SONG = "song"


def demo(
    output: Annotated[Path, typer.Option(help="Folder for what is made.")] = Path("demo-output"),
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder in which its gateway keeps its data. (Default: gateway, in the output folder.)",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        list[Part] | None,
        typer.Option(help="Make this and not the rest; may be given twice. (Default: all three.)", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a gateway for a moment and do the main job with it: a picture, a film and a song, by its HTTP API.

    Uploads, callbacks in stages, signatures and direct downloads are all there. The gateway stops at the end. Its data
    stays, and the last lines tell how to serve it again. With --json the story goes to stderr.
    """
    from tessera.cli import story

    parts = [part for part in Part if not only or part in only]
    story.tell(output, data_dir or output / "gateway", parts, as_json=as_json)

"""``tessera demo``: a gateway of its own, used through its HTTP API only."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("demo-output"),
) -> None:
    """Start a gateway for a moment and do the main job with it: upload, edit, callback, direct download."""
    from tessera.cli import story

    story.tell(output)

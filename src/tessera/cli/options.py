"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tessera.config import Config, LogFormat, LogLevel, load
from tessera.domain import task

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the embedded database and the files. (Default: ./data.)", show_default=False),
]
File = Annotated[
    Path | None, typer.Option("--config", help="Settings file. (Default: tessera.toml.)", show_default=False)
]
Mode = Annotated[
    task.Mode, typer.Option(help="test is the sandbox, live the providers. What may cost money has to be asked for.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on. (Default: 127.0.0.1.)", show_default=False)]
Port = Annotated[
    int | None, typer.Option(help="Port to listen on, 0 for a free one. (Default: 8787.)", show_default=False)
]
PublicUrl = Annotated[str | None, typer.Option(help="URL under which callers reach the gateway.", show_default=False)]
Level = Annotated[LogLevel | None, typer.Option("--log-level", help="Least level that is logged.", show_default=False)]
Form = Annotated[LogFormat | None, typer.Option("--log-format", help="How log lines look.", show_default=False)]


def settings(file: Path | None = None, **flags: object) -> Config:
    """The settings of this command: flags before environment before file. Raises SettingError."""
    return load(os.environ, file, flags)

"""``tessera backup`` and ``tessera restore``: the embedded database and the local store, in one file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tessera.cli import office, show
from tessera.cli.options import DataDir, Json

if TYPE_CHECKING:
    from tessera.wiring import Report

NAME = "FILE"
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def backup(
    file: Annotated[Path, typer.Argument(metavar=NAME, help="The file to write, a .tar.gz.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Write all that a gateway knows into one file, also while it runs.

    The file holds every secret of the gateway but its settings: keep it as safe as those.
    """
    config = office.settings(data_dir)
    from tessera.wiring import open_backup

    async def story(part: Callable[[float], None]) -> "Report":
        async with open_backup(config) as made:
            return await made.write(file, force=force, part=part)

    with _progress(f"Back up {config.data_dir}", quiet=as_json) as part:
        report = office.run(story(part))
    _print(report, as_json=as_json)
    if not as_json and report.replaced + report.gone:
        show.say(f"[dim]{report.gone} files were deleted and {report.replaced} replaced meanwhile; that is no harm.[/]")


def restore(
    file: Annotated[Path, typer.Argument(metavar=NAME, help="A file of `tessera backup`.", show_default=False)],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a gateway anew from a backup, in a data folder that is empty or missing.

    Every file is checked before anything counts. Stop the gateway that the backup is of: two would run the same tasks.
    """
    config = office.settings(data_dir)
    from tessera.cli import place
    from tessera.wiring import restore as make

    fresh = not config.data_dir.exists()
    try:
        with place.lock(config.data_dir, "tessera restore"), _progress(f"Restore {file}", quiet=as_json) as part:
            report = office.run(make(config, file, part))
    except BaseException:
        if fresh:
            _forget(config.data_dir)
        raise
    _print(report, as_json=as_json)
    if not as_json:
        show.say(f"[dim]Next: tessera serve --data-dir {escape(str(config.data_dir))}[/]")


def _forget(folder: Path) -> None:
    """Remove a folder that only our lock was put into."""
    from tessera.cli.place import LOCK

    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {LOCK}:
        (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()


@contextmanager
def _progress(text: str, *, quiet: bool) -> Iterator[Callable[[float], None]]:
    if quiet:
        yield lambda part: None
        return
    from tessera.cli.stage import Stage

    with Stage(show.err).progress(text) as part:
        yield part


def _print(report: "Report", *, as_json: bool) -> None:
    if as_json:
        show.data(
            {
                "file": str(report.path),
                "bytes": report.bytes,
                "files": report.files,
                "gone": report.gone,
                "replaced": report.replaced,
                "rows": dict(report.counts),
                "schema": report.revision,
                "version": report.version,
                "made_at": report.made_at,
            }
        )
        return
    rows = report.counts
    files = f"{report.files}" if report.files is not None else "none: they are in the bucket, which you back up there"
    link = "set TESSERA_SIGNING_KEY as it was, or old links end" if report.signing_key_is_a_setting else "in the backup"
    show.facts(
        {
            "backup": f"{report.path} ({_size(report.bytes)})",
            "made": f"{report.made_at} by Tessera {report.version}, schema {report.revision}",
            "rows": f"{rows['tasks']} tasks, {rows['ledger']} ledger entries, {rows['accounts']} accounts",
            "files": files,
            "signing key": link,
        }
    )


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 else f"{size:.1f} {UNITS[unit]}"

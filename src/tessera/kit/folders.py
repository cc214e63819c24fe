"""Folders that are nobody's business but their owner's."""

from pathlib import Path


def private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, each for its owner alone. One that is there stays as it is.

    Raises FileExistsError or NotADirectoryError where a file is in the way.
    """
    try:
        # `parents` would make the ones above with the usual mode, which lets everybody in.
        folder.mkdir(mode=0o700)
    except FileNotFoundError:
        private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        if not folder.is_dir():
            raise

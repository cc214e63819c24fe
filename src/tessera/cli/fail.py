"""Errors as the person at the terminal reads them: one sentence and an exit code, never a traceback.

Code 2 means that the command was not begun because it was called or set up wrongly; code 1 that it failed.
"""

import socket
import subprocess

from tessera.config import SettingError
from tessera.domain.errors import ConfigError, TesseraError


class Fail(Exception):
    """A command cannot go on. The message is a sentence that says what to do next; ``code`` is the exit status."""

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def explain(error: Exception) -> Fail | None:
    """The error in a sentence; None for one that we did not foresee, which is a fault of ours and keeps its trace."""
    match error:
        case Fail():
            return error
        case SettingError() | ConfigError():
            return Fail(_sentence(error), code=2)
        case TesseraError():
            return Fail(_sentence(error))
        case subprocess.SubprocessError():
            return Fail("The embedded PostgreSQL did not start; postgres/log in the data folder says why.")
        case _ if _is_database(error):
            return Fail(
                f"The database does not answer as it should: {_text(error)}. Check TESSERA_DATABASE_URL; "
                "without one, postgres/log in the data folder."
            )
        case OSError(filename=str(name)):
            return Fail(f"{name} cannot be used: {error.strerror}.")
    return None


def _is_database(error: Exception) -> bool:
    """What asyncpg and a lost connection raise. The library itself is at home in db/ and is not imported here."""
    lost = isinstance(error, ConnectionError | TimeoutError | socket.gaierror)
    return lost or type(error).__module__.partition(".")[0] == "asyncpg"


def _sentence(error: Exception) -> str:
    text = _text(error)
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _text(error: Exception) -> str:
    """The message on one line; some errors have none."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__

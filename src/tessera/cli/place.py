"""Two things that only one gateway can have: a port to listen on, and a data folder."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tessera.cli.fail import Fail
from tessera.kit import folders

BACKLOG = 2048
LOCK = "serve.lock"


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens already: connections wait until the gateway takes them. Port 0 takes a free one."""
    try:
        family = _family(host, port)
        both = family is socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
        raise Fail(
            f"Cannot listen on {host}:{port} ({why}); choose another with --host and --port (0 takes a free one)."
        ) from error


def _family(host: str, port: int) -> socket.AddressFamily:
    """IPv4 where the name has it: that is what callers of a name such as localhost try in any case."""
    found = {entry[0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    return socket.AF_INET if socket.AF_INET in found else socket.AF_INET6


@contextmanager
def lock(data_dir: Path, holder: str) -> Iterator[None]:
    """Hold the data folder; ``holder`` says who we are. The system lets go of it when the process is gone."""
    try:
        folders.private(data_dir)
        number = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise Fail(f"The data folder {data_dir} cannot be used: {error.strerror}.", code=2) from error
    with os.fdopen(number, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            other = file.read().strip() or "another process"
            raise Fail(
                f"The data folder {data_dir} is in use by a gateway already ({other}); stop that one, "
                "or give this one a folder of its own with --data-dir."
            ) from error
        file.truncate(0)
        file.write(f"{holder}\n")
        file.flush()
        yield
        file.truncate(0)

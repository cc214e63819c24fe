"""Servers under test: each a process of its own, started as its user would, stopped by its number."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psutil

from bench.load import HOST, ROOT

PATIENCE = 60.0
"""Seconds that a server gets to start, or to stop."""


class Server:
    """A running process that listens on ``port``."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.port = port
        self.process = psutil.Process(process.pid)

    def cpu(self) -> float:
        """Seconds of processor time that it has used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        """Resident bytes."""
        return int(self.process.memory_info().rss)


def free_port() -> int:
    """A port that nobody listens on now. Links carry it, so it has to be known before the start."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: Sequence[str], port: int, environ: Mapping[str, str] | None = None) -> Iterator[Server]:
    """``python -m COMMAND`` until the block ends; entered when it answers ``/healthz``."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, env=_environ(environ or {}), stdout=subprocess.DEVNULL
    )
    try:
        _await_ready(process, port)
        yield Server(process, port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _environ(more: Mapping[str, str]) -> dict[str, str]:
    """Ours, without settings and provider keys that would change what is measured."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("TESSERA_")}
    kept = {name: text for name, text in kept.items() if not name.endswith(("_API_KEY", "_KEY", "_SECRET", "_TOKEN"))}
    return {**kept, **more}


def _await_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it was ready")
        if not _listens(process.pid, port):
            time.sleep(0.02)
            continue
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} was not ready within {PATIENCE:g} s")


def _listens(pid: int, port: int) -> bool:
    """Whether this very process has the port: on a busy machine another one may have been quicker."""
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)

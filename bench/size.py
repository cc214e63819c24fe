"""A large file with ranges beside a bare file server; the time until the gateway is ready; what it holds when idle."""

import os
import socket
import time
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import msgspec

from bench.load import HOST
from bench.server import Server, free_port, serving

FILE = 100_000_000
RANGE = 8_000_000
CONNECTIONS = 4
SERVE = ("tessera.cli.main", "serve")
IDLE = 3.0
"""Seconds of quiet before the memory is read."""


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """Megabytes (10^6) a second of each round: whole files, and ranges; theirs are those of the bare file server."""

    whole: list[float]
    ranges: list[float]
    their_whole: list[float]
    their_ranges: list[float]

    @property
    def ratios(self) -> tuple[float, float]:
        """Ours as a part of theirs: whole files, ranges."""
        return median(self.whole) / median(self.their_whole), median(self.ranges) / median(self.their_ranges)


class Starts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the start of the process to its first answer, on an existing data folder; idle bytes resident."""

    ready: list[float]
    memory: int


def files(gateway: Server, key: str, folder: Path, *, rounds: int, seconds: float) -> Files:
    """Serve the same file from both, in turns. The file is uploaded to the gateway like any other."""
    path = folder / "large.bin"
    path.write_bytes(os.urandom(1_000_000) * (FILE // 1_000_000))
    place = urlsplit(_upload(gateway, key, path)).path
    port = free_port()
    found: dict[str, list[float]] = {name: [] for name in Files.__struct_fields__}
    with serving(["bench.fileserver", str(port), str(path)], port):
        for _ in range(rounds):
            found["their_whole"].append(_pull(port, "/file", FILE, seconds))
            found["whole"].append(_pull(gateway.port, place, FILE, seconds))
            found["their_ranges"].append(_pull(port, "/file", RANGE, seconds))
            found["ranges"].append(_pull(gateway.port, place, RANGE, seconds))
    return Files(**found)


def starts(environ: Mapping[str, str], *, rounds: int) -> Starts:
    """Start the whole gateway, embedded database included, on a data folder that is there already."""
    ready, memory = [], []
    for _ in range(rounds):
        began = time.monotonic()
        with serving(SERVE, int(environ["TESSERA_PORT"]), environ) as server:
            ready.append(time.monotonic() - began)
            time.sleep(IDLE)
            memory.append(server.memory())
    return Starts(ready=ready, memory=max(memory))


def _upload(gateway: Server, key: str, path: Path) -> str:
    """The link of the uploaded file."""
    edge = "bench-edge"
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="uploadPath"\r\n\r\nbench\r\n'.encode(),
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'.encode(),
        b"Content-Type: application/octet-stream\r\n\r\n",
        path.read_bytes(),
        f"\r\n--{edge}--\r\n".encode(),
    ]
    head = {"Authorization": f"Bearer {key}", "Content-Type": f"multipart/form-data; boundary={edge}"}
    url = f"http://{HOST}:{gateway.port}/api/file-stream-upload"
    request = urllib.request.Request(url, b"".join(parts), head)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(msgspec.json.decode(answer.read())["data"]["downloadUrl"])


def _pull(port: int, path: str, size: int, seconds: float) -> float:
    """Megabytes a second over a few connections, each of which asks for ``size`` bytes again and again."""
    began = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        got = list(pool.map(lambda lane: _pull_one(port, path, size, lane, began + seconds), range(CONNECTIONS)))
    return sum(got) / 1e6 / (time.monotonic() - began)


def _pull_one(port: int, path: str, size: int, lane: int, deadline: float) -> int:
    """Bytes that one connection got until the deadline; the last answer is read to its end."""
    total, turn, buffer = 0, lane, memoryview(bytearray(1 << 20))
    with socket.create_connection((HOST, port)) as wire:
        while time.monotonic() < deadline:
            start = (turn * size) % FILE if size < FILE else 0
            turn += CONNECTIONS
            last = min(start + size, FILE) - 1
            asked = f"Range: bytes={start}-{last}\r\n" if size < FILE else ""
            wire.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n{asked}\r\n".encode())
            total += _read(wire, buffer, last - start + 1, b" 206 " if asked else b" 200 ")
    return total


def _read(wire: socket.socket, buffer: memoryview, size: int, status: bytes) -> int:
    """One answer. Raises RuntimeError where it is not the one that was asked for."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += wire.recv(1024) or b"\r\n\r\n"
    head, _, rest = head.partition(b"\r\n\r\n")
    length = b"content-length: %d" % size
    if status not in head.split(b"\r\n", 1)[0] or length not in head.lower():
        raise RuntimeError(f"not {size} bytes: {head[:400]!r}")
    left = size - len(rest)
    while left:
        got = wire.recv_into(buffer, min(left, len(buffer)))
        if not got:
            raise RuntimeError(f"{left} bytes are missing")
        left -= got
    return size

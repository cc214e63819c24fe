"""What the numbers were measured on, and proof that a commit is a commit."""

import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import asyncpg
import psutil

LIBRARIES = ("asyncpg", "httptools", "litestar", "msgspec", "pgqueuer", "starlette", "uvicorn", "uvloop")
DURABILITY = ("server_version", "synchronous_commit", "fsync", "full_page_writes", "wal_sync_method", "commit_delay")


def facts(folder: Path) -> dict[str, object]:
    """The machine, the versions, and how long the disk under ``folder`` takes to keep 8 kB."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_before": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "file_system": _file_system(folder),
        "fdatasync_ms": round(_sync(folder), 3),
    }


async def durability(url: str) -> dict[str, str]:
    """What the gateway's own database says of its settings."""
    connection = await asyncpg.connect(url)
    try:
        return {name: str(await connection.fetchval(f"SHOW {name}")) for name in DURABILITY}
    finally:
        await connection.close()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor()


def _file_system(folder: Path) -> str:
    parts = [part for part in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(part.mountpoint)]
    return max(parts, key=lambda part: len(part.mountpoint)).fstype if parts else "unknown"


def _sync(folder: Path) -> float:
    """Median milliseconds of a write of 8 kB and an fdatasync."""
    took = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(b"\0" * 8192)
            getattr(os, "fdatasync", os.fsync)(file.fileno())
            took.append(time.perf_counter() - began)
    return 1000 * sorted(took)[len(took) // 2]

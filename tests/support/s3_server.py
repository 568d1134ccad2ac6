"""An S3 server on loopback, moto's. ``python -m support.s3_server`` prints its address and serves until stdin ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any


def without_own_header(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Without the header ``Server``, which werkzeug sends, too: aiohttp in development mode refuses a second one."""

    def wrapped(environ: Any, start: Callable[..., Any]) -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start(status, [pair for pair in headers if pair[0].lower() != "server"], *more)

        return app(environ, begin)

    return wrapped


def main() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # one connection for many requests, as everywhere

        def log(self, *_: Any) -> None:
            """Nothing."""

    app = without_own_header(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

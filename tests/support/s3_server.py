"""An S3 server on loopback, moto's. ``python -m support.s3_server FILE`` prints its address and serves till stdin ends.

Each request becomes a line of the file.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def recorded(app: Callable[..., Iterable[bytes]], requests: Path) -> Callable[..., Iterable[bytes]]:
    """The app with its requests in a file.

    And without the header ``Server``, which werkzeug sends, too: aiohttp in development mode refuses a second one.
    """

    def wrapped(environ: Any, start: Callable[..., Any]) -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start(status, [pair for pair in headers if pair[0].lower() != "server"], *more)

        with requests.open("a") as file:
            file.write(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ.get('HTTP_RANGE', '')}\n")
        return app(environ, begin)

    return wrapped


def main() -> None:
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # one connection for many requests, as everywhere

        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
            """Nothing."""

    app = recorded(create_backend_app("s3"), Path(sys.argv[1]))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

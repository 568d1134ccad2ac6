"""Opens whatever a log can be read from: what ``open_source`` takes, URLs, and paths in a file system."""

from __future__ import annotations

import os
from typing import Any

from trackparse.errors import OptionError
from trackparse.sources.source import Source, open_source
from trackparse.sources.urls import check_is_no_collapsed_url, redacted_url, scheme_of


def open_anywhere(source: Any, filesystem: Any = None) -> Source:
    """A ``Source`` over anything that ``open_source`` takes, a URL, or a path in ``filesystem``.

    OptionError for a URL that cannot be used; OSError or DownloadError if there is nothing to read.
    """
    if isinstance(source, Source) or not isinstance(source, str | os.PathLike):
        return open_source(source)
    scheme = scheme_of(source)
    if scheme == "https":
        # Needs urllib3, which is an extra.
        from trackparse.sources.download import open_url

        try:
            return open_url(os.fspath(source))
        except ValueError as error:  # about the URL
            raise OptionError(str(error)) from None
    if scheme == "http":
        raise OptionError(
            f"{redacted_url(os.fspath(source))}: not encrypted: use https://",
            advice="trackparse.client.open_url(url, allow_http=True) opens it all the same",
        )
    if scheme or filesystem is not None:
        # pyarrow.fs takes a while to import, and most logs are local.
        from trackparse.sources.filesystem import open_stored

        return open_stored(source, filesystem)
    check_is_no_collapsed_url(source)
    return open_source(source)

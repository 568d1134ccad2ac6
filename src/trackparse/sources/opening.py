"""Opens whatever a log can be read from: what ``open_source`` takes, URLs, and paths in a file system."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from trackparse.errors import OptionError
from trackparse.sources.source import Source, open_source
from trackparse.sources.urls import check_has_no_nul, check_is_no_collapsed_url, redacted_url, scheme_of


def _download(url: str) -> Source:
    # Needs urllib3, which is an extra.
    from trackparse.sources.download import open_url

    try:
        return open_url(url)
    except ValueError as error:  # about the URL
        raise OptionError(str(error)) from None


def _refuse_http(url: str) -> Source:
    raise OptionError(
        f"{redacted_url(url)}: not encrypted: use https://",
        advice="trackparse.client.open_url(url, allow_http=True) opens it all the same",
    )


# What opens a URL that is in no file system, by its scheme.
_OPENERS: Final[dict[str, Callable[[str], Source]]] = {"https": _download, "http": _refuse_http}


def is_in_no_filesystem(place: object) -> bool:
    """Whether it is a URL that can be opened, and neither listed nor compared with a file."""
    return scheme_of(place) in _OPENERS


def open_anywhere(source: Any, filesystem: Any = None) -> Source:
    """A ``Source`` over anything that ``open_source`` takes, a URL, or a path in ``filesystem``.

    OptionError for a URL that cannot be used; OSError or DownloadError if there is nothing to read.
    """
    if isinstance(source, Source) or not isinstance(source, str | os.PathLike):
        return open_source(source)
    check_has_no_nul(source)
    scheme = scheme_of(source)
    if scheme in _OPENERS:
        return _OPENERS[scheme](os.fspath(source))
    if scheme or filesystem is not None:
        # pyarrow.fs takes a while to import, and most logs are local.
        from trackparse.sources.filesystem import open_stored

        return open_stored(source, filesystem)
    check_is_no_collapsed_url(source)
    return open_source(source)

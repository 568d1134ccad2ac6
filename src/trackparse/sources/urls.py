"""URLs as text: which texts are URLs, and how messages show one. Opens nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from trackparse.errors import OptionError

# Through pyarrow.fs; any other store through ``filesystem=``.
STORES: Final = ("s3", "gs", "hdfs", "file")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # one letter is a drive of Windows
# What pathlib makes of a URL.
_COLLAPSED: Final = re.compile(r"(s3|gs|hdfs|https?):/(?!/)", re.IGNORECASE)


def scheme_of(place: object) -> str:
    """The scheme of a URL, in small letters; empty for anything else. A ``Path`` is never a URL."""
    match = _URL.match(place) if isinstance(place, str) else None
    return match[1].lower() if match else ""


def redacted_url(url: str) -> str:
    """The URL as messages show it: without user and query, because a key or a signature may stand there."""
    scheme, _, rest = url.partition("://")
    place = rest.partition("?")[0]
    if scheme.lower() in ("http", "https"):
        place = place.partition("#")[0]  # in a store it is a character like any other
    authority, slash, path = place.partition("/")
    user, colon, port = authority.partition(":")
    if colon and "@" not in authority and not port.isdecimal() and not user.startswith("["):
        # A secret key that holds a slash, and was not encoded.
        authority, slash, path = place.rpartition("@")[2].partition("/")
    return f"{scheme.lower()}://{authority.rpartition('@')[2]}{slash}{path}"


def name_of(place: str | os.PathLike[str]) -> str:
    """How messages call it."""
    return redacted_url(os.fsdecode(place)) if scheme_of(place) else os.fsdecode(place)


def check_is_no_collapsed_url(path: str | os.PathLike[str]) -> None:
    """OptionError for ``Path("s3://lake/x.zip")``, which is ``s3:/lake/x.zip``, unless there is a folder ``s3:``."""
    text = os.fsdecode(path)
    if _COLLAPSED.match(text) and not Path(text.partition("/")[0]).exists():
        shown = redacted_url(text.replace(":/", "://", 1)).replace("://", ":/", 1)
        raise OptionError(f"{shown}: a URL has two slashes; pathlib drops one: hand over the URL as a str")


def unknown_scheme(url: str) -> OptionError:
    """The error for a URL of an unknown scheme."""
    return OptionError(
        f"{redacted_url(url)}: unknown scheme {scheme_of(url)!r}: expected one of: {', '.join(STORES)}, https",
        advice="for another store, hand over its file system as filesystem=, and the path in it",
        option="filesystem",
    )


def joined(folder: str, name: str) -> str:
    """The URL of a file in the folder that a URL names. The query stays at the end."""
    base, mark, query = folder.partition("?")
    return f"{base.rstrip('/') if not base.endswith('://') else base}/{name}{mark}{query}"


def with_suffix(url: str, suffix: str) -> str:
    """The URL with another suffix of its last part."""
    base, mark, query = url.partition("?")
    folder, _, name = base.rpartition("/")
    return f"{folder}/{PurePosixPath(name).with_suffix(suffix)}{mark}{query}"


def local_path(url: str) -> str | None:
    """The path that a ``file://`` URL of this machine names; None for any other URL."""
    host, slash, path = url.partition("://")[2].partition("/")
    if scheme_of(url) != "file" or host not in ("", "localhost"):
        return None
    return unquote(slash + path)

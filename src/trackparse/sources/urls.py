"""URLs as text: which texts are URLs, and how messages show one. Opens nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from trackparse.errors import OptionError

# Through pyarrow.fs; any other store through ``filesystem=``.
STORES: Final = ("s3", "gs", "hdfs", "file")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # one letter is a drive of Windows
# What pathlib makes of a URL, and a URL without its slashes.
_COLLAPSED: Final = re.compile(r"(s3|gs|hdfs|https?):(?!//)/?", re.IGNORECASE)


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


def plain_url(url: str) -> str:
    """What all spellings of a URL of S3 or Google have in common, without user and query; another one as messages show
    it.
    """
    scheme, _, path = redacted_url(url).partition("://")
    return stored_url(scheme, unquote(path)) if scheme in ("s3", "gs") else f"{scheme}://{path}"


def stored_url(kind: str, path: str) -> str:
    """A URL for a path in a kind of store."""
    parts = (part for part in path.split("/") if part)
    return f"{kind}://{'/'.join(parts).replace('%', '%25').replace('?', '%3F')}"


def name_of(place: str | os.PathLike[str]) -> str:
    """How messages call it."""
    return redacted_url(os.fsdecode(place)) if scheme_of(place) else os.fsdecode(place)


def check_has_no_nul(place: str | os.PathLike[str]) -> None:
    """OptionError for a name with a NUL in it. Python's own error for one does not name it."""
    if "\0" in os.fsdecode(place):
        raise OptionError(f"{name_of(place)!r}: no file has a NUL in its name")


def check_is_no_collapsed_url(path: str | os.PathLike[str]) -> None:
    """OptionError for ``s3:lake/x.zip``, and for ``Path("s3://lake/x.zip")``, which is ``s3:/lake/x.zip``.

    Unless a folder or a file ``s3:`` or ``s3:lake`` is there.
    """
    text = os.fsdecode(path)
    found = _COLLAPSED.match(text)
    if found is None or Path(text.partition("/")[0]).exists():
        return
    shown = found[0] + redacted_url(f"s3://{text[found.end() :]}").removeprefix("s3://")
    if found[0].endswith("/"):
        raise OptionError(f"{shown}: a URL has two slashes; pathlib drops one: hand over the URL as a str")
    raise OptionError(
        f"{shown}: a URL begins with {found[1].lower()}://; if this is a path of this machine, write ./{shown}"
    )


def unknown_scheme(url: str, *, written: bool = False) -> OptionError:
    """The error for a URL of an unknown scheme. ``written``: it is no source, but a place to write to."""
    known = ", ".join(STORES if written else (*STORES, "https"))
    return OptionError(
        f"{redacted_url(url)}: unknown scheme {scheme_of(url)!r}: expected one of: {known}",
        advice="for another store, hand over its file system as filesystem=, and the path in it",
        option="filesystem",
    )


def local_path(url: str) -> str | None:
    """The path that a ``file://`` URL of this machine names; None for any other URL."""
    host, slash, path = url.partition("://")[2].partition("/")
    if scheme_of(url) != "file" or host not in ("", "localhost"):
        return None
    return unquote(slash + path)

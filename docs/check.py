"""Looks through the built site: each link in it leads somewhere, and no page loads anything from another server.

python docs/check.py FOLDER
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
_LOADED_BY_STYLE = re.compile(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]*)")


class Page(HTMLParser):
    """The ids of a page, the links on it, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        if values.get(_LOADED.get(tag, "")):
            self.loaded.add(values[_LOADED[tag]])


def main(folder: Path) -> int:
    """Print what is wrong; 1 if anything is."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    wrong = []
    for path, page in pages.items():
        for link in sorted(page.links | page.loaded):
            if why := _wrong(link, path, pages, loaded=link in page.loaded):
                wrong.append(f"{path.relative_to(folder)}: {link}: {why}")
    for path in folder.rglob("*.css"):
        for url in _LOADED_BY_STYLE.findall(path.read_text(encoding="utf-8")):
            wrong.append(f"{path.relative_to(folder)}: {url}: loaded from another server")
    links = sum(len(page.links) for page in pages.values())
    print(*wrong, f"{len(pages)} pages, {links} links, {len(wrong)} wrong", sep="\n")
    return 1 if wrong or not pages else 0


def _wrong(link: str, path: Path, pages: dict[Path, Page], *, loaded: bool) -> str:
    parts = urlsplit(link)
    if parts.scheme == "data":
        return ""
    if parts.scheme or parts.netloc:
        return "loaded from another server" if loaded else ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "no such file"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return "no such place on the page"
    return ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))

"""How the pages become a site: ``make docs``. Pages are Markdown; the API reference comes from docstrings."""

from __future__ import annotations

import inspect
import re
from typing import Any

import trackparse

project = "trackparse"
version = release = trackparse.__version__
copyright = "the authors of trackparse"  # noqa: A001 - a name that Sphinx reads

extensions = ["myst_nb", "sphinx.ext.autodoc"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build"]
nitpicky = True
# Types of other packages are not linked: their lists of names would have to be downloaded for each build.
nitpick_ignore_regex = [("py:.*", r"(?!trackparse\b).*")]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # the tests run the notebook

html_theme = "furo"
html_title = f"trackparse {release}"
html_theme_options = {"sidebar_hide_name": False}
html_show_sphinx = False
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# Long unions have names of their own, which the page explains.
autodoc_type_aliases = {
    "LogSource": "trackparse.options.LogSource",
    "Destination": "trackparse.options.Destination",
    "DatasetSource": "trackparse.datasets.DatasetSource",
}
autodoc_mock_imports = ["pyspark"]
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
default_role = "code"

# Pages that stand above this folder, and the page here that includes each of them.
_ABOVE = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
}
_FIELD = re.compile(r"(\w+): (?=\S)")


def _link_from_here(_: Any, name: str, source: list[str]) -> None:
    for path, page in _ABOVE.items():
        source[0] = source[0].replace(f"](../{path}", f"]({page}")


def _link_from_above(_: Any, path: Any, name: str, source: list[str]) -> None:
    source[0] = source[0].replace("](docs/", "](")
    for path, page in _ABOVE.items():
        source[0] = source[0].replace(f"]({path}", f"]({page}")


def _list_fields(_: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Paragraphs of ``name: what it is`` become lists of parameters or, with their types, of attributes."""
    is_class = what in ("class", "exception")
    types = {key: _text_of(kind) for key, kind in inspect.get_annotations(value).items()} if is_class else {}
    found: list[str] = []
    listed: list[str] = []
    inside = False
    for number, line in enumerate(lines):
        starts = not number or not lines[number - 1].strip()
        if inside and not line.strip():
            inside = False
            found += [f":vartype {key}: {types[key]}" for key in listed if key in types]
            listed.clear()
        elif (starts or inside) and (field := _FIELD.match(line)):
            inside = True
            listed.append(field[1])
            line = f":{'ivar' if is_class else 'param'} {line}"
        found.append(line)
    lines[:] = found


def _text_of(annotation: Any) -> str:
    """An annotation as it is written in the source."""
    return annotation if isinstance(annotation, str) else getattr(annotation, "__forward_arg__", repr(annotation))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _link_from_here)
    app.connect("include-read", _link_from_above)
    app.connect("autodoc-process-docstring", _list_fields)

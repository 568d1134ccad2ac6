"""Runs a notebook in a kernel of its own, in a folder of its own, and stores its outputs. Needs nbclient."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient


def run(path: Path) -> None:
    """Run all cells; an error of one is raised, and the file is as it was."""
    notebook = nbformat.read(path, 4)  # type: ignore[no-untyped-call]
    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=120, resources=resources, record_timing=False).execute()
    notebook.metadata["language_info"] = {"name": "python"}  # without the version of this interpreter
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    run(Path(sys.argv[1]))

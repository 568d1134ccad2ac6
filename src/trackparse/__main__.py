"""``python -m trackparse``: the command line."""

from __future__ import annotations

from trackparse.cli import main

# A worker process imports this file under another name.
if __name__ == "__main__":
    main()

"""``python -m trackparse.testing``."""

from trackparse.testing.service import main

main()

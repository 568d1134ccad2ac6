"""Measures trackparse against inflating alone, and against the readers that are there anyway.

The way of a run: ``generator`` makes rows, ``corpus`` logs of them; ``own`` and ``peers`` say what is run on a log,
``contenders`` lists it; ``runner`` starts a ``worker`` for each run, by turns, after ``same`` found its answer right;
``budgets`` holds what came out against ``budgets.toml``, and ``report`` shows it. ``sweep`` looks for the peers' best
settings.
"""

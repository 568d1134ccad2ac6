"""The members of an archive, inflated: ZIP by its directory or read forward, gzip, a bare file.

In comes a ``Source``; out come members and their blocks of inflated bytes, each checked against its size and CRC,
from a thread of their own (``readahead``). Knows nothing of what a block holds, but for its first bytes: they tell a
log from another file. Imports ``sources`` and what is above it.
"""

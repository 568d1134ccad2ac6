"""The members of an archive, inflated: ZIP by its directory or read forward, gzip, a bare file.

In comes a ``Source``; out come members and their blocks of inflated bytes, from a thread of their own (``readahead``).
Each member is checked against its sizes and its CRC (``crc``). Of what a block holds only the first bytes are looked
at, to tell a log from another file. Imports ``sources`` and what is above it.
"""

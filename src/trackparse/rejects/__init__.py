"""Bad records: kept in memory, written to a file, read from a file, and turned into a log again.

In come the rejects of segments; out come Arrow tables, files, and the bytes of a mended log. Imports ``records`` and
the folders above it.
"""

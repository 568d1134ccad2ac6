"""Bad records: kept in memory, written to a file, read from one, and made a log again.

In come the rejects of segments; out come Arrow tables, files, and the bytes of a mended log. Imports ``records`` and
what is above it.
"""

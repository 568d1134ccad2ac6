"""Bytes in order, from files, buffers, chunks of bytes, HTTP and object stores.

In comes what a user names as the source of a log; out comes a ``Source``, whose bytes are read forward or, where the
medium allows it, anywhere. Knows nothing of archives or logs. Imports ``errors`` and ``version`` only.
"""

"""Records out of blocks: the header, the index of fields, segments. Pure: no I/O, no threads.

In come the blocks of one member after the other. Out come segments: a block, the table of its fields, and the bad
records between them. ``kernel`` finds the fields; ``header`` decides what the columns are; ``indexer`` keeps the state
from block to block; ``stream`` pulls the blocks and counts. Imports ``archive`` for the items of its read-ahead, and
what is above it.
"""

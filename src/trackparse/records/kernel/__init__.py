"""What touches every byte: the index of a block, and values out of its fields. Buffers in, buffers out.

``reference`` lists the kernel's functions in Python, ``native`` has the same in C, and ``chooser`` takes one of the
two. A concern has a file of Python and one of C beside it, with the same functions in the same order:

- ``codes``: constants, and the names of what is asked and found
- ``timestamp``, ``json``, ``lines`` (blank lines, marks, headers): small grammars
- ``grammar``: one record, read byte by byte; ``dialect``: which of its readings is taken
- ``index``: the loop over a block
- ``values``, ``dictionary``, ``events``: what is made of the fields
- ``payload``: columns of values inside payloads; ``jsonl``: columns as lines of JSON
- ``parts``: a block of records divided by the values of some columns
- ``memory``: what was freed, given back to the system

Only C: ``scan.inc`` looks at 64 bytes at a time, ``isa_*.h`` compile it for each instruction set, and ``native*`` bind
all of it to Python. Imports nothing else of trackparse.
"""

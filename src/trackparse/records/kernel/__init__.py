"""What touches every byte: the index of a block, and values out of its fields. Buffers in, buffers out.

``reference`` says in Python what each function does; ``native`` is the same in C, faster; ``chooser`` takes one of
them. Imports nothing of trackparse's.
"""

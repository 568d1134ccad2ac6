"""Arrow columns out of segments, and the filter that says which records are wanted.

In come segments; out come record batches of one schema. Imports ``records`` and what is above it.
"""

"""Logs as files: what is read is collected, written beside the destination, and renamed when it is whole.

In comes a ``LogReader``; out comes a file and a report. Imports everything above it.
"""

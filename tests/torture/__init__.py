"""Campaigns too long for the suite, which runs a small part of each."""

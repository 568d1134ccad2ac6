"""For tests of pipelines: a stand-in for the service on this machine, and made-up logs.

In come numbers of rows, days, and how to fail; out come logs, and the answers of the service. ``python -m
trackparse.testing`` runs the stand-in. Imports ``client`` and what is above it. Public: what ``__all__`` names, and
``trackparse.testing.sample``.
"""

from trackparse.testing.server import Delivery, Reply, Request
from trackparse.testing.service import TOKEN, FakeService

__all__ = ["TOKEN", "Delivery", "FakeService", "Reply", "Request"]

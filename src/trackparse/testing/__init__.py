"""For tests of pipelines: a stand-in of the service on loopback, and made-up logs.

In come numbers of rows, days and faults; out come logs, and the answers of the service. ``python -m
trackparse.testing`` runs it. Imports ``client`` and what is above it. Public: what ``__all__`` names, and
``trackparse.testing.sample``.
"""

from trackparse.testing.server import Delivery, Reply, Request
from trackparse.testing.service import TOKEN, FakeService

__all__ = ["TOKEN", "Delivery", "FakeService", "Reply", "Request"]

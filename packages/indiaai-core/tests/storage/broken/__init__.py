"""Backends that each break one promise, in the way in which people break it; imported by the test of the suite.

What breaks is as small as it can be, so that the promise that is broken is the one that fails. Where a fault shows only
under a condition (`len(content) > …`), the condition is what keeps it out of the other promises' tests.
"""

from storage.broken import headers, lasting, links, listing, naming, reading, writing
from storage.broken.registry import BROKEN

__all__ = ["BROKEN", "headers", "lasting", "links", "listing", "naming", "reading", "writing"]

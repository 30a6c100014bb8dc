"""Fixtures of the tests of the built site; the session `docs` builds it into site/ first."""

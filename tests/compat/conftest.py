"""Fixtures of the tests that hold today's core against plugins that were built before, and are kept as wheels beside this."""

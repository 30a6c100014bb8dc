"""A stranger's plugin: a store in a folder, a queue in the process, a wrapper and hooks; and its own conformance run."""

"""Fixtures of the queue's tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the queues and the loop that several test modules share

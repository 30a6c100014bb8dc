"""What is in a file: its text and its facts, read in a process of its own (`python -m extraction`)."""

from extraction.content import MAX_TEXT_CHARACTERS, Content, Report, Unreadable
from extraction.kind import Kind, claimed_kind, media_type
from extraction.limits import MAX_CPU_SECONDS, MAX_MEMORY_BYTES, confine_this_process
from extraction.reading import read_file

__all__ = [
    "MAX_CPU_SECONDS",
    "MAX_MEMORY_BYTES",
    "MAX_TEXT_CHARACTERS",
    "Content",
    "Kind",
    "Report",
    "Unreadable",
    "claimed_kind",
    "confine_this_process",
    "media_type",
    "read_file",
]

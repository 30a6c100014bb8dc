"""The lean data plane: requests about one object or one part, signed and sent without boto3."""

from indiaai_storage_r2.lean.client import LeanClient

__all__ = ["LeanClient"]

"""The lean data plane: requests about one object or one part, signed and sent without boto3."""

from indiaai_storage_r2.lean.client import LeanClient
from indiaai_storage_r2.lean.failures import ConnectionCut, Refused, Unanswered
from indiaai_storage_r2.lean.trust import has_proxy

__all__ = ["ConnectionCut", "LeanClient", "Refused", "Unanswered", "has_proxy"]

"""The storage backend `r2`: Cloudflare R2, objects by a client of its own, the rest by boto3, loaded when first needed."""

from indiaai_storage_r2.errors import RequestRefused
from indiaai_storage_r2.service import R2StorageService
from indiaai_storage_r2.settings import R2Settings

__all__ = ["R2Settings", "R2StorageService", "RequestRefused"]

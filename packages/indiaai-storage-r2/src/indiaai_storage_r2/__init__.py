"""The storage backend `r2`: Cloudflare R2 on boto3, which is loaded at the first call."""

from indiaai_storage_r2.errors import RequestRefused
from indiaai_storage_r2.service import R2StorageService
from indiaai_storage_r2.settings import R2Settings

__all__ = ["R2Settings", "R2StorageService", "RequestRefused"]

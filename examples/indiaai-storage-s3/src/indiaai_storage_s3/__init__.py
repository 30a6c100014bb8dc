"""The storage backend `s3` for indiaai: objects in a bucket of AWS S3."""

from indiaai_storage_s3.service import S3StorageService
from indiaai_storage_s3.settings import S3Settings

__all__ = ["S3Settings", "S3StorageService"]

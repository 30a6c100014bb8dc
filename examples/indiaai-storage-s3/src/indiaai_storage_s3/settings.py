"""The variables that a bucket is reached with; imported by the service, and by whoever makes one by hand."""

from __future__ import annotations

from pydantic import Field

from indiaai_core import BackendSettings, SettingsConfigDict

__all__ = ["S3Settings"]


class S3Settings(BackendSettings):
    """Which bucket it is, and how many may ask at once. Who asks is boto3's to find out."""

    model_config = SettingsConfigDict(env_prefix="S3_", str_strip_whitespace=True)

    bucket_name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="the bucket's name: 3 to 63 lower-case letters, digits and '-'",
    )
    region: str = Field(default="", description="the bucket's region, such as ap-south-1; empty: the one boto3 finds")
    profile: str = Field(default="", description="a profile of ~/.aws/config; empty: the credentials boto3 finds")
    endpoint_url: str = Field(
        default="", pattern=r"^(https?://\S+)?$", description="the URL of another store that speaks S3; empty for AWS"
    )
    max_connections: int = Field(default=16, ge=1, le=256, description="how many requests may be under way at once")

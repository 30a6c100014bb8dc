"""The variables that Cloudflare R2 is reached with; imported by the service and by whoever makes one by hand."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from indiaai_core.settings import BackendSettings, SettingsConfigDict

__all__ = ["R2Settings"]

_Url = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^(https?://[^\s?#]+)?$")]


class R2Settings(BackendSettings):
    """Where the bucket is, who asks, and how patient the client is.

    Either `R2_ACCOUNT_ID` or `R2_ENDPOINT_URL` says where. A named instance puts its own name first:
    `ARCHIVE_R2_BUCKET_NAME`.
    """

    model_config = SettingsConfigDict(env_prefix="R2_", str_strip_whitespace=True)

    endpoint_url: _Url = Field(
        default="", description="the URL of the S3 API where it is not the account's own, such as http://127.0.0.1:9000"
    )
    account_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]*$")] = Field(
        default="",
        validate_default=True,
        description="the account id that R2's overview page in the dashboard shows; not needed beside R2_ENDPOINT_URL",
    )
    jurisdiction: Literal["", "eu", "fedramp"] = Field(
        default="", description="the jurisdiction that the bucket was made in; empty for most"
    )
    bucket_name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="the bucket's name: 3 to 63 lower-case letters, digits and '-'",
    )
    access_key_id: str = Field(min_length=1, description="the access key id of an R2 API token")
    secret_access_key: SecretStr = Field(min_length=1, description="the secret access key of the same token")
    session_token: SecretStr = Field(
        default=SecretStr(""), description="the session token; only temporary credentials have one"
    )
    public_url: _Url = Field(
        default="", description="the URL of the bucket's custom domain; only the address that `upload` returns is made from it"
    )
    connect_timeout_seconds: float = Field(default=5, gt=0, description="how long connecting may take")
    read_timeout_seconds: float = Field(default=30, gt=0, description="how long the store may be silent in an answer")
    retry_seconds: float = Field(
        default=20, ge=0, description="for how long a failed request is begun anew; 0 for no second attempt"
    )
    pool_size: int = Field(
        default=64,
        ge=1,
        le=256,
        description="how many requests may be under way at once in a process; beyond 8 in threads if it has processor time",
    )
    data_plane: Literal["lean", "boto3"] = Field(
        default="lean",
        description="what gets, heads, puts and deletes objects: the package's own client, or boto3's, many times slower",
    )
    part_size_mib: int = Field(
        default=16, ge=5, le=1024, description="the size of a part in MiB; an object has at most 10,000 parts"
    )
    parallel_parts: int = Field(default=4, ge=1, le=64, description="how many parts of one upload are sent at once")

    @field_validator("endpoint_url", "public_url")
    @classmethod
    def _without_final_slash(cls, url: str) -> str:
        return url.rstrip("/")

    @field_validator("public_url")
    @classmethod
    def _not_for_development(cls, url: str) -> str:
        if (urlsplit(url).hostname or "").endswith(".r2.dev"):
            raise PydanticCustomError("r2_dev", "A domain of your own: those of r2.dev are throttled and not for production")
        return url

    @field_validator("account_id")
    @classmethod
    def _needed_without_endpoint(cls, account_id: str, info: ValidationInfo) -> str:
        if not account_id and not info.data.get("endpoint_url", "invalid, and reported as that"):
            raise PydanticCustomError("missing", "a value")
        return account_id

    @property
    def endpoint(self) -> str:
        """The URL of the S3 API, without a trailing slash."""
        region = f".{self.jurisdiction}" if self.jurisdiction else ""
        return self.endpoint_url or f"https://{self.account_id}{region}.r2.cloudflarestorage.com"

    @property
    def server(self) -> str:
        """Where the bucket is, as it may be shown."""
        return f"{self.endpoint}/{self.bucket_name}"

    @property
    def part_size_bytes(self) -> int:
        """The length of every part but the last, as R2 requires."""
        return self.part_size_mib * 1024 * 1024

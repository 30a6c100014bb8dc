"""The contenders on S3: this project's backend and its peers, each as its own documentation would have it used at its best.

Imported by `storage_r2` and its workers. A contender's library is loaded when it is opened and not before.
"""

from __future__ import annotations

from storage.bucket_botocore import Aioboto3Bucket, AiobotocoreBucket, Boto3Bucket, ComparedBoto3Bucket, S3fsBucket
from storage.bucket_client import Bucket
from storage.bucket_others import ComparedObstoreBucket, MiniopyBucket, ObstoreBucket, OpendalBucket
from storage.bucket_ours import OurBucket, OurBucketOnBoto3

__all__ = ["BUCKETS", "COMPARED"]

COMPARED = ("boto3, compared", "obstore, compared")
"""Those that differ from others in streams alone."""

BUCKETS: dict[str, type[Bucket]] = {
    "indiaai": OurBucket,
    "indiaai on boto3": OurBucketOnBoto3,
    "boto3 in threads": Boto3Bucket,
    "aiobotocore": AiobotocoreBucket,
    "aioboto3": Aioboto3Bucket,
    "s3fs": S3fsBucket,
    "obstore": ObstoreBucket,
    "opendal": OpendalBucket,
    "miniopy-async": MiniopyBucket,
    "boto3, compared": ComparedBoto3Bucket,
    "obstore, compared": ComparedObstoreBucket,
}

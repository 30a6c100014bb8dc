"""The R2 rule server: a double of Cloudflare R2 that refuses what R2 refuses, and fails on demand."""

from r2.faults import Fault
from r2.messages import Answer, Refused, Request, refusal
from r2.server import R2Server
from r2.signatures import Token
from r2.store import OpenUpload, StoredObject

__all__ = ["Answer", "Fault", "OpenUpload", "R2Server", "Refused", "Request", "StoredObject", "Token", "refusal"]

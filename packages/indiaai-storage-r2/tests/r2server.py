"""The names of the R2 rule server, for modules that have not been moved to `r2` yet."""

from r2 import Answer, Fault, R2Server, Request, StoredObject, refusal

__all__ = ["Answer", "Fault", "R2Server", "Request", "StoredObject", "refusal"]

"""Whom a TLS connection trusts, and whether a proxy stands between: botocore's own rules, without loading it.

Imported by the lean client and by whoever chooses it.
"""

from __future__ import annotations

import os
import ssl
import sys
from importlib.util import find_spec
from pathlib import Path

__all__ = ["has_proxy", "make_context"]


def make_context() -> ssl.SSLContext:
    """Return a context that trusts whom botocore trusts.

    That is the file that `AWS_CA_BUNDLE`, else `REQUESTS_CA_BUNDLE`, names, else certifi's, else the one botocore brings.

    Raises:
        OSError: The file is not there or holds no certificates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or _roots())
    return context


def has_proxy(url: str) -> bool:
    """Tell whether the machine's settings (`HTTPS_PROXY`, `NO_PROXY` and so on) want a proxy between us and a URL."""
    if sys.platform.startswith("linux") and not any(name.lower().endswith("_proxy") for name in os.environ):
        return False
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass  # 20 ms

    address = urlsplit(url)
    return address.scheme in getproxies() and not proxy_bypass(address.netloc)


def _roots() -> str:
    try:
        from certifi import where
    except ImportError:
        package = find_spec("botocore")  # found, not loaded
        folders = package.submodule_search_locations if package else None
        return str(Path(next(iter(folders or ["."]))) / "cacert.pem")
    return where()

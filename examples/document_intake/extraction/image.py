"""Images; imported by `extraction.reading`, and by nothing that need not wait for Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from extraction.content import Content, Report, Unreadable
from extraction.kind import Kind

__all__ = ["MAX_PIXELS", "read_image"]

MAX_PIXELS = 50_000_000
"""The largest image that is decoded: 200 MB of memory at four bytes a pixel."""

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")


def read_image(path: Path, report: Report) -> Content:
    """Read an image's format and size, and decode it once, so that a broken one is found.

    Raises:
        Unreadable: It is not an image, is broken, or has more than `MAX_PIXELS` pixels.
    """
    Image.MAX_IMAGE_PIXELS = None  # our own limit, below, says how large the image is
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a damaged EXIF block is no reason to refuse a picture
        try:
            with Image.open(path, formats=_FORMATS) as image:
                return _read(image, report)
        except (Unreadable, MemoryError):
            raise
        except UnidentifiedImageError as error:
            raise Unreadable(f"This is not an image that can be read. These can: {', '.join(_FORMATS)}.") from error
        except Exception as error:  # a broken image makes Pillow raise OSError, SyntaxError, ValueError, EOFError, …
            raise Unreadable(f"The image is broken: {str(error) or type(error).__name__}.") from error


def _read(image: Image.Image, report: Report) -> Content:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Unreadable(f"The image is too large: {width:,} × {height:,} pixels; the limit is {MAX_PIXELS:,} in all.")
    facts: dict[str, int | str | bool] = {"format": image.format or "", "width": width, "height": height, "mode": image.mode}
    image.load()
    report(1.0)
    return Content(Kind.IMAGE, facts)

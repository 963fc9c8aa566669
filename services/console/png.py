"""Pictures as PNG files, made of their bytes alone: greyscale for one channel, RGB for three."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 3: 2}


def levels(pixels: bytes) -> bytes:
    """Float32 in [0, 1], little-endian, to one byte of 0 to 255 each, rounded; what lies outside is cut off."""
    values = struct.unpack(f"<{len(pixels) // 4}f", pixels)
    return bytes(min(255, max(0, round(255 * value))) if not math.isnan(value) else 0 for value in values)


def encode(shape: Sequence[int], pixels: bytes) -> bytes:
    """Make a PNG of bytes in the order (channels, height, width); ValueError for other channels or lengths."""
    channels, height, width = shape
    if channels not in COLOUR_TYPES or len(pixels) != channels * height * width or not pixels:
        raise ValueError(f"a picture of shape {tuple(shape)} can't be drawn from {len(pixels)} bytes")
    plane = height * width
    # PNG wants the channels of a pixel beside each other.
    mixed = bytearray(len(pixels))
    for channel in range(channels):
        mixed[channel::channels] = pixels[channel * plane : (channel + 1) * plane]
    stride = channels * width
    # Each line begins with its filter, 0: none.
    lines = b"".join(b"\0" + mixed[start : start + stride] for start in range(0, len(mixed), stride))
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines, 6)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def data_url(png: bytes) -> str:
    """A PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"

"""The icon: an envelope, with a drop of ink as its seal. Drawn here, and therefore free of others' rights."""

import math
import struct
import zlib
from collections.abc import Callable

SIZE = 512
"""Pixels of each side."""

Colour = tuple[int, int, int]
Distance = Callable[[float, float], float]
"""How far a point lies outside of a shape, in pixels; negative inside."""

_INK: Colour = (30, 41, 89)
_PAPER: Colour = (246, 244, 238)
_FOLD: Colour = (176, 184, 210)


def draw() -> bytes:
    """Return the icon as a PNG file: 8-bit RGBA, transparent outside of the rounded square."""
    ground = _rounded(256, 256, 256, 256, 112)
    layers: list[tuple[Colour, Distance]] = [
        (_PAPER, _rounded(256, 264, 168, 116, 26)),
        (_FOLD, _flap),
        (_INK, _drop),
    ]
    rows = bytearray()
    for row in range(SIZE):
        rows.append(0)  # the row is not filtered
        for column in range(SIZE):
            x, y = column + 0.5, row + 0.5
            red, green, blue = _INK
            for colour, distance in layers:
                if covered := _coverage(distance(x, y)):
                    red, green, blue = (
                        round(under + (over - under) * covered)
                        for under, over in zip((red, green, blue), colour, strict=True)
                    )
            rows += bytes((red, green, blue, round(255 * _coverage(ground(x, y)))))
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 6, 0, 0, 0)
    image = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(rows), 9)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + image


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _coverage(distance: float) -> float:
    """Return how much of a pixel lies inside, which makes edges smooth."""
    return min(max(0.5 - distance, 0.0), 1.0)


def _rounded(x: float, y: float, half_width: float, half_height: float, radius: float) -> Distance:
    def distance(px: float, py: float) -> float:
        right, down = abs(px - x) - half_width + radius, abs(py - y) - half_height + radius
        return math.hypot(max(right, 0), max(down, 0)) + min(max(right, down), 0) - radius

    return distance


def _flap(x: float, y: float) -> float:
    """Two lines from the upper corners to the middle."""
    return _from_line(256 + abs(x - 256), y, (256, 290), (412, 164)) - 8


def _drop(x: float, y: float) -> float:
    """A circle that runs out into a point above it."""
    across, radius, centre, tip = abs(x - 256), 44.0, 300.0, 206.0
    sine = radius / (centre - tip)
    touch = centre - radius * sine, radius * math.sqrt(1 - sine * sine)
    if y >= touch[0] - (across - touch[1]) * math.tan(math.asin(sine)):
        return math.hypot(across, y - centre) - radius
    return across * math.sqrt(1 - sine * sine) - (y - tip) * sine


def _from_line(x: float, y: float, start: tuple[float, float], end: tuple[float, float]) -> float:
    along, down = end[0] - start[0], end[1] - start[1]
    part = ((x - start[0]) * along + (y - start[1]) * down) / (along * along + down * down)
    part = min(max(part, 0.0), 1.0)
    return math.hypot(x - start[0] - part * along, y - start[1] - part * down)

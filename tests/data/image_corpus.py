"""Bad and odd picture files, each with what must come of it: a picture of known colours, or one sentence.

Run as a script, ``image_corpus.py FOLDER``, it decodes the files that :func:`write` put there and prints as JSON, for
each, the CPU time, the growth of the process's peak memory since a warm-up, and the outcome.
"""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

Colour = tuple[int, int, int]
RED, GREEN, BLUE, YELLOW = (220, 30, 30), (20, 160, 60), (30, 50, 210), (230, 210, 20)
BLACK, GREY, WHITE = (0, 0, 0), (128, 128, 128), (255, 255, 255)


@dataclass(frozen=True)
class Case:
    """A file and its outcome: ``refused`` is a pattern that the sentence matches; otherwise the rest holds.

    ``shape`` is (height, width) of the pixels, ``original`` (width, height) where it differs from them, ``colours``
    are at relative positions (x, y) in 0..1, each channel within ``tolerance``.
    """

    name: str
    make: Callable[[], bytes] = field(repr=False)
    refused: str = ""
    shape: tuple[int, int] | None = None
    original: tuple[int, int] | None = None
    colours: dict[tuple[float, float], Colour] = field(default_factory=dict)
    tolerance: int = 0
    seconds: float = 0.5


def corners(*colours: Colour) -> dict[tuple[float, float], Colour]:
    """Colours in the middle of the four quadrants, in reading order."""
    return dict(zip([(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)], colours, strict=True))


QUADRANTS = corners(RED, GREEN, BLUE, YELLOW)
DAMAGED = r"damaged, incomplete or of an unusual kind"
TOO_LARGE = r"more than 40 megapixels"


def quadrants(width: int = 48, height: int = 32) -> Image.Image:
    """Red and green over blue and yellow."""
    image = Image.new("RGB", (2, 2))
    image.putdata([RED, GREEN, BLUE, YELLOW])
    return image.resize((width, height), Image.Resampling.NEAREST)


def noise(width: int = 64, height: int = 48) -> Image.Image:
    """Pixels that do not compress, so that a cut anywhere loses some."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int, kind: str, **options: Any) -> bytes:
    """Quadrants stored in the way that EXIF 2.32, tag 0x0112, defines: where the stored row 0 and column 0 are seen."""
    row_0, column_0 = {
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }.get(orientation, ("top", "left"))  # fmt: skip
    seen = np.asarray(quadrants(64, 48))
    seen = seen[::-1] if "bottom" in (row_0, column_0) else seen
    seen = seen[:, ::-1] if "right" in (row_0, column_0) else seen
    stored = seen.transpose(1, 0, 2) if row_0 in ("left", "right") else seen
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    """A PNG from filtered rows, with no check that they fit the declared size."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(pixels, 1)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def flat_png(width: int, height: int, bytes_per_pixel: int, value: int, **options: int) -> bytes:
    return png(width, height, (b"\0" + bytes([value]) * (width * bytes_per_pixel)) * height, **options)


def interlaced_png() -> bytes:
    """Adam7: seven passes, each a coarser or shifted grid of the pixels."""
    pixels = np.asarray(quadrants())
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in pixels[y::dy, x::dx])
    return png(48, 32, rows, interlace=1)


def png_16_bit_colour() -> bytes:
    pixels = np.asarray(quadrants()).astype(">u2") * 257
    return png(48, 32, b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels), depth=16)


def png_with(chunk: bytes) -> bytes:
    """Quadrants with one more chunk after the header."""
    data = saved(quadrants(), "PNG")
    return data[:33] + chunk + data[33:]


def png_bad_checksum() -> bytes:
    data = bytearray(saved(quadrants(), "PNG"))
    data[29] ^= 0xFF  # of the header
    return bytes(data)


def deep(values: list[float], dtype: str) -> Image.Image:
    """One band whose left to right quarters hold the values."""
    return Image.fromarray(np.repeat(np.array([values], dtype).repeat(16, 0), 8, 1))


def tiff(tags: list[tuple[int, int, int]], pixels: bytes = b"", order: str = "<") -> bytes:
    """A TIFF of (tag, type, value) entries; tag 273, the place of the pixels, is filled in."""
    start = 8 + 2 + 12 * len(tags) + 4
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    for tag, kind, value in tags:
        packed = struct.pack(order + ("H2x" if kind == 3 else "I"), start if tag == 273 else value)
        data += struct.pack(order + "HHI", tag, kind, 1) + packed
    return data + struct.pack(order + "I", 0) + pixels


def grey_tiff(width: int, height: int, rows: int, pixels: bytes, bits: int = 8, order: str = "<") -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 0), (277, 3, 1)]
    return tiff([*tags, (278, 4, rows), (279, 4, len(pixels))], pixels, order)


def tiny_tiles_tiff(side: int = 240) -> bytes:
    """A tile for each pixel: Pillow would need microseconds of Python for every one."""
    count = side * side
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (322, 1), (323, 1)]
    place = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    entries += struct.pack("<HHII", 324, 4, count, place) + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<IH", 8, len(tags) + 1) + entries + np.arange(count, dtype="<u4").tobytes()


def bmp(width: int, height: int, body: bytes, compression: int = 0) -> bytes:
    """An 8-bit BMP with a grey palette."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, len(body), 2835, 2835, 256, 0)
    palette = b"".join(bytes([i, i, i, 0]) for i in range(256))
    return b"BM" + struct.pack("<IHHI", 1078 + len(body), 0, 0, 1078) + info + palette + body


def webp_canvas(width: int, height: int) -> bytes:
    """A small animated WebP that declares another canvas."""
    data = bytearray(saved(quadrants(), "WEBP", save_all=True, append_images=[noise(48, 32)]))
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def jpeg_declaring(width: int, height: int) -> bytes:
    data = bytearray(saved(quadrants(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_many_scans(count: int) -> bytes:
    """Ten bytes make libjpeg pass over the whole picture once more."""
    data = saved(quadrants(1600, 1200), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    header = data[last : last + 2 + struct.unpack(">H", data[last + 2 : last + 4])[0]]
    return data[:-2] + header * count + data[-2:]


def jpeg_corrupt_middle() -> bytes:
    data = bytearray(saved(noise(640, 480), "JPEG"))
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(range(1, 41))
    return bytes(data)


def jpeg_bad_exif() -> bytes:
    data = saved(quadrants(), "JPEG", quality=95)
    exif = b"Exif\0\0MM\0\x2a\xff\xff\xff\xff" + b"\7" * 8
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


def webp_bad_exif() -> bytes:
    return saved(quadrants(), "WEBP", lossless=True, exif=b"Exif\0\0garbage that is no TIFF header")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("photo.png", saved(quadrants(), "PNG"))
    return file.getvalue()


def frames(kind: str, **options: Any) -> bytes:
    others = [Image.new("RGB", (48, 32), "black"), noise(48, 32)]
    return saved(quadrants(), kind, save_all=True, append_images=others, **options)


def half_transparent(mode: str) -> Image.Image:
    """Left half of half-transparent black, right half of opaque black: grey and black once over white."""
    image = Image.new("RGBA", (48, 32), (0, 0, 0, 255))
    image.paste((0, 0, 0, 127), (0, 0, 24, 32))
    return image.convert(mode)


def palette_with_hole() -> bytes:
    image = quadrants().quantize(4)
    return saved(image, "PNG", transparency=image.getpixel((0, 0)))


HTML = b"<!doctype html><html><head><title>404</title></head><body><svg></svg>Not found</body></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
GREYS = corners(BLACK, WHITE, BLACK, WHITE)
HALVES = corners(GREY, BLACK, GREY, BLACK)
STEPS = {(0.125, 0.5): BLACK, (0.375, 0.5): (51, 51, 51), (0.625, 0.5): (204, 204, 204), (0.875, 0.5): WHITE}


def quadrant_cases() -> Iterator[Case]:
    """The same picture, stored in many ways."""
    shown = partial(Case, shape=(32, 48), colours=QUADRANTS)
    image = quadrants()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    yield shown("plain.png", partial(saved, image, "PNG"))
    yield shown("interlaced.png", interlaced_png)
    yield shown("16 bits a channel.png", png_16_bit_colour)
    yield shown("palette.png", lambda: saved(image.quantize(4), "PNG"))
    yield shown("palette with hole.png", palette_with_hole, colours=corners(WHITE, GREEN, BLUE, YELLOW))
    yield shown(
        "colour key.png", partial(saved, image, "PNG", transparency=GREEN), colours=corners(RED, WHITE, BLUE, YELLOW)
    )
    yield shown("trailing garbage.png", lambda: saved(image, "PNG") + random.Random(0).randbytes(5000))
    yield shown("profile.png", partial(saved, image, "PNG", icc_profile=srgb))
    yield shown("broken profile.png", lambda: png_with(png_chunk(b"iCCP", b"x\0\0not deflated")))
    yield shown("private chunk.png", lambda: png_with(png_chunk(b"abCd", b"\xff" * 5000)))
    yield shown("animated.png", partial(frames, "PNG"))
    yield shown("UPPER.JPEG", partial(saved, image, "JPEG", quality=95), tolerance=6)
    yield shown("progressive.jpg", partial(saved, image, "JPEG", quality=95, progressive=True), tolerance=6)
    yield shown("profile.jfif", partial(saved, image, "JPEG", quality=95, icc_profile=srgb), tolerance=6)
    yield shown("bad exif.jpg", jpeg_bad_exif, tolerance=6)
    yield shown("ink.jpg", lambda: saved(image.convert("CMYK"), "JPEG", quality=95), tolerance=8)
    yield shown("two views.mpo", partial(frames, "MPO", quality=95), tolerance=6)
    yield shown("two views.jpg", partial(frames, "MPO", quality=95), tolerance=6)
    yield shown("lossless.webp", partial(saved, image, "WEBP", lossless=True, xmp=xmp))
    yield shown("lossy.webp", partial(saved, image, "WEBP", quality=95), tolerance=12)
    yield shown("animated.webp", partial(frames, "WEBP", lossless=True))
    yield shown("bad exif.webp", webp_bad_exif)
    yield shown("plain.bmp", partial(saved, image, "BMP"))
    yield shown("plain.dib", partial(saved, image, "BMP"))
    yield shown("plain.gif", partial(saved, image, "GIF"))
    yield shown("animated.gif", partial(frames, "GIF"))
    yield shown("plain.tif", partial(saved, image, "TIFF"))
    yield shown("pages.tiff", partial(frames, "TIFF"))
    yield shown("ink.tif", lambda: saved(image.convert("CMYK"), "TIFF", compression="tiff_lzw"))
    yield shown("palette.tif", lambda: saved(image.quantize(4), "TIFF"))
    yield shown("luma and chroma.tif", lambda: saved(image.convert("YCbCr"), "TIFF"), tolerance=3)
    # L* = 50, a* = b* = 0 is the grey of luminance 0.184, 119 in sRGB.
    yield Case(
        "lab.tif",
        lambda: saved(Image.new("LAB", (8, 8), (128, 128, 128)), "TIFF"),
        "",
        (8, 8),
        None,
        {(0.5, 0.5): (119, 119, 119)},
        2,
    )
    for compression in ("packbits", "tiff_deflate", "tiff_lzw"):
        yield shown(f"{compression}.tif", partial(saved, image, "TIFF", compression=compression))
    names = ("no extension", "Screenshot at 10.15.32", "photo.png (1)", "", "/home/me/photo.png", r"C:\me\photo.png")
    for name in names:
        yield shown(name, partial(saved, image, "PNG"))
    for orientation in range(1, 9):
        upright = partial(Case, shape=(48, 64), colours=QUADRANTS)
        yield upright(f"turned {orientation}.jpg", partial(turned, orientation, "JPEG", quality=95), tolerance=6)
    yield upright("turned 6.png", partial(turned, 6, "PNG"))
    yield upright("turned 5.webp", partial(turned, 5, "WEBP", lossless=True))
    yield upright("turned 8.tif", partial(turned, 8, "TIFF"))
    yield upright("turned 7 packed.tif", partial(turned, 7, "TIFF", compression="tiff_lzw"))
    yield upright("turned 9 does not exist.jpg", partial(turned, 9, "JPEG", quality=95), tolerance=6)


def depth_cases() -> Iterator[Case]:
    """Grey, deep, transparent and two-colour pictures."""
    checks = Image.fromarray(np.tile(np.repeat(np.array([0, 255], np.uint8), 24), (32, 1)))
    for mode in ("1", "L"):
        make = partial(saved, checks.convert(mode), "PNG")
        yield Case(f"grey {mode}.png", make, shape=(32, 48), colours=GREYS)
    fax = partial(saved, checks.convert("1"), "TIFF", compression="group4")
    yield Case("fax.tif", fax, shape=(32, 48), colours=GREYS)
    key = corners(WHITE, WHITE, WHITE, WHITE)
    yield Case("grey key.png", partial(saved, checks, "PNG", transparency=0), shape=(32, 48), colours=key)
    for mode, kind in (("RGBA", "png"), ("LA", "png"), ("RGBA", "tif"), ("LA", "tif")):
        make = partial(saved, half_transparent(mode), "TIFF" if kind == "tif" else "PNG")
        yield Case(f"half {mode}.{kind}", make, shape=(32, 48), colours=HALVES)
    make = partial(saved, half_transparent("RGBA"), "WEBP", lossless=True, exact=True)
    yield Case("half.webp", make, shape=(32, 48), colours=HALVES)
    glass = Image.new("RGBA", (2000, 1500), (*RED, 0))
    yield Case("all glass.png", partial(saved, glass, "PNG"), "", (768, 1024), (2000, 1500), {(0.5, 0.5): WHITE})
    hole = Image.new("P", (8, 8))
    yield Case("hole.gif", partial(saved, hole, "GIF", transparency=0), shape=(8, 8), colours={(0.5, 0.5): WHITE})

    shown = partial(Case, shape=(16, 32), colours=STEPS)
    fifths = [0, 0.2, 0.8, 1]
    words = [value * 65535 for value in fifths]
    yield shown("words.png", lambda: saved(deep(words, "u2"), "PNG"))
    yield shown("words.tif", lambda: saved(deep(words, "u2"), "TIFF"))
    big = np.asarray(deep(words, "u2")).astype(">u2").tobytes()
    yield shown("big-endian words.tif", lambda: grey_tiff(32, 16, 16, big, bits=16, order=">"))
    yield shown("long integers.tif", lambda: saved(deep(words, "i4"), "TIFF"))
    wide = [value * 4e9 - 2e9 for value in fifths]
    yield shown("all the integers.tif", lambda: saved(deep(wide, "i4"), "TIFF"))
    yield shown("unit floats.tif", lambda: saved(deep(fifths, "f4"), "TIFF"))
    yield shown("byte floats.tif", lambda: saved(deep([0, 51, 204, 255], "f4"), "TIFF", compression="tiff_lzw"))
    yield shown("signed floats.tif", lambda: saved(deep([-5, -3, 3, 5], "f4"), "TIFF"))
    yield shown("huge floats.tif", lambda: saved(deep([-3e38, -1.8e38, 1.8e38, 3e38], "f4"), "TIFF"))
    odd = {(0.125, 0.5): BLACK, (0.375, 0.5): BLACK, (0.625, 0.5): WHITE, (0.875, 0.5): WHITE}
    infinite = [float("nan"), -float("inf"), float("inf"), 1]
    yield shown("not numbers.tif", lambda: saved(deep(infinite, "f4"), "TIFF"), colours=odd)
    same = dict.fromkeys(STEPS, BLACK)
    yield shown("constant floats.tif", lambda: saved(deep([7e9] * 4, "f4"), "TIFF"), colours=same)


def size_cases() -> Iterator[Case]:
    """Large, long and tiny pictures."""
    reduced = partial(Case, colours=QUADRANTS)
    yield reduced("photo.jpg", lambda: saved(quadrants(4000, 3000), "JPEG"), "", (768, 1024), (4000, 3000), tolerance=6)
    yield reduced("tall.png", lambda: saved(quadrants(700, 2100), "PNG"), "", (1024, 341), (700, 2100))
    yield reduced("1025.png", lambda: saved(quadrants(1025, 513), "PNG"), "", (512, 1024), (1025, 513))
    yield reduced("1024.bmp", lambda: saved(quadrants(1024, 1024), "BMP"), "", (1024, 1024))
    yield reduced(
        "12 MP.webp",
        lambda: saved(quadrants(4000, 3000), "WEBP", lossless=True, method=0),
        "",
        (768, 1024),
        (4000, 3000),
    )
    yield Case("dot.png", lambda: flat_png(1, 1, 3, 200), "", (1, 1), None, {(0.5, 0.5): (200,) * 3})
    ends = {(0.25, 0.5): RED, (0.75, 0.5): GREEN}
    yield Case(
        "60000 x 1.png",
        lambda: saved(quadrants(60000, 2).crop((0, 0, 60000, 1)), "PNG"),
        "",
        (1, 1024),
        (60000, 1),
        ends,
    )
    yield Case(
        "1 x 60000.png",
        lambda: saved(quadrants(2, 60000).crop((0, 0, 1, 60000)), "PNG"),
        "",
        (1024, 1),
        (1, 60000),
        {(0.5, 0.25): RED, (0.5, 0.75): BLUE},
    )
    yield Case(
        "1 x 60000.jpg",
        lambda: saved(quadrants(2, 60000).crop((0, 0, 1, 60000)), "JPEG"),
        "",
        (1024, 1),
        (1, 60000),
        {(0.5, 0.25): RED, (0.5, 0.75): BLUE},
        8,
    )
    # Exactly at the limit. Pictures as large as that are decoded in full, which is what takes the time.
    yield Case(
        "40 MP.png",
        lambda: flat_png(8000, 5000, 4, 255, colour=6),
        "",
        (640, 1024),
        (8000, 5000),
        {(0.5, 0.5): WHITE},
        seconds=1.5,
    )
    words = partial(flat_png, 8000, 5000, 2, 51, depth=16, colour=0)
    yield Case("40 MP words.png", words, "", (640, 1024), (8000, 5000), {(0.5, 0.5): (51,) * 3}, seconds=1.5)


def bomb_cases() -> Iterator[Case]:
    """Small files that ask for much memory or time."""
    yield Case("declares 50000 x 50000.png", lambda: png(50000, 50000, b"\0" * 1000), TOO_LARGE)
    yield Case("really 13000 x 13000.png", lambda: flat_png(13000, 13000, 1, 0, colour=0), TOO_LARGE)
    yield Case("just over 40 MP.png", lambda: png(8000, 5001, b"\0" * 1000), TOO_LARGE)
    yield Case("declares 65500 x 65500.jpg", lambda: jpeg_declaring(65500, 65500), TOO_LARGE)
    yield Case("declares 9000 x 9000.jpg", lambda: jpeg_declaring(9000, 9000), TOO_LARGE)
    yield Case("declares 40000 x 40000.bmp", lambda: bmp(40000, 40000, b"\0" * 100), TOO_LARGE)
    screen = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\2\2\x84\x51\0;"
    yield Case("declares 65535 x 65535.gif", lambda: screen + frame, TOO_LARGE)
    yield Case("declares 16383 x 16383.webp", lambda: webp_canvas(16383, 16383), TOO_LARGE)
    yield Case("declares 10000 x 10000.webp", lambda: webp_canvas(10000, 10000), TOO_LARGE)
    yield Case("30 MP.webp", lambda: webp_canvas(6000, 5000), "too much memory")
    yield Case("declares 100000 x 100000.tif", lambda: grey_tiff(100000, 100000, 100000, b"\0" * 100), TOO_LARGE)
    yield Case("34 MP in one strip.tif", lambda: grey_tiff(7000, 10000, 10000, b"\0" * 100), TOO_LARGE)
    yield Case("a tile a pixel.tif", tiny_tiles_tiff, "too much time")
    yield Case("many scans.jpg", lambda: jpeg_of_many_scans(20_000), "too much time")
    yield Case("run lengths.bmp", lambda: bmp(1200, 1200, b"\1\5" * (1200 * 1200), 1), "too much time")
    text = b"a\0\0" + zlib.compress(bytes(60_000_000))
    yield Case("60 MB of text.png", lambda: png_with(png_chunk(b"zTXt", text)), DAMAGED)
    yield Case("over 10 MB.bmp", lambda: saved(quadrants(1900, 1900), "BMP"), r"has 10\.3 MB and 10 MB is the limit")
    yield Case("over 10 MB of nothing.png", lambda: bytes(10 * 2**20 + 1), "10 MB is the limit")


def damaged_cases() -> Iterator[Case]:
    """Files with a part missing or wrong."""
    options: dict[str, dict[str, Any]] = {ending: {} for ending in ("png", "jpg", "bmp", "gif", "tif")}
    options["webp"] = {"lossless": True}
    options["lzw.tif"] = {"compression": "tiff_lzw"}
    options["progressive.jpg"] = {"progressive": True}
    for ending, choice in options.items():
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(ending.split(".")[-1], ending.upper())
        for percent in (5, 25, 50, 75, 95):

            def cut(kind: str = kind, choice: dict[str, Any] = choice, percent: int = percent) -> bytes:
                data = saved(noise(), kind, **choice)
                return data[: len(data) * percent // 100]

            yield Case(f"{percent} percent.{ending}", cut, DAMAGED)
        yield Case(
            f"first 8 bytes.{ending}",
            partial(lambda k, c: saved(noise(), k, **c)[:8], kind, choice),
            refused=("is not a picture" if kind in ("WEBP", "BMP") else DAMAGED),
        )
    yield Case("bad checksum.png", png_bad_checksum, DAMAGED)
    # A complete stream of too few rows: Pillow leaves the others black.
    rows = b"".join(b"\0" + bytes(RED) * 48 for _ in range(16))
    yield Case("rows missing.png", lambda: png(48, 32, rows), "", (32, 48), None, corners(RED, RED, BLACK, BLACK))
    yield Case("no size.png", lambda: png(0, 0, b""), DAMAGED)
    yield Case("strips missing.tif", lambda: grey_tiff(40, 4000, 4, bytes(160)), DAMAGED)
    yield Case("corrupt middle.jpg", jpeg_corrupt_middle, "", (480, 640))  # JPEG has no checksum: shown as it is
    yield Case("overlong runs.bmp", lambda: bmp(8, 8, b"\xff\5" * 3, 1), DAMAGED)


def impostor_cases() -> Iterator[Case]:
    """Things that are not pictures, or not the ones that their names say, or not ones that are read here."""
    image = quadrants()
    lies = {"jpeg.png": "JPEG", "png.jpg": "PNG", "webp.jpeg": "WEBP", "png.txt": "PNG"}
    lies |= {"tiff.gif": "TIFF", "gif.heic": "GIF"}
    for name, kind in lies.items():
        shown = {"WEBP": "WebP"}.get(kind, kind)
        yield Case(name, partial(saved, image, kind), rf"is really a {shown} file: rename it so that it ends in \.")
    yield Case("empty.png", bytes, "is empty")
    yield Case("nothing.html", lambda: HTML, "is not a picture")
    yield Case("page.png", lambda: HTML, "is not a picture")
    yield Case("archive.zip", zipped, "is not a picture")
    yield Case("archive.jpg", zipped, "is not a picture")
    yield Case("zeros.png", lambda: bytes(10_000), "is not a picture")
    for seed in range(3):
        yield Case(f"random {seed}.jpg", partial(random.Random(seed).randbytes, 5000), "is not a picture")
    yield Case("text.tif", lambda: b"Pyramids of pixels\n" * 20, "is not a picture")
    yield Case("drawing.svg", lambda: SVG, "is in SVG format")
    yield Case("xml drawing.svg", lambda: b'<?xml version="1.0"?>\n<!-- me -->\n' + SVG, "is in SVG format")
    yield Case("endless comment.svg", lambda: b"<!---->" * 500_000, "is not a picture")
    heads = {
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "PDF": b"%PDF-1.7\n",
        "Photoshop": b"8BPS\0\1" + bytes(20),
        "JPEG XL": b"\xff\x0a\xfa\x1f\1",
    }
    for kind, head in heads.items():
        yield Case(f"{kind}.jpg", partial(lambda h: h + bytes(100), head), f"is in {kind} format")
    for kind, shown in {"AVIF": "AVIF", "ICO": "ICO", "PPM": "PPM", "JPEG2000": "JPEG 2000", "EPS": "EPS"}.items():
        yield Case(f"{shown}.png", partial(saved, image, kind), f"is in {shown} format")


CASES: tuple[Case, ...] = (
    *quadrant_cases(), *depth_cases(), *size_cases(), *bomb_cases(), *damaged_cases(), *impostor_cases(),
)  # fmt: skip


@cache
def small_files() -> tuple[tuple[Case, bytes], ...]:
    """Cases that are quick to make and short, for tests that change them."""
    cases = (*quadrant_cases(), *depth_cases(), *damaged_cases())
    return tuple((case, data) for case in cases if len(data := case.make()) < 20_000)


def write(folder: Path) -> None:
    """Write the files as ``0``, ``1``, ... in the order of :data:`CASES`."""
    for number, case in enumerate(CASES):
        (folder / str(number)).write_bytes(case.make())


def peak_mb() -> float:
    """Peak resident memory of this program. A child's ru_maxrss starts at its parent's, so Linux is asked directly."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def outcome(case: Case, data: bytes) -> dict[str, Any]:
    from cvviz.data.images import decode_upload

    start = time.process_time()
    try:
        pixels, original_size = decode_upload(case.name, data)
    except Exception as error:
        return {"seconds": time.process_time() - start, "error": str(error), "type": type(error).__name__}
    seconds, (_, height, width) = time.process_time() - start, pixels.shape
    colours = [pixels[:, int(y * height), int(x * width)].tolist() for x, y in case.colours]
    kept = {"shape": list(pixels.shape), "dtype": str(pixels.dtype), "original_size": original_size, "colours": colours}
    return {"seconds": seconds, **kept}


def main(folder: Path) -> None:
    typical = ("plain.png", "profile.jfif", "lossy.webp", "tiff_lzw.tif", "plain.gif", "1025.png", "words.tif")
    for number, case in enumerate(CASES):  # loads what Pillow and torch load once
        if case.name in typical:
            outcome(case, (folder / str(number)).read_bytes())
    before, results = peak_mb(), []
    for number, case in enumerate(CASES):
        data = (folder / str(number)).read_bytes()
        result = outcome(case, data)
        for _ in range(2):  # a busy machine disturbs even CPU time
            if result["seconds"] > case.seconds:
                result = min(result, outcome(case, data), key=lambda r: r["seconds"])
        results.append({**result, "growth_mb": peak_mb() - before})
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

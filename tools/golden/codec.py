#!/usr/bin/python3
"""Small images of many kinds for the tests of derm::image's codec, and what Pillow reads from them.

Usage: python3 tools/golden/codec.py src/derm/image/testdata     (made with Pillow 9.4)
expected.txt: name, width, height, channels, largest difference allowed, pixels in hexadecimal.
"""
import io
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

out = pathlib.Path(sys.argv[1])
expected = []


def picture(width, height):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x * 37 + y * 59) % 256], -1).astype(np.uint8)


def keep(name, data, pixels, tolerance=0):
    (out / name).write_bytes(data)
    pixels = np.asarray(pixels, np.uint8)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    expected.append(f"{name} {pixels.shape[1]} {pixels.shape[0]} {channels} {tolerance} {pixels.tobytes().hex()}")


def saved(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def over_white(colour, alpha):
    alpha = alpha.astype(int)
    if colour.ndim == 3:
        alpha = alpha[..., None]
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def png(width, height, depth, kind, rows, chunks=(), interlace=0):
    """A PNG by hand, for what Pillow does not write. `rows`: bytes of each row."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    data = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace))
    for name, content in chunks:
        data += chunk(name, content)
    raw = b"".join(b"\0" + row for row in rows)
    return b"\x89PNG\r\n\x1a\n" + data + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


rgb = picture(11, 7)
grey = rgb[..., 2]
alpha = np.flipud(picture(11, 7)[..., 0])
keep("rgb.png", saved(Image.fromarray(rgb), "PNG"), rgb)
keep("grey.png", saved(Image.fromarray(grey), "PNG"), grey)
keep("rgba.png", saved(Image.fromarray(np.dstack([rgb, alpha])), "PNG"), over_white(rgb, alpha))
keep("grey_alpha.png", saved(Image.fromarray(np.dstack([grey, alpha]), "LA"), "PNG"), over_white(grey, alpha))
keep("one_bit.png", saved(Image.fromarray(grey).convert("1", dither=0), "PNG"), np.where(grey >= 128, 255, 0))

palette = Image.fromarray(rgb).quantize(6)
keep("palette.png", saved(palette, "PNG"), palette.convert("RGB"))
see_through = np.array([0, 64, 255, 255, 128, 255], np.uint8)
keep("palette_alpha.png", saved(palette, "PNG", transparency=see_through.tobytes()),
     over_white(np.asarray(palette.convert("RGB")), see_through[np.asarray(palette)]))

wide = (np.arange(5 * 4 * 3, dtype=np.int64) * 65535 // 59).reshape(4, 5, 3)
keep("rgb16.png", png(5, 4, 16, 2, [row.astype(">u2").tobytes() for row in wide]), (wide + 128) // 257)
keep("grey16.png", png(5, 4, 16, 0, [row.astype(">u2").tobytes() for row in wide[..., 1]]), (wide[..., 1] + 128) // 257)

# Adam7: the seven passes of an 11 x 7 grey image.
passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
rows = [r.tobytes() for x, y, dx, dy in passes for r in grey[y::dy, x::dx] if r.size]
keep("interlaced.png", png(11, 7, 8, 0, rows, interlace=1), grey)
rows = [r.tobytes() for x, y, dx, dy in passes for r in np.dstack([rgb, alpha])[y::dy, x::dx] if r.size]
keep("interlaced_alpha.png", png(11, 7, 8, 6, rows, interlace=1), over_white(rgb, alpha))

exif = Image.Exif()
exif[0x112] = 6
turned = png(11, 7, 8, 0, [r.tobytes() for r in grey], [(b"eXIf", exif.tobytes()[6:])])
keep("exif6.png", turned, np.rot90(grey, 3))

for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x112] = orientation
    data = saved(Image.fromarray(picture(24, 13)), "JPEG", quality=80, exif=exif)
    keep(f"exif{orientation}.jpg", data, ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
for name, options in {"progressive": {"progressive": True}, "full_chroma": {"subsampling": 0}}.items():
    data = saved(Image.fromarray(picture(24, 13)), "JPEG", quality=80, **options)
    keep(name + ".jpg", data, Image.open(io.BytesIO(data)))
data = saved(Image.fromarray(picture(24, 13)[..., 2]), "JPEG", quality=80)
keep("grey.jpg", data, Image.open(io.BytesIO(data)))
data = saved(Image.fromarray(picture(24, 13)).convert("CMYK"), "JPEG", quality=80)
keep("cmyk.jpg", data, Image.open(io.BytesIO(data)).convert("RGB"), 1)

(out / "expected.txt").write_text("\n".join(expected) + "\n")

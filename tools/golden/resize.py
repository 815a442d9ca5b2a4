#!/usr/bin/python3
"""Golden numbers for derm::image::resize: what Pillow makes of images of noise, as SHA-256.

Usage: python3 tools/golden/resize.py > src/derm/image/resize_golden.inc     (made with Pillow 9.4)
"""
import hashlib

from PIL import Image

FILTERS = ["box", "bilinear", "hamming", "bicubic", "lanczos", "nearest"]
SIZES = [  # in, out
    ((16, 16), (8, 8)), ((16, 16), (32, 32)), ((17, 13), (5, 7)), ((5, 7), (17, 13)), ((1, 1), (4, 3)), ((9, 1), (3, 1)),
    ((31, 29), (31, 11)), ((31, 29), (12, 29)), ((31, 29), (31, 29)), ((64, 48), (1, 1)), ((100, 75), (33, 99)),
    ((33, 99), (100, 75)), ((127, 65), (64, 64)), ((3, 2), (200, 101)), ((200, 150), (199, 151)), ((256, 256), (64, 64)),
    ((300, 225), (128, 96)), ((640, 480), (97, 61)), ((7, 1000), (3, 10)),
]


def noise(width, height, channels):
    """Numerical Recipes' linear congruential generator, the top byte of each state; flat runs in between."""
    state, values = width * 1000003 + height * 101 + channels, bytearray()
    for i in range(width * height * channels):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        # Runs of black and white make the filters overshoot and clip.
        values.append(255 * (state >> 31) if (i // 64) % 3 == 0 else state >> 24)
    return bytes(values)


print("// Written by tools/golden/resize.py with Pillow: channels, filter, size in, size out, SHA-256 of the pixels (16 digits).")
for (w, h), (out_w, out_h) in SIZES:
    for channels, mode in ((1, "L"), (3, "RGB")):
        image = Image.frombytes(mode, (w, h), noise(w, h, channels))
        for name in FILTERS:
            result = image.resize((out_w, out_h), getattr(Image.Resampling, name.upper()))
            digest = hashlib.sha256(result.tobytes()).hexdigest()[:16]
            print(f'{{{channels}, Filter::{name}, {w}, {h}, {out_w}, {out_h}, "{digest}"}},')

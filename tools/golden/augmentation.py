#!/usr/bin/env python3
"""Golden numbers for src/derm/nn/augmentation_test.cpp: ADA's geometry (Karras et al. 2020) pixel by pixel with numpy, in double.

Run: /usr/bin/python3 tools/golden/augmentation.py. The picture is a formula, so that the test makes the same one without a file.
"""
import numpy as np

# Symlet of order 6 (Daubechies 1992), as PyWavelets prints it.
SYMLET = np.array([0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
                   0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
                   0.0017677118642428036, -0.007800708325034148])
CENTRE = 5
SIDE = 16


def picture():
    i, j = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    return np.sin(0.37 * (i + 1) * (j + 2)) + 0.5 * np.cos(0.9 * i - 0.4 * j)


def mirrored(k):
    """Pixel k of an endless picture continued by its mirror image."""
    k = k % (2 * SIDE)
    return k if k < SIDE else 2 * SIDE - 1 - k


def half_pixel(rows, m):
    """Line m / 2 of the lines: each input pixel puts the filter around itself."""
    return sum(rows(k) * SYMLET[m - 2 * k + CENTRE] for k in range((m - 12) // 2, (m + 12) // 2 + 1)
               if 0 <= m - 2 * k + CENTRE < len(SYMLET))


def warped(x, affine):
    line = {m: half_pixel(lambda k: x[mirrored(k)], m) for m in range(-18, 2 * SIDE + 18)}
    doubled = {(m, n): half_pixel(lambda k: line[m][mirrored(k)], n) for m in line for n in line}

    def at(u, v):  # bilinear at pixel u, v of the input
        def fold(p):
            if -4.5 <= p <= SIDE + 3.5:  # the filter of the output reaches so far
                return p
            t = (p + 0.5) / SIDE % 2
            return (1 - abs(1 - t)) * SIDE - 0.5
        a, b = 2 * fold(u), 2 * fold(v)
        i, j = int(np.floor(a)), int(np.floor(b))
        s, t = a - i, b - j
        return ((1 - s) * ((1 - t) * doubled[i, j] + t * doubled[i, j + 1])
                + s * ((1 - t) * doubled[i + 1, j] + t * doubled[i + 1, j + 1]))

    def from_input(m, n):  # half pixel m, n of the output
        px = (m / 2 + 0.5) * 2 / SIDE - 1, (n / 2 + 0.5) * 2 / SIDE - 1
        x_in = affine[0][0] * px[1] + affine[0][1] * px[0] + affine[0][2]
        y_in = affine[1][0] * px[1] + affine[1][1] * px[0] + affine[1][2]
        return at((y_in + 1) * SIDE / 2 - 0.5, (x_in + 1) * SIDE / 2 - 0.5)

    halves = range(-CENTRE, 2 * SIDE + len(SYMLET) - CENTRE - 2)
    grid = np.array([[from_input(m, n) for n in halves] for m in halves])
    out = np.zeros((SIDE, SIDE))
    for i in range(SIDE):
        for j in range(SIDE):
            patch = grid[2 * i:2 * i + len(SYMLET), 2 * j:2 * j + len(SYMLET)]
            out[i, j] = SYMLET @ patch @ SYMLET
    return out


def main():
    x = picture()
    assert np.allclose([SYMLET[2 * k:] @ SYMLET[:12 - 2 * k] for k in range(6)], [1, 0, 0, 0, 0, 0], atol=1e-9)
    for affine in ([[1, 0, 0], [0, 1, 0]], [[0.813, -0.517, 0.1037], [0.491, 0.797, -0.0531]], [[-1.3, 0.2, 0.6], [0.1, 1.4, -0.7]]):
        y = warped(x, affine)
        weights = np.cos(0.13 * np.arange(y.size)).reshape(y.shape)
        print(f"{affine}: weighted sum {(y * weights).sum():.9f}, pixels (0, 0), (5, 9), (15, 2): "
              f"{y[0, 0]:.9f} {y[5, 9]:.9f} {y[15, 2]:.9f}; off the input by {np.abs(y - x).max():.2e}")


if __name__ == "__main__":
    main()

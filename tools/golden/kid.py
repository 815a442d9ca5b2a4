#!/usr/bin/env python3
"""Golden numbers for src/derm/metrics/kid_test.cpp: the unbiased MMD^2 written out with numpy, in double.

Run: /usr/bin/python3 tools/golden/kid.py. The features are a formula, so that the test makes the same ones without a file.
"""
import numpy as np


def features(rows, columns, phase):
    i = np.arange(rows, dtype=np.float64)[:, None]
    j = np.arange(columns, dtype=np.float64)[None, :]
    return np.sin(0.37 * (i + 1) * (j + 1) + phase) + 0.1 * np.cos(0.11 * i * j)


def mmd2(x, y):
    d = x.shape[1]
    m, n = len(x), len(y)
    kxx = (x @ x.T / d + 1) ** 3
    kyy = (y @ y.T / d + 1) ** 3
    kxy = (x @ y.T / d + 1) ** 3
    return ((kxx.sum() - np.trace(kxx)) / (m * (m - 1))
            + (kyy.sum() - np.trace(kyy)) / (n * (n - 1))
            - 2 * kxy.sum() / (m * n))


def main():
    x, y = features(17, 5, 0.0), features(13, 5, 0.6)
    print(f"mmd2 of 17 x 5 (phase 0) and 13 x 5 (phase 0.6): {mmd2(x, y):.15g}")
    x, y = features(40, 64, 0.0), 0.5 + features(40, 64, 0.0)
    print(f"mmd2 of 40 x 64 (phase 0) and the same + 0.5:    {mmd2(x, y):.15g}")
    print(f"mmd2 of 40 x 64 (phase 0) with itself:           {mmd2(x, x):.15g}")


if __name__ == "__main__":
    main()

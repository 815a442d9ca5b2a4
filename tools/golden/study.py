#!/usr/bin/env python3
"""Golden numbers for src/derm/study/statistics_test.cpp and power_test.cpp, by other means than the program's.

Run: /usr/bin/python3 tools/golden/study.py
Exact fractions for the binomial figures, pairs counted one by one for areas and agreement, numpy for the rest.
"""
from fractions import Fraction
from itertools import permutations
from math import comb, erf, log, sqrt

import numpy as np


def tail(k, n, p):
    """P(X >= k), exact."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def clopper_pearson(k, n):
    def bisect(rises, target):
        low, high = Fraction(0), Fraction(1)
        for _ in range(60):
            middle = (low + high) / 2
            # A denominator of 2^60 keeps the sums quick and the answer good to 1e-17.
            if rises(middle) < target:
                low = middle
            else:
                high = middle
        return float(low)

    lower = 0.0 if k == 0 else bisect(lambda p: tail(k, n, p), Fraction(1, 40))
    upper = 1.0 if k == n else bisect(lambda p: tail(k + 1, n, p), Fraction(39, 40))
    return lower, upper


def binomial_test(k, n, chance=Fraction(1, 2)):
    p = [comb(n, i) * chance**i * (1 - chance) ** (n - i) for i in range(n + 1)]
    return float(sum(x for x in p if x <= p[k]))


def auc(scores, labels):
    pos = [s for s, l in zip(scores, labels) if l]
    neg = [s for s, l in zip(scores, labels) if not l]
    wins = np.array([[1.0 if p > n else 0.5 if p == n else 0.0 for n in neg] for p in pos])
    area = wins.mean()
    se = sqrt(wins.mean(axis=1).var(ddof=1) / len(pos) + wins.mean(axis=0).var(ddof=1) / len(neg))
    z, l = 1.959963984540054 * se / (area * (1 - area)), log(area / (1 - area))
    return area, 1 / (1 + np.exp(z - l)), 1 / (1 + np.exp(-z - l))


def alpha(units, metric):
    """Pairs of values counted one by one: disagreement within units over disagreement between any two values."""
    units = [u for u in units if len(u) > 1]
    values = sorted(v for u in units for v in u)
    n = len(values)
    count = {v: values.count(v) for v in values}

    def d(a, b):
        if a == b:
            return 0.0
        if metric == "nominal":
            return 1.0
        if metric == "interval":
            return float((a - b) ** 2)
        a, b = min(a, b), max(a, b)
        return (sum(c for v, c in count.items() if a <= v <= b) - (count[a] + count[b]) / 2) ** 2

    within = sum(sum(d(a, b) for a, b in permutations(u, 2)) / (len(u) - 1) for u in units) / n
    between = sum(d(a, b) for a, b in permutations(values, 2)) / (n * (n - 1))
    return 1 - within / between


def fleiss(rows):
    rows = np.array(rows, float)
    m = rows.sum(axis=1)[0]
    agreement = ((rows**2).sum(axis=1) - m) / (m * (m - 1))
    chance = ((rows.sum(axis=0) / rows.sum()) ** 2).sum()
    return (agreement.mean() - chance) / (1 - chance)


# Krippendorff 2011, the example of four observers and twelve units with missing data ("Computing Krippendorff's
# alpha-reliability", table C): nominal .743, ordinal .815, interval .849 there.
KRIPPENDORFF = [[1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1],
                [2, 2, 2, 2], [5, 5, 5], [1, 1], [3]]
# Fleiss 1971, table 1: thirty patients, six psychiatrists, five diagnoses; kappa = .430 there.
FLEISS = [[0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6], [0, 3, 0, 3, 0], [2, 0, 4, 0, 0], [0, 0, 4, 0, 2],
          [2, 0, 3, 1, 0], [2, 0, 0, 4, 0], [0, 0, 0, 0, 6], [1, 0, 0, 5, 0], [1, 1, 0, 4, 0], [0, 3, 3, 0, 0], [1, 0, 0, 5, 0],
          [0, 2, 0, 3, 1], [0, 0, 5, 0, 1], [3, 0, 0, 1, 2], [5, 1, 0, 0, 0], [0, 2, 0, 4, 0], [1, 0, 2, 0, 3], [0, 0, 0, 0, 6],
          [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0], [1, 0, 0, 4, 1], [0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0],
          [1, 0, 5, 0, 0], [0, 0, 0, 0, 6]]


def power(synthetic, real, icc_reader, icc_image, accuracy, alpha_level, readers):
    """Power of a test of (TPR + TNR) / 2 against 1/2 by simulation-free normal theory, from lists of readers an image."""

    def variance(v):
        def share(images):
            total = sum(images)
            return v * sum(m * (1 + (m - 1) * icc_image) for m in images) / total**2

        return (share(synthetic) + share(real)) / 4 + v * icc_reader / readers

    def cdf(z):
        return (1 + erf(z / sqrt(2))) / 2

    z = 1.959963984540054 if alpha_level == 0.05 else None
    d = accuracy - 0.5
    s0, s1 = sqrt(variance(0.25)), sqrt(variance(accuracy * (1 - accuracy)))
    return cdf((d - z * s0) / s1) + cdf((-d - z * s0) / s1)


def main():
    for k, n in [(0, 10), (10, 10), (7, 10), (37, 60), (1, 200), (52, 100)]:
        low, high = clopper_pearson(k, n)
        print(f"clopper_pearson {k:3} of {n:3}: {low:.12f} {high:.12f}   two-sided p against 1/2: {binomial_test(k, n):.12f}")
    print(f"binomial_test 2 of 9 against 0.2: {binomial_test(2, 9, Fraction(1, 5)):.12f}")
    scores, labels = [5, 4, 4, 3, 1, 4, 3, 2, 2, -1, 3, -2], [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0]
    print("auc with ties and DeLong's interval: %.12f %.12f %.12f" % auc(scores, labels))
    for metric in ["nominal", "ordinal", "interval"]:
        print(f"alpha {metric}: {alpha(KRIPPENDORFF, metric):.12f}")
    print(f"fleiss: {fleiss(FLEISS):.12f}  column sums {np.array(FLEISS).sum(axis=0).tolist()}")
    print(f"power, 6 readers see all of 30 + 30: {power([6] * 30, [6] * 30, 0.02, 0.1, 0.6, 0.05, 6):.12f}")
    print(f"power, anchors 10 by 6, 60 by 2:     {power([6] * 10 + [2] * 60, [6] * 10 + [2] * 60, 0.0, 0.2, 0.58, 0.05, 6):.12f}")


if __name__ == "__main__":
    main()

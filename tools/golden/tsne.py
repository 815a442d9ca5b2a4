#!/usr/bin/env python3
"""Affinities and objective of t-SNE (van der Maaten and Hinton 2008), by numpy, written after the paper.

tsne.py POINTS MAP PERPLEXITY: tables of numbers; prints "divergence" and "p", the first row of the affinities.
"""
import sys

import numpy as np


def affinities(x, perplexity):
    n = len(x)
    squared = ((x[:, None, :] - x[None, :, :]) ** 2).sum(-1)
    conditional = np.zeros((n, n))
    for i in range(n):
        others = np.delete(squared[i], i)
        low, high = 1e-20, 1e20
        for _ in range(300):  # of sigma squared, halving its logarithm
            beta = np.sqrt(low * high)
            weights = np.exp(-(others - others.min()) * beta)
            p = weights / weights.sum()
            entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
            if entropy > np.log(perplexity):
                low = beta
            else:
                high = beta
        conditional[i, np.arange(n) != i] = p
    return (conditional + conditional.T) / (2 * n)


def divergence(p, y):
    q = 1 / (1 + ((y[:, None, :] - y[None, :, :]) ** 2).sum(-1))
    np.fill_diagonal(q, 0)
    q /= q.sum()
    there = p > 0
    return (p[there] * np.log(p[there] / q[there])).sum()


points, placed = np.loadtxt(sys.argv[1]), np.loadtxt(sys.argv[2])
p = affinities(points, float(sys.argv[3]))
print("divergence", repr(float(divergence(p, placed))))
print("p", *(repr(float(v)) for v in p[0]))

#!/usr/bin/env python3
"""The measures of src/derm/metrics, written again with numpy and torch after the papers, for agreement_test.cpp.

    metrics.py FILE WEIGHTS    FILE: a safetensors file with what to measure; WEIGHTS: LPIPS weights, or -
                               prints a line a number: NAME VALUE

Written for clarity: full matrices, no blocks, plain loops over scales.
"""
import json
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U8": np.uint8}


def read(path):
    with open(path, "rb") as f:
        content = f.read()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    out = {}
    for name, e in header.items():
        if name != "__metadata__":
            begin, end = e["data_offsets"]
            out[name] = np.frombuffer(data[begin:end], TYPES[e["dtype"]]).reshape(e["shape"])
    return out


def frechet(x, y):
    """As pytorch-fid: the square root of the product, here by its eigenvalues."""
    m1, m2, s1, s2 = x.mean(0), y.mean(0), np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.sqrt(np.maximum(np.linalg.eigvals(s1 @ s2).real, 0)).sum()
    return ((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * root


def mmd2(x, y):
    d, m, n = x.shape[1], len(x), len(y)
    kxx, kyy, kxy = (x @ x.T / d + 1) ** 3, (y @ y.T / d + 1) ** 3, (x @ y.T / d + 1) ** 3
    return ((kxx.sum() - np.trace(kxx)) / (m * (m - 1)) + (kyy.sum() - np.trace(kyy)) / (n * (n - 1)) - 2 * kxy.mean())


def inception_score(logits, splits=10):
    p = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
    scores = []
    for i in range(splits):
        part = p[i * len(p) // splits : (i + 1) * len(p) // splits]
        scores.append(np.exp((part * (np.log(part) - np.log(part.mean(0, keepdims=True)))).sum(1).mean()))
    return np.mean(scores), np.std(scores)


def distances(x, y):
    return np.sqrt(((x[:, None, :] - y[None, :, :]) ** 2).sum(2))


def prdc(x, y):
    dxx, dyy, dxy = distances(x, x), distances(y, y), distances(x, y)
    kth = lambda d, k: np.sort(d, axis=1)[:, k]
    precision = (dxy <= kth(dxx, 3)[:, None]).any(0).mean()
    recall = (dxy <= kth(dyy, 3)[None, :]).any(1).mean()
    inside = dxy < kth(dxx, 5)[:, None]
    return precision, recall, inside.sum() / (5 * len(y)), inside.any(1).mean()


def mirrored_blur(x, gain):
    k = np.array([1, 4, 6, 4, 1]) / 16.0
    kernel = torch.from_numpy(np.outer(k, k) * gain).float()[None, None].repeat(3, 1, 1, 1)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)


def pyramid(x):
    levels = []
    while x.shape[2] // 2 >= 16:
        small = mirrored_blur(x, 1)[:, :, ::2, ::2]
        wide = torch.zeros_like(x)
        wide[:, :, ::2, ::2] = small
        levels.append(x - mirrored_blur(wide, 4))
        x = small
    return levels + [x]


def swd(data, real, fake):
    total = []
    for a, b in zip(pyramid(real), pyramid(fake)):
        side = a.shape[2]
        sets = []
        for which, level in (("real", a), ("fake", b)):
            places = data["places.%s.%d" % (which, side)]
            rows = np.stack([level[n, :, y : y + 7, x : x + 7].numpy()
                             for n in range(len(level)) for y, x in places[n]]).astype(np.float64)
            rows = (rows - rows.mean((0, 2, 3), keepdims=True)) / rows.std((0, 2, 3), keepdims=True)
            sets.append(rows.reshape(len(rows), -1))
        values = []
        for directions in data["directions.%d" % side]:
            p, q = (np.sort(rows @ directions.astype(np.float64), axis=0) for rows in sets)
            values.append(np.abs(p - q).mean())
        total.append(1e3 * np.mean(values))
    return np.mean(total), total


def ms_ssim(a, b):
    """Wang et al. 2003 with a full two-dimensional window, in double."""
    t = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5 ** 2))
    window = torch.from_numpy(np.outer(t, t) / np.outer(t, t).sum())[None, None].repeat(3, 1, 1, 1)
    blur = lambda v: F.conv2d(v, window, groups=3)
    x, y = (a.double() + 1) * 127.5, (b.double() + 1) * 127.5
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    result = 1
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mx, my = blur(x), blur(y)
        cs = (2 * (blur(x * y) - mx * my) + c2) / (blur(x * x) - mx ** 2 + blur(y * y) - my ** 2 + c2)
        if scale == 4:
            cs = cs * (2 * mx * my + c1) / (mx ** 2 + my ** 2 + c1)
        result = result * cs.mean((2, 3)).clamp(min=0) ** weight
        if scale < 4:
            pad = lambda v: F.pad(v, (0, v.shape[3] % 2, 0, v.shape[2] % 2), mode="replicate")
            x, y = F.avg_pool2d(pad(x), 2), F.avg_pool2d(pad(y), 2)
    return result.mean(1)


def lpips(weights, a, b):
    """torchvision's SqueezeNet 1.1, numbered as there, and the heads."""
    fires = (3, 4, 6, 7, 9, 10, 11, 12)

    def taps(x):
        x = (x - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)) / torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        conv = lambda v, name, **kw: F.relu(F.conv2d(v, weights[name + ".weight"], weights[name + ".bias"], **kw))
        out = []
        for i in range(13):
            if i == 0:
                x = conv(x, "features.0", stride=2)
            elif i in (2, 5, 8):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            elif i in fires:
                s = conv(x, "features.%d.squeeze" % i)
                x = torch.cat([conv(s, "features.%d.expand1x1" % i), conv(s, "features.%d.expand3x3" % i, padding=1)], 1)
            if i in (1, 4, 7, 9, 10, 11, 12):
                out.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        return out

    total = 0
    for i, (p, q) in enumerate(zip(taps(a), taps(b))):
        total = total + F.conv2d((p - q) ** 2, weights["lin%d.model.1.weight" % i]).mean((1, 2, 3))
    return total


def histograms(a, b):
    js, earth = [], []
    for c in range(3):
        p, q = (np.bincount(np.rint((v[:, c].numpy().ravel() + 1) * 127.5).astype(int), minlength=256) / v[:, c].numel()
                for v in (a, b))
        m = (p + q) / 2
        kl = lambda u: sum(u[i] * np.log(u[i] / m[i]) for i in range(256) if u[i] > 0)
        js.append((kl(p) + kl(q)) / 2)
        # Sorted samples against each other: the definition, not the cumulative shares.
        x, y = (np.sort(v[:, c].numpy().ravel().astype(np.float64)) / 2 for v in (a, b))
        earth.append(np.abs(x - y).mean())
    return np.mean(js), np.mean(earth)


def main():
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    data = read(sys.argv[1])
    show = lambda name, *values: print(name, *("%.17g" % float(v) for v in values))
    x, y = (data[n].astype(np.float64) for n in ("features.real", "features.fake"))
    show("frechet", frechet(x, y))
    x, y = (data[n].astype(np.float64) for n in ("wide.real", "wide.fake"))
    show("frechet.wide", frechet(x, y))
    values = [mmd2(x[i], y[j]) for i, j in zip(data["kid.real"], data["kid.fake"])]
    show("kid", np.mean(values), np.std(values))
    show("prdc", *prdc(x, y))
    show("is", *inception_score(data["logits"]))
    a, b = (torch.from_numpy(data[n].copy()) for n in ("images.real", "images.fake"))
    mean, levels = swd(data, a, b)
    show("swd", mean, *levels)
    show("histogram", *histograms(a, b))
    a, b = (torch.from_numpy(data[n].copy()) for n in ("large.real", "large.fake"))
    show("ms_ssim", *ms_ssim(a, b))
    if sys.argv[2] != "-":
        show("lpips", *lpips(torch.load(sys.argv[2]), a, b))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Golden numbers for tests/layers/layers_test.cpp: layers of PGGAN and StyleGAN2 and their penalties, in double.

Run: /usr/bin/python3 tools/golden/layers.py FOLDER writes FOLDER/layers.pth: inputs, parameters, results and gradients
by name. Everything is written out the long way: zeros put between pixels, filters as convolutions of their own,
a kernel made for each image, loops over groups.
"""
import math
import sys

import torch
import torch.nn.functional as F

OUT = {}
LOWPASS = {"box": [1.0, 1.0], "smooth": [1.0, 3.0, 3.0, 1.0]}


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)


def note(case, y, inputs):
    """Keeps inputs, the result, a direction, and the gradients of sum(result direction)."""
    direction = draw(*y.shape)
    gradients = torch.autograd.grad((y * direction).sum(), list(inputs.values()), retain_graph=True)
    OUT[f"{case}/y"] = y
    OUT[f"{case}/direction"] = direction
    for (name, value), gradient in zip(inputs.items(), gradients):
        OUT[f"{case}/{name}"] = value
        OUT[f"{case}/{name}.grad"] = gradient


def filtered(x, kind, gain, before, after):
    """Each channel by the two-dimensional filter, with that many zeros before and after."""
    f = torch.tensor(LOWPASS[kind], dtype=x.dtype)
    f = f[:, None] * f[None, :]
    f = gain * f / f.sum()
    x = F.pad(x, [before, after, before, after])
    n, c, h, w = x.shape
    return F.conv2d(x.reshape(n * c, 1, h, w), f[None, None]).reshape(n, c, h - f.shape[0] + 1, w - f.shape[1] + 1)


def zeros_between(x):
    n, c, h, w = x.shape
    out = torch.zeros(n, c, 2 * h, 2 * w, dtype=x.dtype)
    out[:, :, ::2, ::2] = x
    return out


def up(x, weight, kind):
    if kind == "box":
        return F.conv2d(x.repeat_interleave(2, 2).repeat_interleave(2, 3), weight, padding=weight.shape[2] // 2)
    # As StyleGAN2 orders them: convolve the zero-filled grid, borders kept, then blur.
    half = weight.shape[2] // 2
    y = F.conv2d(F.pad(zeros_between(x), [4, 4, 4, 4]), weight, padding=half)
    return filtered(y, kind, 4.0, 2 - 4, 1 - 4)


def down(x, weight, kind):
    if kind == "box":
        return F.avg_pool2d(F.conv2d(x, weight, padding=weight.shape[2] // 2), 2)
    # As StyleGAN2 orders them: blur, borders kept, then a convolution of stride 2.
    k = weight.shape[2]
    pad = (k + 4 - 1 - 2) // 2
    return F.conv2d(filtered(x, kind, 1.0, pad, pad), weight, stride=2)


def deviation(x, group, planes):
    n, c, h, w = x.shape
    groups = n // group
    rows = []
    for image in range(n):
        members = x[[image % groups + groups * j for j in range(group)]]
        values = []
        for p in range(planes):
            part = members[:, p * (c // planes):(p + 1) * (c // planes)]
            values.append(torch.sqrt(part.var(0, unbiased=False) + 1e-8).mean())
        rows.append(torch.stack(values)[:, None, None].expand(planes, h, w))
    return torch.cat([x, torch.stack(rows)], 1)


def modulated(x, weight, scales, demodulate, doubling):
    """A kernel for each image, and the images one by one."""
    images = []
    for i in range(len(x)):
        kernel = weight * scales[i][None, :, None, None]
        if demodulate:
            kernel = kernel / torch.sqrt(kernel.square().sum([1, 2, 3], keepdim=True) + 1e-8)
        images.append(up(x[i:i + 1], kernel, "smooth") if doubling
                      else F.conv2d(x[i:i + 1], kernel, padding=kernel.shape[2] // 2))
    return torch.cat(images)


def leaf(*shape):
    return draw(*shape).requires_grad_()


def layers():
    for kernel in (1, 3):
        x, w, b = leaf(2, 3, 6, 6), leaf(4, 3, kernel, kernel), leaf(4)
        scale = math.sqrt(2) / math.sqrt(3 * kernel * kernel)
        inputs = {"x": x, "weight": w, "bias": b}
        note(f"conv{kernel}", F.conv2d(x, w * scale, b, padding=kernel // 2), inputs)
        for kind in LOWPASS:
            note(f"up{kernel}_{kind}", up(x, w * scale, kind) + b[None, :, None, None], inputs)
            note(f"down{kernel}_{kind}", down(x, w * scale, kind) + b[None, :, None, None], inputs)
    x, w, b = leaf(5, 7), leaf(3, 7), leaf(3)
    note("linear", F.linear(x, w * 0.5 * 0.01 / math.sqrt(7), b * 0.01), {"x": x, "weight": w, "bias": b})
    x = leaf(3, 5, 4, 4)
    note("pixel_norm", x / torch.sqrt(x.pow(2).mean(1, keepdim=True) + 1e-8), {"x": x})
    x = leaf(8, 4, 3, 3)
    note("deviation8", deviation(x, 4, 2), {"x": x})
    x = leaf(6, 4, 3, 3)
    note("deviation6", deviation(x, 3, 1), {"x": x})
    coarse, fine = leaf(2, 3, 4, 4), leaf(2, 3, 8, 8)
    note("fade", 0.3 * fine + 0.7 * F.interpolate(coarse, scale_factor=2, mode="nearest"),
         {"coarse": coarse, "fine": fine})
    for demodulate in (False, True):
        for doubling in (False, True):
            x, w = leaf(3, 4, 5, 5), leaf(6, 4, 3, 3)
            style, affine, bias = leaf(3, 7), leaf(4, 7), leaf(4)
            scales = style @ (affine / math.sqrt(7)).t() + bias
            y = 1.5 * modulated(x, w / math.sqrt(36), scales, demodulate, doubling)
            note(f"modulated{int(demodulate)}{int(doubling)}", y,
                 {"x": x, "style": style, "weight": w, "affine.weight": affine, "affine.bias": bias})


def penalties():
    # A critic of the layers above: R1 and WGAN-GP go through each of them twice.
    x, w, v = leaf(4, 3, 8, 8), leaf(4, 3, 3, 3), leaf(1, 5 * 4 * 4)
    features = F.leaky_relu(down(x, w * math.sqrt(2) / math.sqrt(27), "smooth"), 0.2)
    score = torch.tanh(deviation(features, 2, 1).flatten(1) @ (v / math.sqrt(80)).t())
    gradient = torch.autograd.grad(score.sum(), x, create_graph=True)[0]
    inputs = {"x": x, "weight": w, "last": v}
    squares = gradient.square().sum([1, 2, 3])
    note("r1", squares.mean(), inputs)
    note("gradient_penalty", (squares.sqrt() - 1).square().mean(), inputs)

    # A generator of two modulated convolutions.
    start, style = leaf(2, 4, 4, 4), leaf(2, 2, 7)
    w1, a1, b1 = leaf(5, 4, 3, 3), leaf(4, 7), leaf(4)
    w2, a2, b2 = leaf(3, 5, 3, 3), leaf(5, 7), leaf(5)
    y = modulated(start, w1 / 6, style[:, 0] @ (a1 / math.sqrt(7)).t() + b1, True, True)
    y = modulated(F.leaky_relu(y, 0.2), w2 / math.sqrt(45), style[:, 1] @ (a2 / math.sqrt(7)).t() + b2, True, False)
    noise = draw(*y.shape)
    OUT["path/noise"] = noise
    gradient = torch.autograd.grad((y * noise).sum() / 8.0, style, create_graph=True)[0]
    lengths = gradient.square().sum(2).mean(1).sqrt()
    note("path", lengths, {"start": start, "style": style, "weight1": w1, "affine1": a1, "bias1": b1, "weight2": w2,
                           "affine2": a2, "bias2": b2})


def spectral():
    torch.manual_seed(5)
    layer = torch.nn.utils.spectral_norm(torch.nn.Conv2d(3, 4, 3, padding=1).double())
    OUT["spectral/u.before"] = layer.weight_u.clone()
    x = leaf(2, 3, 5, 5)
    for _ in range(2):  # two forwards in training, an iteration each; the second counts
        y = layer(x)
    note("spectral", y, {"x": x, "weight": layer.weight_orig, "bias": layer.bias})
    OUT["spectral/u.after"] = layer.weight_u.clone()


def main():
    torch.manual_seed(1)
    layers()
    penalties()
    spectral()
    torch.save({name: value.detach().clone() for name, value in OUT.items()}, sys.argv[1] + "/layers.pth")


if __name__ == "__main__":
    main()

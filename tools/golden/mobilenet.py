#!/usr/bin/env python3
"""MobileNetV2 (Sandler et al. 2018, table 2) written out with torch.nn.functional, for src/derm/judges/mobilenet_golden_test.cpp.

    /usr/bin/python3 tools/golden/mobilenet.py OUT.pth

writes random weights under torchvision's names ("features.0.0.weight" ...; block 1 has an expanding convolution too, as Gluon builds
it), an input, what each stage ends with in eval mode, and in train mode the last stage and the gradients of its mean square.
"""
import sys

import torch
import torch.nn.functional as F

# expansion, channels, blocks, stride
ROWS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


class Network:
    def __init__(self, random):
        self.random, self.state, self.training = random, {}, False

    def tensor(self, name, make):
        if name not in self.state:
            self.state[name] = make()
        return self.state[name]

    def conv(self, x, name, out, kernel, stride=1, groups=1):
        fan = x.shape[1] // groups * kernel * kernel
        shape = (out, x.shape[1] // groups, kernel, kernel)
        w = self.tensor(name + ".weight", lambda: torch.randn(shape, generator=self.random) * (2 / fan) ** 0.5)
        return F.conv2d(x, w, None, stride, kernel // 2, 1, groups)

    def norm(self, x, name):
        c = x.shape[1]
        uniform = lambda low, high: torch.rand(c, generator=self.random) * (high - low) + low
        w = self.tensor(name + ".weight", lambda: uniform(0.5, 1.5))
        b = self.tensor(name + ".bias", lambda: uniform(-0.3, 0.3))
        mean = self.tensor(name + ".running_mean", lambda: uniform(-0.3, 0.3))
        var = self.tensor(name + ".running_var", lambda: uniform(0.5, 1.5))
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        shape = (1, -1, 1, 1)
        return (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt() * w.view(shape) + b.view(shape)

    def block(self, x, name, expansion, out, stride):
        inner = x.shape[1] * expansion
        y = self.norm(self.conv(x, name + ".conv.0.0", inner, 1), name + ".conv.0.1").clamp(0, 6)
        y = self.norm(self.conv(y, name + ".conv.1.0", inner, 3, stride, inner), name + ".conv.1.1").clamp(0, 6)
        y = self.norm(self.conv(y, name + ".conv.2", out, 1), name + ".conv.3")
        return x + y if stride == 1 and x.shape[1] == out else y

    def forward(self, x):
        """Ends of the stages of side S/2, S/4, S/8, S/16, S/32."""
        y = self.norm(self.conv(x, "features.0.0", 32, 3, 2), "features.0.1").clamp(0, 6)
        ends, number = [], 1
        for expansion, out, count, stride in ROWS:
            for i in range(count):
                step = stride if i == 0 else 1
                if step == 2:
                    ends.append(y)
                y = self.block(y, "features.%d" % number, expansion, out, step)
                number += 1
        y = self.norm(self.conv(y, "features.%d.0" % number, 1280, 1), "features.%d.1" % number).clamp(0, 6)
        return ends + [y]


def main():
    random = torch.Generator().manual_seed(5)
    network = Network(random)
    x = torch.randn((3, 3, 64, 64), generator=random)
    made = {"input": x}
    with torch.no_grad():
        for i, end in enumerate(network.forward(x)):
            made["stage%d" % i] = end
    trained = {n: t for n, t in network.state.items() if not n.split(".")[-1].startswith("running")}
    for t in trained.values():
        t.requires_grad_()
    network.training = True
    last = network.forward(x)[-1]
    made["train"] = last.detach()
    loss = last.square().mean()
    for (name, t), gradient in zip(trained.items(), torch.autograd.grad(loss, list(trained.values()))):
        made["gradient." + name] = gradient
    made.update({n: t.detach() for n, t in network.state.items()})
    torch.save(made, sys.argv[1])


if __name__ == "__main__":
    main()

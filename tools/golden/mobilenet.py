#!/usr/bin/env python3
"""MobileNetV2 (Sandler et al. 2018, table 2) written out with torch.nn.functional, for src/derm/judges/mobilenet_golden_test.cpp.

    /usr/bin/python3 tools/golden/mobilenet.py OUT.pth

writes random weights under torchvision's names ("features.0.0.weight" ...; block 1 has an expanding convolution too, as Gluon builds
it), an input, what each stage ends with in eval mode, and in train mode the last stage and the gradients of its mean square.
"""
import sys

import torch

from network import MOBILENET, Network


class MobileNet(Network):
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
        for expansion, out, count, stride in MOBILENET:
            for i in range(count):
                step = stride if i == 0 else 1
                if step == 2:
                    ends.append(y)
                y = self.block(y, "features.%d" % number, expansion, out, step)
                number += 1
        y = self.norm(self.conv(y, "features.%d.0" % number, 1280, 1), "features.%d.1" % number).clamp(0, 6)
        return ends + [y]


def main():
    network = MobileNet(seed=5, most_scale=1.5)
    x = torch.randn((3, 3, 64, 64), generator=network.random)
    made = {"input": x}
    with torch.no_grad():
        for i, end in enumerate(network.forward(x)):
            made["stage%d" % i] = end
    trained = network.trained()
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

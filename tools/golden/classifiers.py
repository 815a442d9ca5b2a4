#!/usr/bin/env python3
"""torchvision's MobileNetV2 and ResNet-50 written out with torch.nn.functional, for src/derm/utility/classifier_test.cpp.

    /usr/bin/python3 tools/golden/classifiers.py mobilenet_v2|resnet50 OUT.pth

writes random weights under torchvision's names and shapes, head included, an input, in eval mode what each stage ends with, the
logits and the gradients of their mean square, and in train mode the logits. Written from the papers (Sandler et al. 2018, table 2;
He et al. 2016, table 1, with the stride in the 3x3 convolution).
"""
import sys

import torch
import torch.nn.functional as F

from network import MOBILENET, Network

CLASSES = 5


def mobilenet_v2(net, x):
    y = net.norm(net.conv(x, "features.0.0", 32, 3, 2), "features.0.1").clamp(0, 6)
    ends, number = [], 1
    for expansion, out, count, stride in MOBILENET:
        for i in range(count):
            name, step, inner = "features.%d.conv." % number, stride if i == 0 else 1, y.shape[1] * expansion
            if step == 2:
                ends.append(y)
            z, part = y, 0
            if expansion != 1:
                z, part = net.norm(net.conv(z, name + "0.0", inner, 1), name + "0.1").clamp(0, 6), 1
            z = net.norm(net.conv(z, name + "%d.0" % part, inner, 3, step, inner), name + "%d.1" % part).clamp(0, 6)
            z = net.norm(net.conv(z, name + "%d" % (part + 1), out, 1), name + "%d" % (part + 2))
            y = y + z if step == 1 and y.shape[1] == out else z
            number += 1
    y = net.norm(net.conv(y, "features.18.0", 1280, 1), "features.18.1").clamp(0, 6)
    return ends + [y], net.linear(y.mean((2, 3)), "classifier.1", CLASSES)


def resnet50(net, x):
    y = net.norm(net.conv(x, "conv1", 64, 7, 2), "bn1").clamp(min=0)
    y = F.max_pool2d(y, 3, 2, 1)
    ends = []
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2 ** stage
        for i in range(blocks):
            name, stride = "layer%d.%d." % (stage + 1, i), 2 if i == 0 and stage > 0 else 1
            z = net.norm(net.conv(y, name + "conv1", width, 1), name + "bn1").clamp(min=0)
            z = net.norm(net.conv(z, name + "conv2", width, 3, stride), name + "bn2").clamp(min=0)
            z = net.norm(net.conv(z, name + "conv3", 4 * width, 1), name + "bn3")
            if i == 0:
                y = net.norm(net.conv(y, name + "downsample.0", 4 * width, 1, stride), name + "downsample.1")
            y = (y + z).clamp(min=0)
        ends.append(y)
    return ends, net.linear(y.mean((2, 3)), "fc", CLASSES)


def main():
    net = Network(seed=11, most_scale=1.2)
    forward = {"mobilenet_v2": mobilenet_v2, "resnet50": resnet50}[sys.argv[1]]
    x = torch.randn((4, 3, 64, 64), generator=net.random)
    made = {"golden.input": x}
    with torch.no_grad():
        forward(net, x)  # makes the weights
    trained = net.trained()
    ends, logits = forward(net, x)
    for i, end in enumerate(ends):
        made["golden.stage%d" % i] = end.detach()
    made["golden.logits"] = logits.detach()
    for (name, t), g in zip(trained.items(), torch.autograd.grad(logits.square().mean(), list(trained.values()))):
        made["gradient." + name] = g
    net.training = True
    with torch.no_grad():
        made["golden.train"] = forward(net, x)[1]
    made.update({n: t.detach() for n, t in net.state.items()})
    torch.save(made, sys.argv[2])


if __name__ == "__main__":
    main()

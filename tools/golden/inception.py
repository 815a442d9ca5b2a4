#!/usr/bin/env python3
"""The FID Inception written again as a torch module, and Pillow's resizing, for src/derm/metrics/inception_test.cpp.

    inception.py random FOLDER          random weights in pytorch-fid's layout (weights.pth), and expected.pth
    inception.py given FOLDER WEIGHTS   expected.pth of folded weights that end after Mixed_6e
    inception.py resize FOLDER          expected.pth of resizing alone
    inception.py feed FOLDER            features of the tensor in images.pth (uint8) with weights.pth: features.pth

expected.pth holds "images" (uint8), "clean" and "legacy" (inputs), and the features of four taps of the clean inputs as
"64" ... "2048", "legacy.768", "logits".
"""
import os
import sys

import numpy as np
import PIL.Image
import torch
import torch.nn as nn
import torch.nn.functional as F


class Unit(nn.Module):
    def __init__(self, i, o, k, folded, **kw):
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, bias=folded, **kw)
        if not folded:
            self.bn = nn.BatchNorm2d(o, eps=0.001)

    def forward(self, x):
        x = self.conv(x)
        return F.relu(self.bn(x) if hasattr(self, "bn") else x)


class A(nn.Module):
    def __init__(self, i, pool, f):
        super().__init__()
        self.branch1x1 = Unit(i, 64, 1, f)
        self.branch5x5_1, self.branch5x5_2 = Unit(i, 48, 1, f), Unit(48, 64, 5, f, padding=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(i, 64, 1, f), Unit(64, 96, 3, f, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, f, padding=1)
        self.branch_pool = Unit(i, pool, 1, f)

    def forward(self, x):
        pool = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return torch.cat([self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)),
                          self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))), self.branch_pool(pool)], 1)


class B(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.branch3x3 = Unit(288, 384, 3, f, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(288, 64, 1, f), Unit(64, 96, 3, f, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, f, stride=2)

    def forward(self, x):
        return torch.cat([self.branch3x3(x), self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
                          F.max_pool2d(x, 3, 2)], 1)


class C(nn.Module):
    def __init__(self, c, f):
        super().__init__()
        row, column = dict(kernel=(1, 7), padding=(0, 3)), dict(kernel=(7, 1), padding=(3, 0))
        make = lambda i, o, k: Unit(i, o, k["kernel"], f, padding=k["padding"])
        self.branch1x1 = Unit(768, 192, 1, f)
        self.branch7x7_1, self.branch7x7_2, self.branch7x7_3 = Unit(768, c, 1, f), make(c, c, row), make(c, 192, column)
        self.branch7x7dbl_1, self.branch7x7dbl_2, self.branch7x7dbl_3 = Unit(768, c, 1, f), make(c, c, column), make(c, c, row)
        self.branch7x7dbl_4, self.branch7x7dbl_5 = make(c, c, column), make(c, 192, row)
        self.branch_pool = Unit(768, 192, 1, f)

    def forward(self, x):
        d = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        pool = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return torch.cat([self.branch1x1(x), self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
                          self.branch7x7dbl_5(self.branch7x7dbl_4(d)), self.branch_pool(pool)], 1)


class D(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Unit(768, 192, 1, f), Unit(192, 320, 3, f, stride=2)
        self.branch7x7x3_1, self.branch7x7x3_2 = Unit(768, 192, 1, f), Unit(192, 192, (1, 7), f, padding=(0, 3))
        self.branch7x7x3_3, self.branch7x7x3_4 = Unit(192, 192, (7, 1), f, padding=(3, 0)), Unit(192, 192, 3, f, stride=2)

    def forward(self, x):
        s = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), s, F.max_pool2d(x, 3, 2)], 1)


class E(nn.Module):
    def __init__(self, i, last, f):
        super().__init__()
        self.last = last
        self.branch1x1, self.branch3x3_1 = Unit(i, 320, 1, f), Unit(i, 384, 1, f)
        self.branch3x3_2a, self.branch3x3_2b = Unit(384, 384, (1, 3), f, padding=(0, 1)), Unit(384, 384, (3, 1), f, padding=(1, 0))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(i, 448, 1, f), Unit(448, 384, 3, f, padding=1)
        self.branch3x3dbl_3a = Unit(384, 384, (1, 3), f, padding=(0, 1))
        self.branch3x3dbl_3b = Unit(384, 384, (3, 1), f, padding=(1, 0))
        self.branch_pool = Unit(i, 192, 1, f)

    def forward(self, x):
        t, d = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pool = F.max_pool2d(x, 3, 1, 1) if self.last else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return torch.cat([self.branch1x1(x), self.branch3x3_2a(t), self.branch3x3_2b(t), self.branch3x3dbl_3a(d),
                          self.branch3x3dbl_3b(d), self.branch_pool(pool)], 1)


class Inception(nn.Module):
    def __init__(self, folded=False, whole=True):
        super().__init__()
        f = folded
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = Unit(3, 32, 3, f, stride=2), Unit(32, 32, 3, f)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, f, padding=1)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Unit(64, 80, 1, f), Unit(80, 192, 3, f)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = A(192, 32, f), A(256, 64, f), A(288, 64, f)
        self.Mixed_6a = B(f)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = C(128, f), C(160, f), C(160, f), C(192, f)
        self.whole = whole
        if whole:
            self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = D(f), E(1280, False, f), E(2048, True, f)
            self.fc = nn.Linear(2048, 1008)

    def forward(self, x):
        out = {}
        x = F.max_pool2d(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))), 3, 2)
        out["64"] = x.mean((2, 3))
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        out["192"] = x.mean((2, 3))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        out["768"] = x.mean((2, 3))
        if self.whole:
            x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))
            out["2048"] = x
            out["logits"] = self.fc(x)
            out["logits_unbiased"] = x @ self.fc.weight.t()
        return out


def clean(images):
    planes = [[np.asarray(PIL.Image.fromarray(p.astype(np.float32), mode="F").resize((299, 299), PIL.Image.BICUBIC))
               for p in image] for image in images.numpy()]
    return (torch.from_numpy(np.array(planes)).clamp(0, 255) - 128) / 128


def legacy(images):
    return 2 * F.interpolate(images.float() / 255, size=(299, 299), mode="bilinear", align_corners=False) - 1


def pictures(count, side):
    """Smooth blobs with a hard edge and some noise: something for every filter."""
    g = torch.Generator().manual_seed(7 + side)
    smooth = F.interpolate(torch.rand(count, 3, 9, 9, generator=g), size=(side, side), mode="bicubic", align_corners=False)
    smooth[:, :, side // 3 : side // 2, side // 4 :] += 0.3
    return ((smooth + 0.08 * torch.randn(count, 3, side, side, generator=g)).clamp(0, 1) * 255).round().to(torch.uint8)


def random_network():
    torch.manual_seed(3)
    net = Inception()
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
        if isinstance(m, nn.BatchNorm2d):
            m.weight.uniform_(0.7, 1.3)
            m.bias.uniform_(-0.3, 0.3)
            m.running_mean.uniform_(-0.3, 0.3)
            m.running_var.uniform_(0.6, 1.5)
    net.fc.weight.mul_(20)  # so that classes differ
    return net.eval()


def main():
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    task, folder = sys.argv[1], sys.argv[2]
    path = lambda name: os.path.join(folder, name)
    if task == "resize":
        out = {}
        for side in (64, 200, 299, 512):
            images = pictures(2, side)
            out.update({"images.%d" % side: images, "clean.%d" % side: clean(images), "legacy.%d" % side: legacy(images)})
        torch.save(out, path("expected.pth"))
        return
    if task == "feed":
        net = random_network()
        out = [net(clean(part)) for part in torch.load(path("images.pth"))["images"].split(4)]
        torch.save({k: torch.cat([o[k] for o in out]) for k in out[0]}, path("features.pth"))
        return
    if task == "random":
        net = random_network()
        torch.save(net.state_dict(), path("weights.pth"))
    else:
        net = Inception(folded=True, whole=False).eval()
        state = torch.load(sys.argv[3])
        net.load_state_dict({k: state[k] for k in net.state_dict()})
    images = pictures(2, 128)
    out = net(clean(images))
    out.update({"images": images, "clean": clean(images), "legacy": legacy(images), "legacy.768": net(legacy(images))["768"]})
    torch.save(out, path("expected.pth"))


if __name__ == "__main__":
    main()

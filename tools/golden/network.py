"""Convolution, batch norm and linear layers on random weights that are drawn when first asked for, by torchvision's names: what
mobilenet.py and classifiers.py build their networks of."""
import torch
import torch.nn.functional as F

# MobileNetV2's rows (Sandler et al. 2018, table 2): expansion, channels, blocks, stride
MOBILENET = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


class Network:
    def __init__(self, seed, most_scale):
        """most_scale: of the batch norms, drawn from 0.5 up."""
        self.random, self.state, self.training = torch.Generator().manual_seed(seed), {}, False
        self.most_scale = most_scale

    def tensor(self, name, make):
        if name not in self.state:
            self.state[name] = make()
        return self.state[name]

    def conv(self, x, name, out, kernel, stride=1, groups=1):
        shape = (out, x.shape[1] // groups, kernel, kernel)
        fan = shape[1] * kernel * kernel
        w = self.tensor(name + ".weight", lambda: torch.randn(shape, generator=self.random) * (2 / fan) ** 0.5)
        return F.conv2d(x, w, None, stride, kernel // 2, 1, groups)

    def norm(self, x, name):
        c = x.shape[1]
        uniform = lambda low, high: torch.rand(c, generator=self.random) * (high - low) + low
        w = self.tensor(name + ".weight", lambda: uniform(0.5, self.most_scale))
        b = self.tensor(name + ".bias", lambda: uniform(-0.3, 0.3))
        mean = self.tensor(name + ".running_mean", lambda: uniform(-0.3, 0.3))
        var = self.tensor(name + ".running_var", lambda: uniform(0.5, 1.5))
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        s = (1, -1, 1, 1)
        return (x - mean.view(s)) / (var.view(s) + 1e-5).sqrt() * w.view(s) + b.view(s)

    def linear(self, x, name, out):
        w = self.tensor(name + ".weight", lambda: torch.randn((out, x.shape[1]), generator=self.random) * 0.05)
        b = self.tensor(name + ".bias", lambda: torch.randn((out,), generator=self.random) * 0.1)
        return x @ w.t() + b

    def trained(self):
        """The state without running statistics, with gradients asked for."""
        found = {n: t for n, t in self.state.items() if not n.split(".")[-1].startswith("running")}
        for t in found.values():
            t.requires_grad_()
        return found

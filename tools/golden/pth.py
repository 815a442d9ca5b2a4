#!/usr/bin/env python3
"""Files of torch.save for src/derm/tensor/pth_test.cpp, and what is in them as PyTorch reads it.

    pth.py write FOLDER    writes zip.pth, legacy.pth, protocol4.pth, module.pth, optimiser.pth, script.pth, and prints a
                           line a tensor of the first: NAME DTYPE [SHAPE] VALUES
    pth.py corpus FOLDER   writes small files, sound and hostile ones, for tests/fuzz/corpus/pth
"""
import collections
import io
import os
import pickle
import sys
import zipfile

import torch


def state():
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8
    out = collections.OrderedDict()
    out["conv.weight"] = torch.nn.Parameter(base)
    out["transposed"] = base.permute(2, 0, 1)
    out["every_second"] = base.flatten()[1::2]
    out["tied"] = base
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
                  torch.uint8, torch.bool):
        out[str(dtype)] = torch.tensor([1.0, 0.0, 1.0]).to(dtype)
    out["negative"] = torch.tensor([-1, -(2 ** 40)])
    out["scalar"] = torch.tensor(2.5)
    out["empty"] = torch.empty(0, 3)
    out["inner"] = {"list": [torch.ones(1), {"deep": torch.zeros(2)}], "epoch": 7, "name": "x", "none": None, "rate": 0.1}
    out._metadata = collections.OrderedDict(version=1)
    return out


def show(value, name=""):
    if isinstance(value, torch.Tensor):
        numbers = " ".join("%.9g" % v for v in value.detach().double().flatten().tolist())
        print(name, str(value.dtype).replace("torch.", ""), str(list(value.shape)).replace(" ", ""), numbers)
    elif isinstance(value, dict):
        for key, item in value.items():
            show(item, name + "." + str(key) if name else str(key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            show(item, "%s.%d" % (name, i))


def write(folder):
    path = lambda name: os.path.join(folder, name)
    torch.save(state(), path("zip.pth"))
    torch.save(state(), path("legacy.pth"), _use_new_zipfile_serialization=False)
    torch.save(state(), path("protocol4.pth"), pickle_protocol=4)
    module = torch.nn.Conv2d(1, 1, 1)
    torch.save(module, path("module.pth"))
    adam = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 1, 2, 2)).sum().backward()
    adam.step()
    torch.save({"epoch": 3, "state_dict": module.state_dict(), "optimizer": adam.state_dict()}, path("optimiser.pth"))
    torch.jit.save(torch.jit.script(module), path("script.pth"))
    show(torch.load(path("zip.pth")))


class Shell:
    def __reduce__(self):
        return os.system, ("touch derm-was-here",)


def repacked(content, edit, compression=zipfile.ZIP_STORED):
    """The same zip with its pickle edited, checksums right again."""
    source, out = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, edit(data) if name.endswith("data.pkl") else data)
    return out.getvalue()


def saved(value, legacy=False):
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


def corpus(folder):
    small = collections.OrderedDict(a=torch.arange(4.0).reshape(2, 2), b=torch.arange(6.0).reshape(2, 3).t())
    small._metadata = collections.OrderedDict(version=1)
    wide = collections.OrderedDict(a=torch.zeros(1).expand(1000, 1000))
    files = {
        "sound.pth": saved(small),
        "sound-legacy.pth": saved(small, legacy=True),
        "wrapped-legacy.pth": saved({"state_dict": small, "epoch": 3, "rates": [0.1, True, None]}, legacy=True),
        "expanded.pth": saved(wide),
        "expanded-legacy.pth": saved(wide, legacy=True),
        "shell.pth": saved({"a": Shell()}),
        "shell-legacy.pth": saved({"a": Shell()}, legacy=True),
        "deflated.pth": repacked(saved(small), lambda p: p, zipfile.ZIP_DEFLATED),
        "outside.pth": repacked(saved(small), lambda p: p.replace(b"K\x02K\x02\x86", b"K\x7fK\x02\x86")),
        "truncated.pth": saved(small)[:400],
        "damaged.pth": saved(small).replace(b"\0\0\x80?", b"\0\0\x81?", 1),
    }
    loop = []
    loop.append(loop)
    bomb = {}
    for _ in range(40):
        bomb = {"x": bomb, "y": bomb}
    # Zips whose pickle is another one: the storages are there, and nothing uses them.
    files["loop.pth"] = repacked(saved(small), lambda p: pickle.dumps(loop, 2))
    files["bomb.pth"] = repacked(saved(small), lambda p: pickle.dumps(bomb, 2))
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(content)


if __name__ == "__main__":
    {"write": write, "corpus": corpus}[sys.argv[1]](sys.argv[2])

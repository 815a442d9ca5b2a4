#!/usr/bin/env python3
"""An independent reader and writer of the safetensors format, in plain Python, for tests.

    safetensors.py show FILE      one line a tensor, sorted by name: NAME DTYPE [SHAPE] VALUES
    safetensors.py example FILE   writes the file that src/derm/tensor/safetensors_test.cpp expects

Written after the format's description (8 bytes of header length, JSON, data), not after our C++.
"""
import json
import struct
import sys

CODES = {"F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "I16": "h", "I8": "b", "U8": "B", "BOOL": "?"}
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def values_of(dtype, raw):
    if dtype == "BF16":  # the upper half of a float
        return [struct.unpack("<f", b"\0\0" + raw[i : i + 2])[0] for i in range(0, len(raw), 2)]
    return list(struct.unpack("<%d%s" % (len(raw) // SIZES[dtype], CODES[dtype]), raw))


def raw_of(dtype, values):
    if dtype == "BF16":
        return b"".join(struct.pack("<f", v)[2:] for v in values)
    return struct.pack("<%d%s" % (len(values), CODES[dtype]), *values)


def read(path):
    with open(path, "rb") as f:
        content = f.read()
    (length,) = struct.unpack("<Q", content[:8])
    assert (8 + length) % 8 == 0, "the data are not aligned"
    header = json.loads(content[8 : 8 + length].decode("utf-8"))
    data = content[8 + length :]
    metadata = header.pop("__metadata__", {})
    assert list(header) == sorted(header), "the names are not sorted"
    tensors, seen = {}, 0
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert begin % SIZES[entry["dtype"]] == 0, "%s is not aligned to its element" % name
        tensors[name] = (entry["dtype"], entry["shape"], values_of(entry["dtype"], data[begin:end]))
        seen += end - begin
    assert seen == len(data), "bytes that belong to no tensor"
    return tensors, metadata


def write(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, (dtype, shape, values) in tensors.items():
        raw = raw_of(dtype, values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode("utf-8")
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def text_of(value):
    return str(int(value)) if float(value).is_integer() else repr(value)


def main():
    verb, path = sys.argv[1:3]
    if verb == "show":
        tensors, metadata = read(path)
        for name, (dtype, shape, values) in sorted(tensors.items()):
            print(name, dtype, shape, " ".join(text_of(v) for v in values))
        for key, value in sorted(metadata.items()):
            print("#", key, value)
    elif verb == "example":
        # A one-byte tensor in the middle leaves those behind it unaligned, which readers must bear.
        tensors = {
            "z.weight": ("F32", [2, 3], [1.5, -2.0, 0.25, 4.0, 1e-3, -1e6]),
            "flag": ("BOOL", [3], [True, False, True]),
            "half": ("F16", [2], [0.5, -65504.0]),
            "brain": ("BF16", [2, 1], [1.0, -3.0]),
            "count": ("I64", [], [-(2**40)]),
            "nothing": ("F32", [0, 4], []),
        }
        write(path, tensors, {"format": "pt", "text": "zwölf"})
    else:
        sys.exit("unknown verb " + verb)


if __name__ == "__main__":
    main()

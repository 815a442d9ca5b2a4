#!/usr/bin/env python3
"""Joins data sets (docs/data-sets.md) into one: `join_sets.py OUT SET[:SPLIT] SET[:SPLIT] ...`.

With :SPLIT every row of that set goes into this split, as `made:train` for made skin that is to be learned from and
never to be measured on. Rows whose region was found with less than their set's least quality (`prepare --min-quality`) are left
out. Files are copied into OUT/images/SET/ and OUT/masks/SET/; patients, lesions and splits stay what
they are. Standard library only. OUT must not exist; it appears whole or not at all.
"""
import csv
import json
import os
import shutil
import sys


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    out, sources = sys.argv[1].rstrip("/"), sys.argv[2:]
    if os.path.exists(out):
        sys.exit(f"{out}: exists already; name a folder that does not")
    partial = f"{out}.new-{os.getpid()}"
    columns, rows, names = [], [], set()
    for source in sources:
        root, _, split = source.partition(":")
        if split not in ("", "train", "validation", "test"):
            sys.exit(f'{source}: the split is "{split}", expected train, validation or test')
        name = os.path.basename(os.path.abspath(root))
        if name in names:
            sys.exit(f"{source}: two sets are called {name}; rename one folder")
        names.add(name)
        table = os.path.join(root, "metadata.csv")
        if not os.path.exists(table):
            sys.exit(f"{table}: there is no such file; give folders that `dermgan prepare` or `dermgan phantom` wrote")
        facts = os.path.join(root, "dataset.json")
        least = 0.0
        if os.path.exists(facts):
            with open(facts, encoding="utf-8") as file:
                least = json.load(file).get("min_quality", 0.0)
        with open(table, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns += [c for c in reader.fieldnames if c not in columns]
            for row in reader:
                if row.get("quality") and float(row["quality"]) < least:
                    continue
                if split:
                    row["split"] = split
                for column, folder in (("file_name", "images"), ("mask_file_name", "masks")):
                    if not row.get(column):
                        continue
                    moved = f"{folder}/{name}/{os.path.basename(row[column])}"
                    target = os.path.join(partial, moved)
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    shutil.copyfile(os.path.join(root, row[column]), target)
                    row[column] = moved
                for column in ("subject_id", "lesion_id"):
                    if row.get(column):  # two sets may both have a patient 7
                        row[column] = f"{name}/{row[column]}"
                rows.append(row)
    with open(os.path.join(partial, "metadata.csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.rename(partial, out)
    print(f"{out}: {len(rows)} rows of {len(sources)} sets")


if __name__ == "__main__":
    main()

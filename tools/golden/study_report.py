#!/usr/bin/env python3
"""Computes a study's figures again from answers.csv alone and compares them with report.json, by other means than the program.

Run: /usr/bin/python3 tools/golden/study_report.py FOLDER     (the folder of `dermgan study report`)
Values and exact intervals have to agree to 1e-9. Ends of the crossed bootstrap's intervals have to lie between the 1 % and 4.5 % (95.5 %
and 99 %) quantiles of draws by numpy's generator.
"""
import csv
import json
import sys
from collections import defaultdict
from math import comb, sqrt, exp, log
from pathlib import Path

import numpy as np

# The functions that are checked against published examples.
from study import alpha, fleiss

checked, wrong = 0, []


def same(name, found, expected, tolerance=1e-9):
    global checked
    checked += 1
    if expected is None or found is None:
        if expected is not found:
            wrong.append(f"{name}: report {found}, here {expected}")
    elif not abs(found - expected) <= tolerance:
        wrong.append(f"{name}: report {found}, here {expected}")


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else None


def clopper_pearson(k, n):
    def at_least(k, p):
        return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))

    def solve(k, target):
        low, high = 0.0, 1.0
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if at_least(k, middle) < target else (low, middle)
        return low

    return (0.0 if k == 0 else solve(k, 0.025)), (1.0 if k == n else solve(k + 1, 0.975))


def exact(name, estimate, hits):
    hits = list(hits)
    same(name + ".n", estimate["n"], len(hits))
    if not hits:
        return same(name, estimate["value"], None)
    same(name, estimate["value"], mean(hits))
    low, high = clopper_pearson(sum(hits), len(hits))
    same(name + ".low", estimate["low"], low)
    same(name + ".high", estimate["high"], high)


def area(rows):
    pos = [r["score"] for r in rows if r["real"]]
    neg = [r["score"] for r in rows if not r["real"]]
    if not pos or not neg:
        return None
    return mean(1.0 if p > n else 0.5 if p == n else 0.0 for p in pos for n in neg)


def delong(rows):
    pos = [r["score"] for r in rows if r["real"]]
    neg = [r["score"] for r in rows if not r["real"]]
    if len(pos) < 2 or len(neg) < 2:
        return None, None
    wins = np.array([[1.0 if p > n else 0.5 if p == n else 0.0 for n in neg] for p in pos])
    a = wins.mean()
    se = sqrt(wins.mean(axis=1).var(ddof=1) / len(pos) + wins.mean(axis=0).var(ddof=1) / len(neg))
    if a in (0, 1) or se == 0:
        return None, None
    step = 1.959963984540054 * se / (a * (1 - a))
    return tuple(1 / (1 + exp(-(log(a / (1 - a)) + s * step))) for s in (-1, 1))


def by(rows, key):
    groups = defaultdict(list)
    for r in rows:
        groups[r[key]].append(r)
    return groups


def mean_area(rows):
    return mean(a for a in (area(own) for own in by(rows, "reader").values()) if a is not None)


SHARES = {
    "accuracy": (lambda r: True, lambda r: r["correct"]),
    "tpr": (lambda r: r["real"], lambda r: r["said_real"]),
    "fpr": (lambda r: not r["real"], lambda r: r["said_real"]),
    "realism_real": (lambda r: r["real"] and r["realism"], lambda r: r["realism"]),
    "realism_synthetic": (lambda r: not r["real"] and r["realism"], lambda r: r["realism"]),
    "artefacts_real": (lambda r: r["real"] and r["realism"], lambda r: r["artefacts"]),
    "artefacts_synthetic": (lambda r: not r["real"] and r["realism"], lambda r: r["artefacts"]),
    "condition_real": (lambda r: r["real"] and r["said_condition"], lambda r: r["said_condition"] == r["condition"]),
    "condition_synthetic": (lambda r: not r["real"] and r["said_condition"], lambda r: r["said_condition"] == r["condition"]),
}


def bootstrap(rows, choose, of, draws=10000):
    readers, images = sorted({r["reader"] for r in rows}), sorted({r["image"] for r in rows})
    pool = {r["image"]: r["pool"] for r in rows}
    value, there = np.zeros((len(readers), len(images))), np.zeros((len(readers), len(images)))
    for r in rows:
        if choose(r):
            value[readers.index(r["reader"]), images.index(r["image"])] = of(r)
            there[readers.index(r["reader"]), images.index(r["image"])] = 1
    rng = np.random.default_rng(1)
    one = len(readers) == 1
    r = np.ones((draws, 1)) if one else rng.multinomial(len(readers), np.full(len(readers), 1 / len(readers)), draws)
    i = np.zeros((draws, len(images)))
    for p in sorted(set(pool.values())):
        members = [k for k, image in enumerate(images) if pool[image] == p]
        i[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), draws)
    weight = ((r @ there) * i).sum(axis=1)
    return (((r @ (value * there)) * i).sum(axis=1)[weight > 0]) / weight[weight > 0]


def part(name, report, rows):
    same(f"{name}.answers", report["answers"], len(rows))
    values = {}
    for figure, (choose, of) in SHARES.items():
        values[figure] = mean(of(r) for r in rows if choose(r))
        same(f"{name}.{figure}", report[figure]["value"], values[figure])
        if report[figure]["low"] is not None and figure in ("accuracy", "tpr", "fpr", "realism_synthetic"):
            # Few answers take few values: the ends have to lie where another generator's draws end, give or take.
            drawn = bootstrap(rows, choose, of)
            for end, (low, high) in {"low": (0.01, 0.045), "high": (0.955, 0.99)}.items():
                a, b = np.quantile(drawn, [low, high])
                same(f"{name}.{figure}.{end}", report[figure][end], float(np.clip(report[figure][end], a, b)), 1e-9)
    balanced = None if None in (values["tpr"], values["fpr"]) else (values["tpr"] + 1 - values["fpr"]) / 2
    same(f"{name}.balanced_accuracy", report["balanced_accuracy"]["value"], balanced)
    same(f"{name}.auc", report["auc"]["value"], mean_area(rows))


def cohen(pairs):
    n = len(pairs)
    if n < 2:
        return None
    chance = sum(mean(a == v for a, _ in pairs) * mean(b == v for _, b in pairs) for v in (True, False))
    return None if chance >= 1 - 1e-12 else (mean(a == b for a, b in pairs) - chance) / (1 - chance)


def units(rows, of):
    groups = defaultdict(list)
    for r in rows:
        v = of(r)
        if v is not None:
            groups[r["image"]].append(v)
    return list(groups.values())


def alpha_or_none(rows, of, metric):
    pairable = [u for u in units(rows, of) if len(u) > 1]
    if len({v for u in pairable for v in u}) < 2:
        return None
    return alpha(pairable, metric)


def main():
    folder = Path(sys.argv[1])
    report = json.loads((folder / "report.json").read_text())
    rows = []
    with open(folder / "answers.csv", newline="", encoding="utf-8") as file:
        for r in csv.DictReader(file):
            r["real"] = r["source"] == "real"
            r["said_real"] = r["verdict"] == "real"
            r["correct"] = r["real"] == r["said_real"]
            r["score"] = int(r["confidence"]) * (1 if r["said_real"] else -1)
            r["pool"] = r["model"] or "real"
            for key in ("realism", "artefacts"):
                r[key] = int(r[key]) if r[key] else None
            rows.append(r)
    standing = [r for r in rows if r["withdrawn"] == "0" and r["kind"] != "practice" and r["after_unsealing"] == "0"]
    scored = [r for r in standing if r["repeat"] == "0"]
    same("counts.answers", report["counts"]["answers"], len(rows))
    same("counts.scored", report["counts"]["scored"], len(scored))
    same("counts.withdrawn", report["counts"]["withdrawn"], sum(r["withdrawn"] == "1" for r in rows))

    part("overall", report["overall"], scored)
    for r in report["readers"]:
        own = [x for x in scored if x["reader"] == r["name"]]
        name = r["name"]
        exact(name + ".accuracy", r["accuracy"], [x["correct"] for x in own])
        exact(name + ".tpr", r["tpr"], [x["said_real"] for x in own if x["real"]])
        exact(name + ".fpr", r["fpr"], [x["said_real"] for x in own if not x["real"]])
        for kind in ("real", "synthetic"):
            exact(f"{name}.condition_{kind}", r[f"condition_{kind}"],
                  [x["said_condition"] == x["condition"] for x in own if x["source"] == kind and x["said_condition"]])
        same(name + ".auc", r["auc"]["value"], area(own))
        for end, value in zip(("low", "high"), delong(own)):
            same(f"{name}.auc.{end}", r["auc"][end], value)
        if own:
            n, k = len(own), sum(x["correct"] for x in own)
            p = [comb(n, i) / 2**n for i in range(n + 1)]
            same(name + ".p_chance", r["p_chance"], sum(q for q in p if q <= p[k] * (1 + 1e-9)))
        times = [int(x["response_ms"]) / 1000 for x in own if int(x["views"]) <= 1]
        same(name + ".median_s", r["times"]["median_s"], float(np.median(times)) if times else None)

    for m in report["models"]:
        part(m["name"], m, [r for r in scored if r["pool"] in ("real", m["name"])])
    for key, column in (("conditions", "condition"), ("tones", "tone"), ("groups", "group")):
        groups = by(scored, column)
        same(key, len(report[key]), len(groups))
        for p in report[key]:
            part(f"{key}.{p['name']}", p, groups[p["name"]])
    fpr = {m: mean(r["said_real"] for r in scored if r["pool"] == m) for m in {r["pool"] for r in scored}}
    for d in report["model_differences"]:
        same(f"{d['a']}-{d['b']}", d["fpr_difference"]["value"], fpr[d["a"]] - fpr[d["b"]])

    first = {(r["reader"], r["image"]): r for r in scored}
    pairs = [(first[r["reader"], r["image"]]["said_real"], r["said_real"], r["reader"]) for r in standing
             if r["repeat"] == "1" and (r["reader"], r["image"]) in first]
    exact("self_agreement", report["overall"]["self_agreement"], [a == b for a, b, _ in pairs])
    same("self_kappa", report["overall"]["self_kappa"]["value"], cohen([(a, b) for a, b, _ in pairs]))
    for r in report["readers"]:
        exact(r["name"] + ".self_agreement", r["self_agreement"], [a == b for a, b, who in pairs if who == r["name"]])

    agreement = report["agreement"]
    same("alpha_verdict", agreement["alpha_verdict"]["value"], alpha_or_none(scored, lambda r: int(r["said_real"]), "nominal"))
    same("alpha_score", agreement["alpha_score"]["value"], alpha_or_none(scored, lambda r: r["score"], "ordinal"))
    same("alpha_realism", agreement["alpha_realism"]["value"], alpha_or_none(scored, lambda r: r["realism"], "ordinal"))
    names = sorted({r["condition"] for r in rows})
    for kind in ("real", "synthetic"):
        value = alpha_or_none([r for r in scored if r["source"] == kind],
                              lambda r: names.index(r["said_condition"]) if r["said_condition"] in names else None, "nominal")
        same(f"alpha_condition_{kind}", agreement[f"alpha_condition_{kind}"]["value"], value)
    readers = {r["reader"] for r in scored}
    table = [[u.count(0), u.count(1)] for u in units([r for r in scored if r["kind"] == "anchor"], lambda r: int(r["said_real"]))
             if len(u) == len(readers)]
    same("anchors", agreement["anchors"], len(table))
    if table and len(readers) > 1 and all(sum(row[i] for row in table) for i in (0, 1)):
        same("fleiss", agreement["fleiss_anchors"]["value"], fleiss(table))
    else:
        same("fleiss", agreement["fleiss_anchors"]["value"], None)

    for cell in ("remark", "group", "reader", "condition"):
        for r in rows:
            if r[cell][:1] in ("=", "+", "-", "@", "\t", "\r"):
                wrong.append(f"{cell}: {r[cell]!r} would be a formula")
    for line in wrong:
        print(line)
    print(f"{checked} figures compared, {len(wrong)} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

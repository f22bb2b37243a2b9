#!/usr/bin/env python3
"""Draws what a domain costs, from one domain to a million.

Reads the lines of the bench `million` in benches/out/figures.jsonl, the latest of each figure, and
writes docs/scale.png. Needs matplotlib.
"""

import json
import pathlib
import re

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = pathlib.Path(__file__).parent
FIGURE = re.compile(r"(.*?),? (?:at )?(\d+) domains(.*)")


def latest():
    """Medians by figure and number of domains."""
    found = {}
    for line in (HERE / "out/figures.jsonl").read_text().splitlines():
        one = json.loads(line)
        match = FIGURE.fullmatch(one["figure"])
        if one["bench"] == "million" and match:
            what, domains, rest = match.groups()
            found.setdefault(what + rest, {})[int(domains)] = one["median"]
    return found


PANELS = [
    ("resident memory (MB)", 1000, {"memory after a cold start": "after a cold start"}),
    (
        "start (s)",
        15,
        {"cold start without the store": "cold, without the store", "start with the store": "with the store"},
    ),
    ("one change, return to handshake (ms)", 10, {"p50 from return": "p50", "p99 from return": "p99"}),
    (
        "server's CPU for a handshake (µs)",
        None,
        {
            "handshake, one name, server's CPU": "one name",
            "handshake, random names, server's CPU": "random names",
        },
    ),
]


def main():
    figures = latest()
    fig, axes = plt.subplots(2, 2, figsize=(10, 7), constrained_layout=True)
    for axis, (title, aim, lines) in zip(axes.flat, PANELS):
        for name, label in lines.items():
            points = sorted(figures.get(name, {}).items())
            axis.plot([n for n, _ in points], [v for _, v in points], marker="o", label=label)
        if aim is not None:
            axis.axhline(aim, linestyle=":", color="gray", label=f"aim at 1,000,000: {aim}")
        axis.set_xscale("log")
        if title.startswith(("resident", "start")):
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.set_xlabel("domains, each with a P-256 certificate of its own")
        axis.set_title(title)
        axis.grid(True, alpha=0.3)
        axis.legend()
    fig.savefig(HERE.parent / "docs/scale.png", dpi=110)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Prints the figures that have an aim, and those of the peers with many certificates, in Markdown.

A dash means that the peer was given up at a limit, which is told below.
Reads benches/out/figures.jsonl; with `--since N` only the lines after the first N. Of each figure
the latest counts.
"""

import argparse
import json
import pathlib
import re

FIGURES = pathlib.Path(__file__).parent / "out/figures.jsonl"
MANY = re.compile(r"(nginx|nginx, file by variable|haproxy|caddy): (.+), (\d+) domains")


def number(value):
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def latest(since):
    found = {}
    for line in FIGURES.read_text().splitlines()[since:]:
        one = json.loads(line)
        found[one["bench"], one["figure"]] = one
    return found


def with_aims(figures):
    print("| figure | aim | measured | | command |")
    print("|---|---|---|---|---|")
    for (bench, name), one in figures.items():
        if one["aim"] is None:
            continue
        sign = "≥" if one["unit"] == "calls/s" else "≤"
        met = "met" if one["met"] else "**missed**"
        unit = "" if one["unit"] == "ratio" else f" {one['unit']}"
        print(f"| {name} | {sign} {number(one['aim'])}{unit} | {number(one['median'])}{unit} | {met} | `{bench}` |")


PEERS = ["nginx", "nginx, file by variable", "haproxy", "caddy"]
OURS = {
    "start": "start with the store",
    "memory after a start": "memory after a cold start",
    "memory after changes": "memory at the end",
    "handshake, random names, its CPU": "handshake, random names, server's CPU",
}


def many(figures):
    rows, sizes = {}, set()
    for (bench, name), one in figures.items():
        match = MANY.fullmatch(name)
        if bench == "million" and match:
            peer, what, size = match[1], match[2], int(match[3])
            rows.setdefault(what, {})[size, peer] = one
            sizes.add(size)
    peers = PEERS
    for what, cells in rows.items():
        unit = next(iter(cells.values()))["unit"]
        print(f"\n**{what} ({unit})**\n\n| domains | edgeseal | " + " | ".join(peers) + " |")
        print("|---" * (2 + len(peers)) + "|")
        for size in sorted(sizes):
            name = f"{OURS[what]}, {size} domains" if what in OURS else f"p50 from start, at {size} domains"
            ours = figures.get(("million", name)) if what in OURS or what == "one change" else None
            row = [number(ours["median"]) if ours else ""]
            row += [number(cells[size, peer]["median"]) if (size, peer) in cells else "–" for peer in peers]
            print(f"| {size:,} | " + " | ".join(row) + " |")


def limits(figures):
    said = {line for one in figures.values() for line in one["setup"] if "given up" in line}
    for line in sorted(said):
        print(f"\n{line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--since", type=int, default=0, metavar="N")
    figures = latest(parser.parse_args().since)
    with_aims(figures)
    many(figures)
    limits(figures)
    loads = {one["machine"]["load_before"] for one in figures.values()}
    print(f"\nload before each: {', '.join(sorted(loads))}")
    if figures:
        print(json.dumps(next(iter(figures.values()))["machine"]))


if __name__ == "__main__":
    main()

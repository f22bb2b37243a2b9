#!/usr/bin/env python3
"""Draws what a domain costs, from one domain to a million, here and with the peers.

Reads the lines of the bench `million` in benches/out/figures.jsonl, the latest of each figure, and
writes docs/internals/scale.png. Run it with benches/out/peers/bin/python, which has matplotlib.
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
    """Medians by figure and number of domains, and the machine."""
    found, machine = {}, {}
    for line in (HERE / "out/figures.jsonl").read_text().splitlines():
        one = json.loads(line)
        match = FIGURE.fullmatch(one["figure"])
        if one["bench"] == "million" and match:
            what, domains, rest = match.groups()
            found.setdefault(what + rest, {})[int(domains)] = one["median"]
            machine = one["machine"]
    said = [f"{machine.get('cores')} cores of {machine.get('cpu')}", f"Linux {machine.get('kernel')}"]
    for name in ("edgeseal", "nginx", "haproxy", "caddy"):
        version = re.search(r"\d+(\.\d+)+", machine.get(name) or "")
        said.append(f"{name} {version[0] if version else ''}")
    return found, ", ".join(said)


PANELS = [
    (
        "resident memory (MB)",
        1000,
        {
            "memory after a cold start": "Edgeseal",
            "nginx: memory after a start": "nginx",
            "nginx, file by variable: memory after a start": "nginx, file by variable",
            "haproxy: memory after a start": "HAProxy",
            "caddy: memory after a start": "Caddy",
        },
    ),
    (
        "start to serving (s)",
        15,
        {
            "cold start without the store": "Edgeseal, the store away",
            "nginx: start": "nginx",
            "nginx, file by variable: start": "nginx, file by variable",
            "haproxy: start": "HAProxy",
            "caddy: start": "Caddy",
        },
    ),
    (
        "one change, until a handshake shows it (ms)",
        None,
        {
            "p50 from start": "Edgeseal, durable, p50",
            "p99 from return": "Edgeseal, from the call's return, p99",
            "nginx: one change": "nginx, reload",
            "nginx, file by variable: one change": "nginx, file by variable",
            "haproxy: one change": "HAProxy, runtime API, not kept",
            "caddy: one change": "Caddy, load",
        },
    ),
    (
        "CPU of a full TLS 1.3 handshake, random names (µs)",
        None,
        {
            "handshake, random names, server's CPU": "Edgeseal",
            "handshake, nginx with one certificate, its CPU": "nginx with one certificate",
            "nginx: handshake, random names, its CPU": "nginx",
            "nginx, file by variable: handshake, random names, its CPU": "nginx, file by variable",
            "haproxy: handshake, random names, its CPU": "HAProxy",
            "caddy: handshake, random names, its CPU": "Caddy",
        },
    ),
]


# The first start that fits counts.
COLORS = {
    "Edgeseal": "tab:blue",
    "nginx, file": "tab:green",
    "nginx": "tab:orange",
    "HAProxy": "tab:red",
    "Caddy": "tab:purple",
}


def main():
    figures, machine = latest()
    fig, axes = plt.subplots(2, 2, figsize=(12, 9), constrained_layout=True)
    for axis, (title, aim, lines) in zip(axes.flat, PANELS):
        for name, label in lines.items():
            points = sorted(figures.get(name, {}).items())
            ours = label.startswith("Edgeseal")
            color = next(color for start, color in COLORS.items() if label.startswith(start))
            axis.plot(
                [n for n, _ in points],
                [v for _, v in points],
                marker="o",
                color=color,
                linestyle="--" if "return" in label or "one certificate" in label else "-",
                linewidth=2.5 if ours else 1,
                label=label,
            )
        if aim is not None:
            axis.plot([1_000_000], [aim], marker="_", color="black", linestyle="", label=f"aim at 1,000,000: {aim}")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("domains, each with a P-256 certificate of its own")
        axis.set_title(title)
        axis.grid(True, alpha=0.3)
        axis.legend(fontsize="small")
    fig.suptitle(machine, fontsize="small")
    fig.savefig(HERE.parent / "docs/internals/scale.png", dpi=100)


if __name__ == "__main__":
    main()

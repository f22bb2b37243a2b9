#!/usr/bin/env python3
"""Draws the simulated year of 100,000 domains that are renewed by ACME.

Reads target/renewal-year.csv and writes docs/operate/renewal-year.png:

    EDGESEAL_WRITE_DOCS=1 cargo test -p edgeseal-core a_year_of
    benches/out/peers/bin/python benches/plot_renewals.py

benches/peers.sh installs that python with matplotlib.
"""

import csv
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = pathlib.Path(__file__).parent.parent
# The day of the mass revocation: `revocation_day` of the test.
REVOCATION = 200


def main():
    rows = list(csv.DictReader((ROOT / "target/renewal-year.csv").open()))
    days = [int(row["day"]) for row in rows]

    def column(name):
        return [float(row[name]) for row in rows]

    orders = column("orders")
    mean = sum(orders) / len(orders)
    fig, axes = plt.subplots(3, 1, figsize=(11, 8), sharex=True, constrained_layout=True)

    axes[0].bar(days, orders, width=1, color="tab:blue", label="orders")
    axes[0].bar(days, column("failed"), width=1, color="tab:red", label="of them failed")
    axes[0].axhline(mean, color="black", linewidth=0.8, label=f"mean: {mean:,.0f}")
    axes[0].axhline(3 * mean, color="black", linewidth=0.8, linestyle="--", label="three times the mean")
    axes[0].set_title("orders a day")

    axes[1].fill_between(days, column("backlog"), step="mid", color="tab:orange", label="renewals that are due")
    axes[1].set_title("backlog at midnight")

    axes[2].plot(days, column("nearest_expiry_days"), color="tab:green", label="nearest expiry")
    axes[2].axhline(0, color="tab:red", linewidth=1.5, label="expired")
    axes[2].set_title("days until the next certificate expires")
    axes[2].set_ylim(bottom=-1)
    axes[2].set_xlabel("day of the simulated year")

    down = [day for day, row in zip(days, rows) if row["down"] == "1"]
    for axis in axes:
        for day in down:
            label = "authority down" if day == down[0] else None
            axis.axvspan(day - 0.5, day + 0.5, color="lightgrey", zorder=0, label=label)
        axis.axvline(REVOCATION, color="tab:purple", linewidth=1, linestyle=":", label="5,000 to be revoked in 24 h")
        axis.grid(True, alpha=0.3)
        axis.set_xlim(0, len(days))
        axis.legend(fontsize="small", loc="upper right", ncols=3)
    for axis in axes[:2]:
        axis.set_ylim(bottom=0, top=axis.get_ylim()[1] * 1.25)
        axis.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
    axes[2].set_ylim(top=axes[2].get_ylim()[1] * 1.25)
    fig.savefig(ROOT / "docs/operate/renewal-year.png", dpi=100)


if __name__ == "__main__":
    main()

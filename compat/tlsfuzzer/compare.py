"""tlsfuzzer's server scripts, unmodified, against the edge and against nginx in the same run.

`compare.py CHECKOUT [SCRIPT...]` prints a table and ends with "N passed, N failed, N skipped". A script passes if
each of its conversations passes on the edge or is listed in conversations.tsv; it is skipped if scripts.tsv excludes it.
nginx is there for comparison: it fails nothing, and what it cannot do by its build (uncompared.tsv) is not counted. What
the scripts print is kept in target/tlsfuzzer/.
"""

import ast
import concurrent.futures
import csv
import dataclasses
import pathlib
import re
import shlex
import subprocess
import sys

import servers

FOLDER = pathlib.Path(__file__).resolve().parent
LOGS = FOLDER.parent.parent / "target" / "tlsfuzzer"
SERVERS = ("edgeseal", "nginx")
# The longest script takes a minute when two processors have nothing else to do.
SCRIPT_SECONDS = 600
WORKERS = 3


@dataclasses.dataclass
class Outcome:
    """What one script found on one server: how many conversations, and the names of those that failed.

    `failed` is None if the script did not finish.
    """

    total: int
    failed: list | None


def main(checkout, *wanted):
    checkout = pathlib.Path(checkout).resolve()
    scripts, explained = table("scripts.tsv"), table("conversations.tsv")
    problems = differences(checkout, {row["script"] for row in scripts})
    selected = [row for row in scripts if not wanted or row["script"] in wanted]
    runnable = [row for row in selected if not row["excluded"]]
    outcomes = run_all(checkout, runnable)
    passed = report([row["script"] for row in runnable], outcomes, explained, problems)
    print(*problems, sep="\n", end="\n" if problems else "")
    failed, skipped = len(runnable) - passed, len(selected) - len(runnable)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if problems or not selected else 0)


def table(name):
    """A table of this folder as a list of dictionaries."""
    with open(FOLDER / name, newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True))


def differences(checkout, listed):
    """Scripts that are in scripts.tsv or in the checkout, but not in both: the table is for another version."""
    present = {path.stem.removeprefix("test-") for path in checkout.glob("scripts/test-*.py")}
    return [f"not in scripts.tsv: {name}" for name in sorted(present - listed)] + [
        f"not in the checkout: {name}" for name in sorted(listed - present)
    ]


def run_all(checkout, rows):
    """{(script, server): Outcome} for each script and both servers."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with servers.running() as ports, concurrent.futures.ThreadPoolExecutor(WORKERS) as workers:
        futures = {
            (row["script"], server): workers.submit(run, checkout, row, server, ports[server][row["key"]])
            for row in rows
            for server in SERVERS
        }
        return {job: future.result() for job, future in futures.items()}


def run(checkout, row, server, port):
    script = checkout / "scripts" / f"test-{row['script']}.py"
    arguments = [*shlex.split(row["arguments"]), *shlex.split(row[server])]
    log = LOGS / f"{row['script']}.{server}.log"
    with open(log, "w") as output:
        try:
            subprocess.run(
                [sys.executable, "-u", script, "-h", "127.0.0.1", "-p", str(port), *arguments],
                cwd=checkout,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=SCRIPT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Outcome(0, None)
    return outcome(log.read_text(errors="replace"))


def outcome(log):
    """Reads the summary at the end of a script's output. Names are printed as Python literals."""
    total = re.search(r"^TOTAL: (\d+)$", log, re.M)
    if not total:
        return Outcome(0, None)
    _, _, names = log.partition("\nFAILED:\n")
    return Outcome(int(total[1]), [ast.literal_eval(line.strip()) for line in names.splitlines() if line.strip()])


def report(scripts, outcomes, explained, problems):
    """Prints the table, adds what failed without an explanation to `problems`, and returns how many scripts passed."""
    width = max(map(len, scripts), default=0)
    compared = [script for script in scripts if script not in {row["script"] for row in table("uncompared.tsv")}]
    clean, passed = dict.fromkeys(SERVERS, 0), 0
    print(f"{'script':{width}}" + "".join(f"{server:>14}" for server in SERVERS))
    for script in scripts:
        line = f"{script:{width}}"
        for server in SERVERS:
            counted = unexplained(script, outcomes[script, server], explained, {"excluded"})
            clean[server] += counted == [] and script in compared
            line += f"{cell(outcomes[script, server], counted):>14}"
        print(line)
        unexpected = unexplained(script, outcomes[script, "edgeseal"], explained, {"excluded", "known"})
        if unexpected is None:
            problems.append(f"{script}: did not finish, see {LOGS / script}.edgeseal.log")
        else:
            problems.extend(f"{script}: {name}" for name in unexpected)
        passed += unexpected == []
    print("clean: " + ", ".join(f"{server} {count}" for server, count in clean.items()) + f" of {len(compared)}")
    return passed


def unexplained(script, found, explained, kinds):
    """The failed conversations that no row of these kinds explains; None if the script did not finish."""
    if found.failed is None:
        return None
    patterns = [row["conversation"] for row in explained if row["script"] == script and row["kind"] in kinds]
    return [name for name in found.failed if not any(matches(pattern, name) for pattern in patterns)]


def matches(pattern, name):
    """Whether `name` is of this pattern, in which only `*` is special: it stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.S) is not None


def cell(found, counted):
    if counted is None:
        return "unfinished"
    return f"{len(counted)} of {found.total}" if counted else "clean"


if __name__ == "__main__":
    main(*sys.argv[1:])

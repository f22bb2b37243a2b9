"""`python totals.py PYTEST.xml… NODE.tap`: the totals of the reports on one line; the exit status reports failures."""

import pathlib
import re
import sys
import xml.etree.ElementTree as xml


def main(*reports):
    *junit, tap = reports
    totals = [sum(column) for column in zip(*map(python_totals, junit), node_totals(tap))]
    passed, failed, skipped = totals
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed or not passed else 0)


def python_totals(path):
    """Passed, failed, skipped. A suite that could not run is one failure."""
    if not pathlib.Path(path).exists():
        return 0, 1, 0
    passed = failed = skipped = 0
    for case in xml.parse(path).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def node_totals(path):
    """The same of Node's report. A failed suite without a failed test in it (its set-up, its end) is a failure too."""
    text = pathlib.Path(path).read_text() if pathlib.Path(path).exists() else ""
    found = dict(re.findall(r"^# (pass|fail|cancelled|skipped) (\d+)$", text, re.M))
    if not found:
        return 0, 1, 0
    failed = int(found["fail"]) + int(found["cancelled"])
    if not failed and re.search(r"^not ok ", text, re.M):
        failed = 1
    return int(found["pass"]), failed, int(found["skipped"])


if __name__ == "__main__":
    main(*sys.argv[1:])

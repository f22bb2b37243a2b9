"""testssl.sh finds nothing of MEDIUM or worse, with either type of key. Findings that tell nothing are in testssl.tsv."""

import concurrent.futures
import json
import pathlib
import subprocess

import pytest

from website import ECDSA, RSA

HARMLESS = {"OK", "INFO", "LOW"}
# Two scans at a time take 80 s on two cores.
SECONDS_MAX = 400
FOLDER = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def findings(site):
    with concurrent.futures.ThreadPoolExecutor() as both:
        return dict(zip((ECDSA, RSA), both.map(lambda name: scan(site, name), (ECDSA, RSA))))


@pytest.mark.parametrize("name", [ECDSA, RSA])
def test_no_finding_of_medium_or_worse(findings, name):
    excused = {line.split("\t")[0] for line in (FOLDER / "testssl.tsv").read_text().splitlines()[1:]}
    # WARN means that a check could not run: it must be listed like any other finding.
    found = [f for f in findings[name] if f["severity"] not in HARMLESS and f["id"] not in excused]
    assert not found, "\n".join(f"{f['severity']} {f['id']}: {f['finding']}" for f in found)


@pytest.mark.parametrize("name", [ECDSA, RSA])
def test_the_scan_was_whole(findings, name):
    """The scan is complete and found the expected protocols."""
    by_id = {finding["id"]: finding for finding in findings[name]}
    assert "scanTime" in by_id and len(by_id) > 100
    for protocol in ("TLS1_2", "TLS1_3"):
        assert by_id[protocol]["severity"] == "OK" and by_id[protocol]["finding"].startswith("offered"), protocol
    for old in ("SSLv2", "SSLv3", "TLS1", "TLS1_1"):
        assert by_id[old]["finding"].startswith("not offered"), old
    for good in ("cert_chain_of_trust", "heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_client_renego", "CRIME_TLS"):
        assert by_id[good]["severity"] == "OK", by_id[good]
    assert by_id["cert_trust"]["severity"] == "OK", by_id["cert_trust"]
    # Clients of the last ten years get a connection. (Internet Explorer 11 does with P-256 alone: of suites with RSA it
    # has those with CBC, which Mozilla took out as well, and with finite-field DH, which rustls never had.)
    for client in ("firefox_100_win10", "chrome_101_win10", "safari_154_osx_1231", "java1703", "openssl_102e"):
        assert by_id[f"clientsimulation-{client}"]["finding"].startswith("TLSv1."), client


def scan(site, name):
    report = site.folder / f"{name}.json"
    command = ["testssl", "--quiet", "--color=0", "--warnings=off", "--nodns=none", "--ip=127.0.0.1", f"--add-ca={site.ca}"]
    done = subprocess.run(
        [*command, f"--jsonfile={report}", f"{name}:{site.port}"], timeout=SECONDS_MAX, capture_output=True, text=True
    )
    assert report.exists(), done.stdout + done.stderr
    return json.loads(report.read_text())

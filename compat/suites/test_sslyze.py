"""sslyze finds that the edge complies with Mozilla's profiles: intermediate by default, modern with TLS 1.3 alone."""

import json
import pathlib
import subprocess

import pytest

from website import ECDSA, MODERN, RSA

# It asks for an older cryptography than the SDKs do.
SSLYZE = pathlib.Path(__file__).resolve().parent.parent / ".venv-sslyze" / "bin" / "sslyze"
SECONDS_MAX = 120


@pytest.mark.parametrize(("name", "profile"), [(ECDSA, "intermediate"), (RSA, "intermediate"), (MODERN, "modern")])
def test_profile(site, name, profile):
    status, said, _ = scan(site, name, f"--mozilla_config={profile}")
    assert (status, "OK - Compliant" in said) == (0, True), said


def test_the_check_can_fail(site):
    """A domain that speaks TLS 1.2 is not modern, and one whose CA is unknown complies with none."""
    status, said, _ = scan(site, ECDSA, "--mozilla_config=modern")
    assert status != 0 and "TLS versions {'TLSv1.2'} are supported" in said


@pytest.mark.parametrize("name", [ECDSA, RSA])
def test_no_early_data(site, name):
    _, said, found = scan(site, name, "--mozilla_config=disable", "--early_data")
    assert found["tls_1_3_early_data"]["result"]["supports_early_data"] is False, said


def scan(site, name, *options):
    """Exit status, what it said, and its results by command."""
    report = site.folder / "sslyze.json"
    command = [SSLYZE, "--sni", name, "--certinfo_ca_file", site.ca, "--json_out", report, *options]
    done = subprocess.run(
        [*command, f"127.0.0.1:{site.port}"], timeout=SECONDS_MAX, capture_output=True, text=True
    )
    assert report.exists(), done.stdout + done.stderr
    results = json.loads(report.read_text())["server_scan_results"]
    return done.returncode, done.stdout + done.stderr, results[0]["scan_result"]

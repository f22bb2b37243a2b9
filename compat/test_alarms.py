"""What Edgeseal's own actions say about expiry: `DescribeCertificateExpiry`, and the alarms of a certificate that expires
soon, silenced and not."""

import pytest

from clients import CLIENTS, add_domains
from harness import Server, eventually
from steps import expect_refusal
from test_companion import upload

NAME = "shop.example.com"


@pytest.mark.parametrize("client", CLIENTS)
def test_certificates_with_their_ends_and_domains(client, server):
    sdk = CLIENTS[client](server)
    assert sdk.call("DescribeCertificateExpiry", {})["TotalCount"] == 0
    add_domains(server, NAME)
    sdk.call("SetCdnDomainSSLCertificate", upload(server, "a"))
    sdk.call("SetCdnDomainSSLCertificate", upload(server, "b"))
    listed = sdk.call("DescribeCertificateExpiry", {"PageSize": 10, "PageNumber": 1})
    assert (listed["TotalCount"], listed["PageNumber"], listed["PageSize"]) == (2, 1, 10)
    info = sdk.call("DescribeDomainCertificateInfo", {"DomainName": NAME})["CertInfos"]["CertInfo"][0]
    rows = {row["CertName"]: row for row in listed["Certificates"]}
    assert rows["a"]["Domains"] == []
    row = rows["b"]
    assert (row["Domains"], row["Names"], row["KeyType"], row["CertType"]) == ([NAME], NAME, "RSA", "upload")
    assert (str(row["CertId"]), row["NotAfter"]) == (info["CertId"], info["CertExpireTime"])
    assert row["ChainNotAfter"] == row["NotAfter"]
    expect_refusal(sdk, "DescribeCertificateExpiry", {"PageSize": 501}, "InvalidPageSize")


@pytest.fixture
def server_of_alarms(certs):
    """A server that evaluates alarms each second."""
    with Server(certs, "alarm_interval_ms = 1000\n") as running:
        yield running


@pytest.mark.parametrize("client", CLIENTS)
def test_an_alarm_is_raised_silenced_and_resolved(client, server_of_alarms):
    server, sdk = server_of_alarms, CLIENTS[client](server_of_alarms)
    add_domains(server, NAME)
    sdk.call("SetCdnDomainSSLCertificate", upload(server, "expiring"))

    def alarms():
        return [row for row in sdk.call("DescribeAlarms", {})["Alarms"] if row.get("DomainName") == NAME]

    (raised,) = eventually("the alarm", alarms)
    assert (raised["Code"], raised["Silenced"]) == ("certificate_expiring", False)
    assert raised["Text"] and raised["Remedy"]

    expect_refusal(sdk, "SilenceAlarm", {"DomainName": NAME, "EndTime": "2020-01-01T00:00:00Z"}, "InvalidEndTime.Malformed")
    expect_refusal(sdk, "SilenceAlarm", {"DomainName": "missing.example.com"}, "InvalidDomain.NotFound")
    sdk.call("SilenceAlarm", {"DomainName": NAME, "EndTime": "2100-01-02T03:04:05Z"})
    said = sdk.call("DescribeAlarms", {})
    assert [(row["DomainName"], row["Until"]) for row in said["Silences"]] == [(NAME, "2100-01-02T03:04:05Z")]
    (row,) = eventually("the alarm", alarms)
    assert row["Silenced"]
    sdk.call("UnsilenceAlarm", {"DomainName": NAME})
    assert sdk.call("DescribeAlarms", {})["Silences"] == []
    (row,) = eventually("the alarm", alarms)
    assert not row["Silenced"]

    sdk.call("SetCdnDomainSSLCertificate", upload(server, "renewed"))
    eventually("the alarm ends", lambda: not alarms())

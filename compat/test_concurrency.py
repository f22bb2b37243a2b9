"""Concurrent deployments."""

from concurrent.futures import ThreadPoolExecutor

from clients import NewSdk
from steps import expect_served

SOURCES = '[{"content":"127.0.0.1","type":"ipaddr","port":80}]'
# Below the burst of 30 calls that an account may make at once.
DEPLOYMENTS = 24


def test_changes_of_one_domain(server):
    """All succeed; in the end the edge serves what the API says is bound."""
    sdk = NewSdk(server)
    sdk.call("AddCdnDomain", {"DomainName": "shop.example.com", "CdnType": "web", "Sources": SOURCES})

    deploy_at_once(server, [("shop.example.com", ("a", "b")[index % 2]) for index in range(DEPLOYMENTS)])

    info = sdk.call("DescribeDomainCertificateInfo", {"DomainName": "shop.example.com"})["CertInfos"]["CertInfo"][0]
    expect_served(server, {"shop.example.com": info["CertName"][0]})


def test_changes_of_many_domains(server):
    """Each domain gets its own."""
    sdk = NewSdk(server)
    domains = {"shop.example.com": "a", "a.example.org": "exact", ".example.org": "wild", "refused.example.com": "refused"}
    for domain in domains:
        sdk.call("AddCdnDomain", {"DomainName": domain, "CdnType": "web", "Sources": SOURCES})

    deploy_at_once(server, list(domains.items()) * (DEPLOYMENTS // len(domains)))

    expect_served(server, {domain.replace(".", "b.", 1) if domain[0] == "." else domain: domains[domain] for domain in domains})


def deploy_at_once(server, deployments):
    """Uploads (domain, material) pairs from a thread each; an exception of any is raised."""

    def deploy(index, domain, material):
        params = {
            "DomainName": domain,
            "SSLProtocol": "on",
            "CertType": "upload",
            "CertName": f"{material}-{index}",
            "SSLPub": server.text(f"{material}.crt"),
            "SSLPri": server.text(f"{material}.key"),
        }
        NewSdk(server).call("SetCdnDomainSSLCertificate", params)

    with ThreadPoolExecutor(len(deployments)) as threads:
        started = [threads.submit(deploy, index, *deployment) for index, deployment in enumerate(deployments)]
    for deployment in started:
        deployment.result()

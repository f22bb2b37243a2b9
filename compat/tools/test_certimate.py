"""certimate, its versions of 2024 and 2026: V3, everything in the query of a POST, the wildcard of a domain written without its `*`."""

import socket
import time

from cryptography import x509

from clients import add_domains
from harness import split_address
from products import Product
from steps import expect_refusal

SKIPPED_STATES = {"offline", "checking", "check_failed", "stopping", "deleting"}


class Certimate:
    """2026: uploads the certificate to CAS unless it is there already, and binds it by its id."""

    def __init__(self, server, centre=None):
        self.server, self.cas, self.cdn = server, Product(server, "cas", host=centre), Product(server, "cdn")

    def deploy(self, domain, material):
        """Deploys to one domain; `*.x` is the wildcard domain `.x`."""
        self._deploy([domain.removeprefix("*")], material)

    def deploy_matching(self, pattern, material):
        """Deploys to every online domain that the wildcard pattern covers."""
        names = [name for name in self._domains() if name.split(".", 1)[1:] == [pattern.removeprefix("*.")]]
        self._deploy(names, material)

    def _deploy(self, domains, material):
        number, region = self._upload(material).split("-", 1)
        for domain in domains:
            self.cdn.call(
                "SetCdnDomainSSLCertificate",
                {"DomainName": domain, "CertType": "cas", "CertId": int(number), "CertRegion": region, "SSLProtocol": "on"},
            )

    def _upload(self, material):
        """The certificate's identifier, `<id>-<region>`."""
        chain = self.server.text(f"{material}.crt")
        if found := self._find(chain):
            return found
        params = {"Name": f"certimate_{time.time_ns()}", "Cert": chain, "Key": self.server.text(f"{material}.key")}
        number = self.cas.call("UploadUserCertificate", params)["CertId"]
        detail = self.cas.call("GetUserCertificateDetail", {"CertId": number, "CertFilter": True})
        assert detail["Id"] == number
        return detail["CertIdentifier"]

    def _find(self, chain):
        leaf, page = x509.load_pem_x509_certificate(chain.encode()), 1
        (common_name,) = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        while True:
            params = {"OrderType": "CERT", "CurrentPage": page, "ShowSize": 50}
            orders = self.cas.call("ListUserCertificateOrder", params)["CertificateOrderList"]
            for order in orders:
                same_name = order["CommonName"].lower() == common_name.value.lower()
                # It removes only one leading zero.
                if not same_name or order["SerialNo"].removeprefix("0").lower() != f"{leaf.serial_number:x}":
                    continue
                detail = self._detail(order["CertificateId"])
                if detail and x509.load_pem_x509_certificate(detail["Cert"].encode()) == leaf:
                    return detail["CertIdentifier"]
            if len(orders) < 50:
                return None
            page += 1

    def _detail(self, number):
        try:
            return self.cas.call("GetUserCertificateDetail", {"CertId": number, "CertFilter": False})
        except self.cas.refusal as refusal:
            if refusal.code.startswith("NotFound"):
                return None
            raise

    def _domains(self):
        answer = self.cdn.call("DescribeUserDomains", {"PageNumber": 1, "PageSize": 500})
        return [
            item["DomainName"] for item in answer["Domains"]["PageData"] if item["DomainStatus"] not in SKIPPED_STATES
        ]

    def stored(self):
        """How many certificates CAS lists."""
        return self.cas.call("ListUserCertificateOrder", {"OrderType": "CERT"})["TotalCount"]


def test_2024(server):
    cdn = Product(server, "cdn")
    add_domains(server, "shop.example.com")

    def params(domain, material, name):
        pair = {"SSLPub": server.text(f"{material}.crt"), "SSLPri": server.text(f"{material}.key")}
        return {"DomainName": domain, "CertType": "upload", "CertName": name, "SSLProtocol": "on"} | pair

    for material in ("a", "b"):
        name = f"certimate-{time.time_ns()}"
        cdn.call("SetCdnDomainSSLCertificate", params("shop.example.com", material, name))
        assert server.served("shop.example.com") == server.leaf(material)

    again = params("shop.example.com", "renewed", name)
    expect_refusal(cdn, "SetCdnDomainSSLCertificate", again, "CertNameAlreadyExists")
    assert server.served("shop.example.com") == server.leaf("b")


def test_2026(server):
    certimate = Certimate(server)
    add_domains(server, "shop.example.com")
    # Serial numbers that a listing may pad with a zero; each is deployed twice and stored once.
    for stored, material in enumerate(("odd-serial", "high-serial"), start=1):
        for _ in ("found nowhere", "found in the list"):
            certimate.deploy("shop.example.com", material)
            assert server.served("shop.example.com") == server.leaf(material)
            assert certimate.stored() == stored

    params = {"DomainName": "nobody.example.com", "CertType": "cas", "CertId": 1, "SSLProtocol": "on"}
    expect_refusal(certimate.cdn, "SetCdnDomainSSLCertificate", params, "InvalidDomain.NotFound")
    assert certimate._detail(999999999999) is None


def test_2026_many_certificates(server):
    """However a list is ordered, one of the two is on its second page."""
    certimate = Certimate(server)
    add_domains(server, "shop.example.com")
    other = {"Cert": server.text("other-name.crt"), "Key": server.text("other-name.key")}
    certimate.deploy("shop.example.com", "a")
    for number in range(50):
        certimate.cas.call("UploadUserCertificate", {"Name": f"other-{number}"} | other)
    certimate.deploy("shop.example.com", "renewed")
    for material in ("a", "renewed"):
        certimate.deploy("shop.example.com", material)
        assert server.served("shop.example.com") == server.leaf(material)
        assert certimate.stored() == 52


def test_2026_wildcard(server):
    certimate = Certimate(server)
    add_domains(server, ".example.org", "a.example.org", "b.example.org", "shop.example.com")
    certimate.cdn.call("StopCdnDomain", {"DomainName": "b.example.org"})
    for material in ("wild", "wild-renewed"):
        certimate.deploy("*.example.org", material)
        assert server.served("anything.example.org") == server.leaf(material)
        certimate.deploy_matching("*.example.org", material)
        assert server.served("a.example.org") == server.leaf(material)
    assert certimate.stored() == 2
    assert server.served("shop.example.com") is None


def test_2026_abroad(server, monkeypatch):
    """The endpoint selects the region of CAS."""
    resolve = socket.getaddrinfo
    here = split_address(server.api)[0]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: resolve(here if host.endswith(".aliyuncs.com") else host, *rest, **more),
    )
    certimate = Certimate(server, "cas.ap-southeast-1.aliyuncs.com")
    add_domains(server, "shop.example.com")
    for stored, material in enumerate(("a", "renewed"), start=1):
        for _ in ("found nowhere", "found in the list"):
            certimate.deploy("shop.example.com", material)
            assert server.served("shop.example.com") == server.leaf(material)
            assert certimate.stored() == stored
    (info,) = certimate.cdn.call("DescribeDomainCertificateInfo", {"DomainName": "shop.example.com"})["CertInfos"]["CertInfo"]
    assert (info["CertRegion"], info["CertType"]) == ("ap-southeast-1", "cas")

    assert Certimate(server).stored() == 0, "at home there is none of them"
    elsewhere = {"DomainName": "shop.example.com", "CertType": "cas", "CertId": int(info["CertId"]), "SSLProtocol": "on"}
    expect_refusal(certimate.cdn, "SetCdnDomainSSLCertificate", elsewhere, "Certificate.NotFind")
    assert server.served("shop.example.com") == server.leaf("renewed")


def test_2026_deployment_job(server):
    """The CAS deployer: a job binds an upload to the resources that the user selected."""
    certimate = Certimate(server)
    names = ["shop.example.com", "a.example.org"]
    add_domains(server, *names)
    listed = certimate.cas.call("ListCloudResources", {"CloudProduct": "CDN", "ShowSize": 50, "CurrentPage": 1})["Data"]
    resources = {row["Domain"]: row["Id"] for row in listed}

    def deploy(material, *domains):
        number = certimate._upload(material).split("-", 1)[0]
        assert certimate.cas.call("ListContact", {"ShowSize": 1, "CurrentPage": 1})["ContactList"] == []
        picked = ",".join(str(resources[domain]) for domain in domains)
        params = {"Name": f"certimate-{time.time_ns()}", "JobType": "user", "CertIds": number, "ResourceIds": picked}
        job = certimate.cas.call("CreateDeploymentJob", params)["JobId"]
        # It waits for one of these two and treats any other status as "not yet".
        status = certimate.cas.call("DescribeDeploymentJob", {"JobId": job})["Status"]
        assert status in ("success", "error")
        return status, certimate.cas.call("ListWorkerResource", {"JobId": job})["Data"]

    for material in ("a", "b"):
        status, _ = deploy(material, "shop.example.com")
        assert status == "success"
        assert server.served("shop.example.com") == server.leaf(material)
    # The certificate does not cover one of the resources: that one stays as it is, the other is renewed.
    status, workers = deploy("a", *names)
    assert status == "error"
    assert [worker["Status"] for worker in workers] == ["success", "error"]
    assert server.served("shop.example.com") == server.leaf("a")
    assert server.served("a.example.org") is None

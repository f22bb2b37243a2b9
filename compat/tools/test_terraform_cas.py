"""Terraform: `alicloud_ssl_certificates_service_certificate`, formerly `alicloud_cas_certificate`, after the provider's source."""

import pytest

from terraform import CAS, CAS_NAMES, Provider, absent, key_values, numbered, plan, refused

# Not returned unless the operator allows it. The provider compares it and replaces the certificate on every run unless the
# configuration contains `lifecycle { ignore_changes = [key] }`.
KEPT_BACK = {"key"}


class Certificate(Provider):
    def __init__(self, server):
        super().__init__(server, CAS)

    def create(self, config):
        params = {"Name": config["certificate_name"], "Cert": config["cert"], "Key": config["key"]}
        params |= {"ResourceGroupId": config["resource_group_id"]} if "resource_group_id" in config else {}
        return str(self.request("UploadUserCertificate", params | numbered("Tags", config["tags"]))["CertId"])

    def update(self, number, params):
        params = {"CertificateId": number, "RegionId": "cn-hangzhou"} | params
        self.request("CreateCertificateName", params, version=CAS_NAMES)

    def read(self, number):
        answer = self.request("GetUserCertificateDetail", {"CertId": number})
        state = {"cert": answer["Cert"], "key": answer["Key"], "certificate_name": answer["Name"]}
        state |= {"resource_group_id": answer["ResourceGroupId"], "tags": key_values(answer["Tags"])}
        # SM2 has its own attributes: they are read and empty.
        assert not any(answer.get(name) for name in ("EncryptCert", "EncryptPrivateKey", "SignCert", "SignPrivateKey"))
        return state


def planned(config, state):
    changes = plan(config, state)
    assert set(changes) == KEPT_BACK, changes


@pytest.fixture
def provider(server):
    return Certificate(server)


def test_certificate(provider, server):
    """From creation to destruction; a renewal is a new resource, since the text cannot change."""
    config = {"certificate_name": "first", "cert": server.text("a.crt"), "key": server.text("a.key")}
    config |= {"tags": {"team": "shop", "stage": "test"}, "resource_group_id": "rg-acfmxyz"}
    number = provider.create(config)
    planned(config, provider.read(number))

    for params, changed in (
        ({"Name": "second"}, {"certificate_name": "second"}),
        (numbered("Tags", {"team": "web"}), {"tags": {"team": "web"}}),
        ({"Tags.1.Key": "", "Tags.1.Value": ""}, {"tags": {}}),
        ({"ResourceGroupId": "rg-other"}, {"resource_group_id": "rg-other"}),
        ({"Name": "third"} | numbered("Tags", {"empty": ""}), {"certificate_name": "third", "tags": {"empty": ""}}),
    ):
        provider.update(number, params)
        config |= changed
        planned(config, provider.read(number))

    # Its former names are free, its current one is not.
    other = {"certificate_name": "first", "cert": server.text("b.crt"), "key": server.text("b.key"), "tags": {}}
    second = provider.create(other)
    taken = {"CertificateId": second, "RegionId": "cn-hangzhou", "Name": "third"}
    refused(provider, "CreateCertificateName", taken, "NameRepeat", version=CAS_NAMES)
    planned(other, provider.read(second))

    provider.request("DeleteUserCertificate", {"CertId": number})
    absent("NotFound", provider.read, number)
    # A plan notices that it was deleted; so does a late update.
    gone = {"CertificateId": number, "RegionId": "cn-hangzhou", "Name": "late"}
    refused(provider, "CreateCertificateName", gone, "NotFound", version=CAS_NAMES)


def test_second_plan(provider, server):
    """Where the operator allows reading private keys, a second plan is empty, however the PEM is written."""
    server.restart("return_private_keys = true\n")
    for name, material, end in (("first", "a", ""), ("second", "b", "\n\n"), ("third", "wild", " \r\n")):
        cert, key = server.text(f"{material}.crt"), server.text(f"{material}.key")
        config = {"certificate_name": name, "cert": cert.strip() + end, "key": key.strip() + end, "tags": {}}
        assert plan(config, provider.read(provider.create(config))) == {}


def test_name_of_a_certificate_that_is_bound(provider, server):
    """A domain keeps it and shows the new name."""
    source = '[{"content":"127.0.0.1","type":"ipaddr","port":80}]'
    domain = {"DomainName": "shop.example.com"}
    cdn = Provider(server)
    cdn.request("AddCdnDomain", domain | {"CdnType": "web", "Sources": source})
    config = {"certificate_name": "first", "cert": server.text("a.crt"), "key": server.text("a.key"), "tags": {}}
    number = provider.create(config)
    bound = domain | {"SSLProtocol": "on", "CertType": "cas", "CertName": "first", "CertId": number}
    cdn.request("SetCdnDomainSSLCertificate", bound)
    provider.update(number, {"Name": "second"})
    assert server.served("shop.example.com") == server.leaf("a")
    (info,) = cdn.request("DescribeDomainCertificateInfo", domain)["CertInfos"]["CertInfo"]
    assert (info["CertName"], str(info["CertId"])) == ("second", number)
    cdn.request("SetCdnDomainSSLCertificate", domain | {"SSLProtocol": "on", "CertType": "cas", "CertName": "second"})
    assert server.served("shop.example.com") == server.leaf("a")

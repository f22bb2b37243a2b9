"""The `aliyun` command: V1, everything in the query of a POST whose empty body is declared a form, `SignatureType=` included.

It prints what it gets; an answer that is not 2xx is an error of which it prints Code, Message and RequestId.
"""

from urllib.parse import urlencode

from clients import add_domains
from signer import send, signed_v1
from steps import REQUEST_ID, documented


def aliyun(server, action, version="2018-05-10", **params):
    """`aliyun cdn ACTION --NAME=VALUE …`: status and parsed body."""
    common = {"method": "POST", "SignatureType": "", "RegionId": "cn-hangzhou", "Version": version}
    target = "/?" + urlencode(signed_v1(server, action, params, **common))
    answer = send(server, "POST", target, {"content-type": "application/x-www-form-urlencoded"}, b"")
    assert REQUEST_ID.fullmatch(answer.json["RequestId"])
    return answer.status, answer.json


def deployed(server, domain, material, answer):
    status, body = answer
    assert (status, set(body) - {"Warnings"}) == (200, {"RequestId"}), body
    assert server.served(domain) == server.leaf(material)


def test_sequence(server):
    domain = "shop.example.com"
    add_domains(server, domain)
    for name, material in (("first", "a"), ("second", "b")):
        pair = {"SSLPub": server.text(f"{material}.crt"), "SSLPri": server.text(f"{material}.key")}
        params = {"DomainName": domain, "SSLProtocol": "on", "CertType": "upload", "CertName": name} | pair
        deployed(server, domain, material, aliyun(server, "SetCdnDomainSSLCertificate", **params))

    # The shell's `$(cat …)` strips the last line break; without quotes it strips all of them.
    pair = {"SSLPub": server.text("renewed.crt").strip(), "SSLPri": server.text("renewed.key").strip()}
    params = {"DomainName": domain, "SSLProtocol": "on"}
    deployed(server, domain, "renewed", aliyun(server, "SetCdnDomainSSLCertificate", **params, **pair))
    pair["SSLPub"] = pair["SSLPub"].replace("\n", " ")
    status, body = aliyun(server, "SetCdnDomainSSLCertificate", **params, **pair)
    assert (body["Code"], status, body["Message"]) == (
        "InvalidSSLPub",
        *documented("InvalidSSLPub", "SetCdnDomainSSLCertificate"),
    )
    assert server.served(domain) == server.leaf("renewed")


def test_forced_operations(server):
    """`--force --version 2018-05-10`: actions that the current reference no longer lists."""
    names = ["shop.example.com", "a.example.org", "b.example.org"]
    add_domains(server, *names)
    for force, material in ((None, "a"), ("1", "b")):
        pair = {"ServerCertificate": server.text(f"{material}.crt"), "PrivateKey": server.text(f"{material}.key")}
        named = {"DomainName": names[0], "ServerCertificateStatus": "on", "CertName": "the-name", "ForceSet": force}
        params = named | pair
        deployed(server, names[0], material, aliyun(server, "SetDomainServerCertificate", **params))

    mixed = params | {"ForceSet": None, "PrivateKey": server.text("a.key")}
    status, body = aliyun(server, "SetDomainServerCertificate", **mixed)
    assert (body["Code"], status, body["Message"]) == (
        "Certificate.MissMatch",
        *documented("Certificate.MissMatch", "SetDomainServerCertificate"),
    )

    for force, material in ((None, "wild"), ("1", "wild-renewed")):
        pair = {"SSLPub": server.text(f"{material}.crt"), "SSLPri": server.text(f"{material}.key")}
        params = {"DomainName": ",".join(names[1:]), "SSLProtocol": "on", "CertName": "both", "ForceSet": force} | pair
        answer = aliyun(server, "BatchSetCdnDomainServerCertificate", **params)
        for name in names[1:]:
            deployed(server, name, material, answer)


def test_forced_operations_of_dcdn(server):
    """Actions that no SDK has any more and scripts still call."""
    names = ["shop.example.com", "a.example.org", "b.example.org"]
    add_domains(server, *names)

    def call(action, material, **params):
        pair = {"SSLPub": server.text(f"{material}.crt"), "SSLPri": server.text(f"{material}.key")}
        return aliyun(server, action, "2018-01-15", SSLProtocol="on", CertType="upload", **pair, **params)

    for force, material in ((None, "a"), ("1", "b")):
        params = {"DomainName": names[0], "CertName": "the-name", "ForceSet": force, "Region": "cn-hangzhou"}
        deployed(server, names[0], material, call("SetDcdnDomainCertificate", material, **params))
    status, body = call("SetDcdnDomainCertificate", "a", DomainName=names[0], CertName="the-name")
    expected = ("Certificate.Duplicated", *documented("Certificate.Duplicated", "SetDcdnDomainCertificate"))
    assert (body["Code"], status, body["Message"]) == expected
    assert server.served(names[0]) == server.leaf("b")

    answer = call("BatchSetDcdnDomainCertificate", "wild", DomainName=",".join(names[1:]), CertName="both")
    for name in names[1:]:
        deployed(server, name, "wild", answer)

"""Terraform's provider `alicloud`: V1, common parameters and the signature in the query, all else in the form of a POST.

What it polls for is awaited without a pause: a state that is not reached within `POLLS` answers is never reached.
"""

import json
from urllib.parse import urlencode

import pytest

from signer import post_form, signed_v1
from steps import at, documented

COMMON = {
    *("Action", "Version", "Format", "AccessKeyId", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp"),
    "Signature",
}
RETRIED = {"ServiceBusy", "ServiceUnavailable"}
POLLS = 50


class Refused(Exception):
    """An SDK error: `code`, `status`, `message`."""

    def __init__(self, status, body):
        super().__init__(body)
        self.status, self.code, self.message = status, body["Code"], body["Message"]


class Provider:
    def __init__(self, server):
        self.server = server

    def request(self, action, params):
        """One call, again while the domain is busy or the account is throttled."""
        for _ in range(POLLS):
            try:
                return self._request(action, params)
            except Refused as refusal:
                if refusal.code not in RETRIED and not refusal.code.startswith("Throttling"):
                    raise
        raise AssertionError(f"{action} is refused for ever")

    def _request(self, action, params):
        signed = signed_v1(self.server, action, params, method="POST", Format="json")
        query = {name: value for name, value in signed.items() if name in COMMON}
        form = {name: value for name, value in signed.items() if name not in COMMON}
        answer = post_form(self.server, "/?" + urlencode(query), form)
        # An answer of status 200 that holds a Code is an error to it, too.
        if answer.status != 200 or "Code" in answer.json:
            raise Refused(answer.status, answer.json)
        return answer.json

    def await_state(self, domain, state):
        """Polls until the domain is in this state; None is: until it is not found."""
        for _ in range(POLLS):
            try:
                detail = self.request("DescribeCdnDomainDetail", {"DomainName": domain})
            except Refused as refusal:
                assert (refusal.code, state) == ("InvalidDomain.NotFound", None)
                return
            if at(detail, "GetDomainDetailModel.DomainStatus") == state:
                return
        raise AssertionError(f"{domain} is never {state}")

    def read(self, domain):
        """What a refresh reads into the resource: sources, certificate, tags."""
        detail = self.request("DescribeCdnDomainDetail", {"DomainName": domain})["GetDomainDetailModel"]
        infos = self.request("DescribeDomainCertificateInfo", {"DomainName": domain})["CertInfos"]["CertInfo"]
        assert infos, "an empty list means to it that the domain does not exist"
        tags = self.request("ListTagResources", {"ResourceType": "DOMAIN", "ResourceId.1": domain})
        return (
            detail["SourceModels"]["SourceModel"],
            infos[0],
            {tag["TagKey"]: tag["TagValue"] for tag in tags["TagResources"]["TagResource"]},
        )


def refused(provider, action, params, code):
    with pytest.raises(Refused) as caught:
        provider.request(action, params)
    assert (caught.value.code, caught.value.status, caught.value.message) == (code, *documented(code, action))


def test_domain(server):
    """The resource `alicloud_cdn_domain_new` from creation to destruction."""
    provider, domain = Provider(server), "shop.example.com"
    source = {"Weight": 10, "type": "ipaddr", "content": "127.0.0.1", "priority": 20, "port": 80}
    added = {"DomainName": domain, "CdnType": "web", "Scope": "overseas", "Sources": json.dumps([source])}
    provider.request("AddCdnDomain", added)
    provider.await_state(domain, "online")
    refused(provider, "AddCdnDomain", added, "DomainAlreadyExist")

    def certificate(name, material, **more):
        pair = {"SSLPub": server.text(f"{material}.crt"), "SSLPri": server.text(f"{material}.key")}
        params = {"DomainName": domain, "SSLProtocol": "on", "CertType": "upload", "CertName": name}
        return params | {"CertRegion": "cn-hangzhou", "Env": "production"} | pair | more

    sources, info, tags = provider.read(domain)
    assert info["DomainName"] == domain and info["ServerCertificateStatus"] == "off" and tags == {}
    assert [(int(s["Priority"]), int(s["Weight"]), s["Port"], s["Content"], s["Type"]) for s in sources] == [
        (20, 10, 80, "127.0.0.1", "ipaddr")
    ]

    for name, material in (("first", "a"), ("second", "b")):
        provider.request("SetCdnDomainSSLCertificate", certificate(name, material))
        assert server.served(domain) == server.leaf(material)
        _, info, _ = provider.read(domain)
        assert (info["CertName"], info["CertType"], info["CertRegion"]) == (name, "upload", "cn-hangzhou")
        assert info["ServerCertificateStatus"] == "on"
        # A plan is empty only if what is read is what was written.
        assert info["ServerCertificate"].strip() == server.text(f"{material}.crt").strip()
    refused(provider, "SetCdnDomainSSLCertificate", certificate("first", "renewed"), "CertNameAlreadyExists")
    neither = certificate("third", "a", SSLProtocol="yes")
    refused(provider, "SetCdnDomainSSLCertificate", neither, "InvalidSSLProtocol.ValueNotSupported")

    resource = {"ResourceType": "DOMAIN", "ResourceId.1": domain}
    provider.request("TagResources", resource | {"Tag.1.Key": "team", "Tag.1.Value": "shop"})
    assert provider.read(domain)[2] == {"team": "shop"}
    provider.request("UntagResources", resource | {"TagKey.1": "team"})
    assert provider.read(domain)[2] == {}

    changed = {"Type": "ipaddr", "Content": "127.0.0.2", "Priority": 30, "Port": 443, "Weight": 15}
    provider.request("ModifyCdnDomain", {"DomainName": domain, "Sources": json.dumps([changed])})
    provider.await_state(domain, "online")
    assert provider.read(domain)[0][0]["Content"] == "127.0.0.2"
    assert server.served(domain) == server.leaf("b")

    provider.request("SetCdnDomainSSLCertificate", {"DomainName": domain, "SSLProtocol": "off"})
    assert server.served(domain) is None
    assert provider.read(domain)[1]["ServerCertificateStatus"] == "off"

    provider.request("DeleteCdnDomain", {"DomainName": domain})
    provider.await_state(domain, None)


def test_domain_config(server):
    """The resource `alicloud_cdn_domain_config`: created, replaced, destroyed."""
    provider, domain = Provider(server), "shop.example.com"
    source = {"Weight": 10, "type": "ipaddr", "content": "127.0.0.1", "priority": 20, "port": 80}
    provider.request("AddCdnDomain", {"DomainName": domain, "CdnType": "web", "Sources": json.dumps([source])})

    def create(arguments):
        args = [{"argName": name, "argValue": value} for name, value in arguments.items()]
        functions = json.dumps([{"functionArgs": args, "functionName": "https_force"}])
        answer = provider.request("BatchSetCdnDomainConfig", {"DomainNames": domain, "Functions": functions})
        (config,) = answer["DomainConfigList"]["DomainConfigModel"]
        provider.await_state(domain, "online")
        assert (config["DomainName"], config["FunctionName"]) == (domain, "https_force")
        return str(config["ConfigId"])

    def read(number):
        params = {"DomainName": domain, "FunctionNames": "https_force", "ConfigId": number}
        return provider.request("DescribeCdnDomainConfigs", params)["DomainConfigs"]["DomainConfig"]

    for value in ("on", "off"):
        number = create({"enable": value})
        (config,) = read(number)
        assert (config["ConfigId"], config["Status"]) == (number, "success")
        arguments = {arg["ArgName"]: arg["ArgValue"] for arg in config["FunctionArgs"]["FunctionArg"]}
        assert arguments["enable"] == value
        provider.request("DeleteSpecificConfig", {"DomainName": domain, "ConfigId": number})
        assert read(number) == []

    wrong = json.dumps([{"functionName": "https_force", "functionArgs": [{"argName": "enable", "argValue": "maybe"}]}])
    params = {"DomainNames": domain, "Functions": wrong}
    refused(provider, "BatchSetCdnDomainConfig", params, "InvalidArgValue.Malformed")
    refused(provider, "BatchSetCdnDomainConfig", params | {"DomainNames": "nobody.example.com"}, "InvalidDomain.NotFound")

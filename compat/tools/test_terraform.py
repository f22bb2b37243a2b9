"""Terraform: `alicloud_cdn_domain_new`, `alicloud_cdn_domain_config`, and log delivery, which is refused."""

import hashlib
import json
import ssl

import pytest

from harness import eventually
from terraform import Provider, Refused, absent, attributes, key_values, numbered, plan, refused, settled

DOMAIN = "shop.example.com"
SOURCE = {"type": "ipaddr", "content": "127.0.0.1", "priority": 20, "port": 80, "weight": 10}
REGION = {"RegionId": "cn-hangzhou"}


class Domain(Provider):
    """`alicloud_cdn_domain_new`."""

    def describe(self):
        return self.request("DescribeCdnDomainDetail", {"DomainName": DOMAIN})["GetDomainDetailModel"]

    def read(self, private_key=None):
        detail = self.describe()
        names = {"cdn_type": "CdnType", "cname": "Cname", "scope": "Scope", "status": "DomainStatus"}
        state = attributes(detail, names | {"domain_name": "DomainName", "resource_group_id": "ResourceGroupId"})
        state["sources"] = [
            {
                "type": source["Type"],
                "content": source["Content"],
                "priority": int(source["Priority"]),
                "port": source["Port"],
                "weight": int(source["Weight"]),
            }
            for source in detail["SourceModels"]["SourceModel"]
        ]
        infos = self.request("DescribeDomainCertificateInfo", {"DomainName": DOMAIN})["CertInfos"]["CertInfo"]
        assert infos, "an empty list means to it that the domain does not exist"
        names = {"cert_id": "CertId", "cert_name": "CertName", "cert_region": "CertRegion", "cert_type": "CertType"}
        names |= {"server_certificate": "ServerCertificate", "server_certificate_status": "ServerCertificateStatus"}
        state["certificate_config"] = attributes(infos[0], names) | {"private_key": private_key}
        asked = {"ResourceId.1": DOMAIN, "ResourceType": "DOMAIN"} | REGION
        tags = self.request("ListTagResources", asked)["TagResources"]["TagResource"]
        return state | {"tags": key_values(tags)}

    def status(self):
        return self.describe()["DomainStatus"]

    def certificate(self, config, **changed):
        """Sends all of `certificate_config`, unchanged attributes included."""
        names = {"SSLProtocol": "server_certificate_status", "CertName": "cert_name", "CertId": "cert_id"}
        names |= {"CertType": "cert_type", "CertRegion": "cert_region"}
        names |= {"SSLPub": "server_certificate", "SSLPri": "private_key"}
        given = config | changed
        params = {wire: given[own] for wire, own in names.items() if given.get(own) is not None}
        return self.request("SetCdnDomainSSLCertificate", {"DomainName": DOMAIN} | params)


def test_a_certificate_that_is_ordered(issuing):
    """`cert_type = "free"`: until it is there each plan wants HTTPS, and applying it again changes nothing."""
    provider, wanted = Domain(issuing), {"server_certificate_status": "on", "cert_type": "free"}
    create(provider, {"domain_name": DOMAIN, "cdn_type": "web", "scope": "domestic", "sources": [SOURCE], "tags": {}})
    provider.certificate({}, **wanted)

    def issued():
        read = provider.read()["certificate_config"]
        assert read["cert_type"] == "free"
        if plan(wanted, read) == {}:
            return read
        provider.certificate(read, **wanted)
        return None

    read = eventually("the certificate", issued)
    assert issuing.served(DOMAIN) == hashlib.sha256(ssl.PEM_cert_to_DER_cert(read["server_certificate"])).hexdigest()
    provider.certificate(read, server_certificate_status="off")
    assert issuing.served(DOMAIN) is None


def create(provider, config):
    params = {"DomainName": config["domain_name"], "CdnType": config["cdn_type"], "Scope": config["scope"]}
    sources = [{name.replace("weight", "Weight"): value for name, value in each.items()} for each in config["sources"]]
    params |= {"Sources": json.dumps(sources)} | numbered("Tag", config["tags"])
    provider.request("AddCdnDomain", params)
    settled(provider.status, "online")
    return params


def test_domain(server):
    """From creation to destruction; the plan after each step is empty."""
    provider = Domain(server)
    config = {"domain_name": DOMAIN, "cdn_type": "web", "scope": "overseas", "sources": [SOURCE], "tags": {"team": "shop"}}
    added = create(provider, config)
    refused(provider, "AddCdnDomain", added, "DomainAlreadyExist")
    assert plan(config, provider.read()) == {}
    # An import knows only the name and reads the same state.
    assert plan(config | {"status": "online"}, provider.read()) == {}
    assert provider.read()["certificate_config"]["server_certificate_status"] == "off"

    read = {}
    for name, material in (("first", "a"), ("second", "b")):
        pair = {"server_certificate": server.text(f"{material}.crt"), "private_key": server.text(f"{material}.key")}
        wanted = {"server_certificate_status": "on", "cert_type": "upload", "cert_name": name, "cert_region": "cn-hangzhou"}
        # The second call includes the id of the first certificate: it was read, and no configuration overrides it.
        provider.certificate({"cert_id": read.get("cert_id")}, **wanted, **pair)
        assert server.served(DOMAIN) == server.leaf(material)
        read = provider.read(pair["private_key"])["certificate_config"]
        assert plan(wanted | {"private_key": pair["private_key"]}, read) == {}
        # The text is compared verbatim; only white space at its ends differs.
        assert read["server_certificate"].strip() == pair["server_certificate"].strip()
    taken = {"DomainName": DOMAIN, "SSLProtocol": "on", "CertType": "upload", "CertName": "first"}
    renewed = {"SSLPub": server.text("renewed.crt"), "SSLPri": server.text("renewed.key")}
    refused(provider, "SetCdnDomainSSLCertificate", taken | renewed, "CertNameAlreadyExists")
    neither = taken | renewed | {"SSLProtocol": "yes", "CertName": "third"}
    refused(provider, "SetCdnDomainSSLCertificate", neither, "InvalidSSLProtocol.ValueNotSupported")

    resource = {"ResourceId.1": DOMAIN, "ResourceType": "DOMAIN"} | REGION
    provider.request("UntagResources", resource | {"TagKey.1": "team"})
    provider.request("TagResources", resource | numbered("Tag", {"stage": "test", "empty": ""}))
    config["tags"] = {"stage": "test", "empty": ""}
    assert plan(config, provider.read()) == {}

    other = SOURCE | {"content": "127.0.0.2", "priority": 40, "port": 443, "weight": 15}
    config["sources"] = [SOURCE, other]
    sources = [{name.capitalize(): value for name, value in source.items()} for source in config["sources"]]
    provider.request("ModifyCdnDomain", {"DomainName": DOMAIN, "Sources": json.dumps(sources)})
    settled(provider.status, "online")
    assert plan(config, provider.read()) == {}
    assert server.served(DOMAIN) == server.leaf("b")

    config["scope"] = "domestic"
    provider.request("ModifyCdnDomainSchdmByProperty", {"DomainName": DOMAIN, "Property": '{"coverage":"domestic"}'})
    assert plan(config, provider.read()) == {}

    for action, status in (("StopCdnDomain", "offline"), ("StartCdnDomain", "online")):
        provider.request(action, {"DomainName": DOMAIN})
        settled(provider.status, status)
        assert plan(config | {"status": status}, provider.read()) == {}

    provider.certificate(read, server_certificate_status="off")
    assert server.served(DOMAIN) is None
    off = {"server_certificate_status": "off", "cert_name": "", "cert_id": "", "cert_region": "", "cert_type": ""}
    assert plan({name: value for name, value in off.items() if value}, provider.read()["certificate_config"]) == {}
    assert not any(provider.read()["certificate_config"].get(name) for name, value in off.items() if not value)

    # A CAS certificate whose PEM is in the call, as in the provider's own tests.
    pair = {"server_certificate": server.text("a.crt"), "private_key": server.text("a.key")}
    wanted = {"server_certificate_status": "on", "cert_type": "cas", "cert_name": "in-centre"}
    provider.certificate(wanted | pair)
    assert server.served(DOMAIN) == server.leaf("a")
    assert plan(wanted, provider.read()["certificate_config"]) == {}

    provider.request("DeleteCdnDomain", {"DomainName": DOMAIN})
    absent("InvalidDomain.NotFound", provider.describe)


class Config(Provider):
    """`alicloud_cdn_domain_config`."""

    def create(self, function, arguments, number=None):
        args = [{"argName": name, "argValue": value} for name, value in arguments.items()]
        wanted = {"functionArgs": args, "functionName": function} | ({"configId": number} if number else {})
        params = {"DomainNames": DOMAIN, "Functions": json.dumps([wanted])} | REGION
        (config,) = self.request("BatchSetCdnDomainConfig", params)["DomainConfigList"]["DomainConfigModel"]
        assert (config["DomainName"], config["FunctionName"]) == (DOMAIN, function)
        return str(config["ConfigId"])

    def found(self, function, number):
        params = {"DomainName": DOMAIN, "FunctionNames": function, "ConfigId": number}
        configs = self.request("DescribeCdnDomainConfigs", params)["DomainConfigs"]["DomainConfig"]
        return [config for config in configs if config["ConfigId"] == number]

    def read(self, function, number):
        (config,) = self.found(function, number)
        args = config["FunctionArgs"]["FunctionArg"]
        return {"status": config["Status"], "function_args": {arg["ArgName"]: arg["ArgValue"] for arg in args}}


def test_domain_config(server):
    """Creates, reads, changes (by id), imports and destroys functions: those that the edge enforces and those only stored."""
    create(Domain(server), {"domain_name": DOMAIN, "cdn_type": "web", "scope": "domestic", "sources": [SOURCE], "tags": {}})
    provider = Config(server)
    for function, first, second in (
        ("https_force", {"enable": "on"}, {"enable": "off"}),
        ("https_option", {"http2": "on", "ocsp_stapling": "off"}, {"http2": "off"}),
        ("filetype_based_ttl_set", {"ttl": "300", "file_type": "jpg"}, {"ttl": "60", "file_type": "png", "weight": "1"}),
        ("ip_allow_list_set", {"ip_list": "192.0.2.1,198.51.100.0/24"}, {"ip_list": "192.0.2.2"}),
        ("set_req_header", {"key": "x-a", "value": "1"}, {"key": "x-a", "value": "2"}),
    ):
        number = provider.create(function, first)
        assert plan({"function_args": first, "status": "success"}, provider.read(function, number)) == {}
        provider.create(function, second, number)
        assert plan({"function_args": second, "status": "success"}, provider.read(function, number)) == {}
        provider.request("DeleteSpecificConfig", {"DomainName": DOMAIN, "ConfigId": number} | REGION)
        assert provider.found(function, number) == []
        # A replaced resource has another id.
        again = provider.create(function, first)
        assert again != number and provider.found(function, number) == []

    wrong = json.dumps([{"functionName": "https_force", "functionArgs": [{"argName": "enable", "argValue": "maybe"}]}])
    params = {"DomainNames": DOMAIN, "Functions": wrong}
    refused(provider, "BatchSetCdnDomainConfig", params, "InvalidArgValue.Malformed")
    refused(provider, "BatchSetCdnDomainConfig", params | {"DomainNames": "nobody.example.com"}, "InvalidDomain.NotFound")


def test_real_time_log_delivery(server):
    """`alicloud_cdn_real_time_log_delivery` is refused at its first call: Edgeseal has no log delivery."""
    provider = Domain(server)
    log = {"Domain": DOMAIN, "Logstore": "store", "Project": "project", "Region": "cn-hangzhou"}
    with pytest.raises(Refused) as caught:
        provider.request("CreateRealTimeLogDelivery", log)
    assert caught.value.message == "Specified api is not implemented by Edgeseal."

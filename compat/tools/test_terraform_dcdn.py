"""Terraform: `alicloud_dcdn_domain` and `alicloud_dcdn_domain_config`, after the provider's source."""

import json

from terraform import DCDN, Provider, absent, attributes, key_values, numbered, plan, refused, settled

DOMAIN = "shop.example.com"
SOURCE = {"type": "ipaddr", "content": "127.0.0.1", "priority": "20", "port": 80, "weight": "10"}
NAMED = {"DomainName": DOMAIN}


class Domain(Provider):
    """`alicloud_dcdn_domain`: the domain name is in the query."""

    def __init__(self, server):
        super().__init__(server, DCDN)

    def describe(self):
        return self.request("DescribeDcdnDomainDetail", {}, query=NAMED)["DomainDetail"]

    def status(self):
        return self.describe()["DomainStatus"]

    def read(self):
        detail = self.describe()
        names = {"scope": "Scope", "status": "DomainStatus", "domain_name": "DomainName", "cname": "Cname"}
        certificate = {"ssl_protocol": "SSLProtocol", "ssl_pub": "SSLPub"}
        names |= {"resource_group_id": "ResourceGroupId", "create_time": "GmtCreated"}
        state = attributes(detail, names | certificate)
        fields = ("type", "content", "priority", "port", "weight")
        state["sources"] = [{name: source[name.capitalize()] for name in fields} for source in detail["Sources"]["Source"]]
        info = self.request("DescribeDcdnDomainCertificateInfo", {}, query=NAMED)["CertInfos"]["CertInfo"][0]
        names = {"cert_id": "CertId", "cert_name": "CertName", "cert_region": "CertRegion", "cert_type": "CertType"}
        state |= attributes(info, names | certificate)
        tagged = self.request("DescribeDcdnTagResources", {"ResourceType": "DOMAIN", "ResourceId.1": DOMAIN})["TagResources"]
        return state | {"tags": key_values(tagged[0]["Tag"] if tagged else [])}

    def change(self, action, params):
        self.request(action, params, query=NAMED)
        settled(self.status, "online")


def create(provider, config):
    params = {"Scope": config["scope"], "Sources": json.dumps(config["sources"])} | numbered("Tag", config["tags"])
    provider.request("AddDcdnDomain", params, query={"DomainName": config["domain_name"]})
    settled(provider.status, "online")


def test_domain(server):
    """From creation to destruction; the plan after each step is empty."""
    provider = Domain(server)
    config = {"domain_name": DOMAIN, "scope": "overseas", "sources": [SOURCE], "tags": {"team": "shop"}}
    create(provider, config)
    assert plan(config | {"ssl_protocol": "off", "status": "online"}, provider.read()) == {}

    for name, material in (("first", "a"), ("second", "b")):
        pair = {"SSLPub": server.text(f"{material}.crt"), "SSLPri": server.text(f"{material}.key")}
        # Unchanged attributes are not sent, except the protocol.
        added = {"CertType": "upload", "CertRegion": "cn-hangzhou"} if name == "first" else {}
        provider.change("SetDcdnDomainSSLCertificate", {"CertName": name, "SSLProtocol": "on"} | pair | added)
        assert server.served(DOMAIN) == server.leaf(material)
        config |= {"cert_name": name, "cert_type": "upload", "cert_region": "cn-hangzhou", "ssl_protocol": "on"}
        state = provider.read()
        assert plan(config, state) == {}
        assert state["ssl_pub"].strip() == pair["SSLPub"].strip()

    config["scope"] = "domestic"
    provider.change("ModifyDCdnDomainSchdmByProperty", {"Property": '{"coverage":"domestic"}'})
    assert plan(config, provider.read()) == {}

    other = SOURCE | {"content": "127.0.0.2", "priority": "30", "port": 443, "weight": "15"}
    config["sources"] = [SOURCE, other]
    sources = [{name.capitalize(): value for name, value in source.items()} for source in config["sources"]]
    provider.change("UpdateDcdnDomain", {"Sources": json.dumps(sources)})
    assert plan(config, provider.read()) == {}

    resource = {"ResourceType": "DOMAIN", "ResourceId.1": DOMAIN}
    provider.request("UntagDcdnResources", resource | {"TagKey.1": "team"})
    provider.request("TagDcdnResources", resource | numbered("Tag", {"stage": "test"}))
    config["tags"] = {"stage": "test"}
    assert plan(config, provider.read()) == {}

    for action, status in (("StopDcdnDomain", "offline"), ("StartDcdnDomain", "online")):
        provider.request(action, {}, query=NAMED)
        settled(provider.status, status)
        assert plan(config | {"status": status}, provider.read()) == {}

    provider.change("SetDcdnDomainSSLCertificate", {"SSLProtocol": "off"})
    assert server.served(DOMAIN) is None
    state = provider.read()
    assert state["ssl_protocol"] == "off" and not state.get("cert_name") and not state.get("cert_id")

    provider.request("DeleteDcdnDomain", {}, query=NAMED)
    absent("InvalidDomain.NotFound", provider.describe)


def test_what_a_domain_of_the_edge_is_not(server):
    """`function_type` and `scene` belong to domains that run edge programs."""
    provider = Domain(server)
    for name, value in (("FunctionType", "routine"), ("Scene", "apiscene")):
        params = {"Sources": json.dumps([SOURCE]), name: value}
        refused(provider, "AddDcdnDomain", params, f"Invalid{name}.ValueNotSupported", query=NAMED)


class Config(Provider):
    """`alicloud_dcdn_domain_config`."""

    def __init__(self, server):
        super().__init__(server, DCDN)

    def create(self, function, arguments, number=None):
        args = [{"argName": name, "argValue": value} for name, value in arguments.items()]
        wanted = {"functionArgs": args, "functionName": function} | ({"configId": number} if number else {})
        params = {"DomainNames": DOMAIN, "Functions": json.dumps([wanted])}
        (config,) = self.request("BatchSetDcdnDomainConfigs", params)["DomainConfigList"]["DomainConfigModel"]
        assert (config["DomainName"], config["FunctionName"]) == (DOMAIN, function)
        return str(config["ConfigId"])

    def found(self, function, number):
        params = {"DomainName": DOMAIN, "FunctionNames": function, "ConfigId": number}
        configs = self.request("DescribeDcdnDomainConfigs", params)["DomainConfigs"]["DomainConfig"]
        return [config for config in configs if (config["FunctionName"], config["ConfigId"]) == (function, number)]

    def read(self, function, number):
        (config,) = self.found(function, number)
        args = config["FunctionArgs"]["FunctionArg"]
        return {"status": config["Status"], "function_args": {arg["ArgName"]: arg["ArgValue"] for arg in args}}


def test_domain_config(server):
    """Creates, reads, changes (by id), imports and destroys a function."""
    create(Domain(server), {"domain_name": DOMAIN, "scope": "domestic", "sources": [SOURCE], "tags": {}})
    provider = Config(server)
    for function, first, second in (
        ("https_force", {"enable": "on"}, {"enable": "off"}),
        ("ip_allow_list_set", {"ip_list": "192.0.2.1"}, {"ip_list": "192.0.2.2"}),
        ("forward_scheme", {"enable": "on", "scheme_origin": "http"}, {"enable": "off"}),
    ):
        number = provider.create(function, first)
        assert plan({"function_args": first, "status": "success"}, provider.read(function, number)) == {}
        assert provider.create(function, second, number) == number
        assert plan({"function_args": second, "status": "success"}, provider.read(function, number)) == {}
        provider.request("DeleteDcdnSpecificConfig", {"DomainName": DOMAIN, "ConfigId": number})
        assert provider.found(function, number) == []

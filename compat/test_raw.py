"""What SDKs hide: raw bytes, replays, XML, the envelope of a refusal. Signed by signer.py."""

import json
import re
import xml.etree.ElementTree as xml

import pytest

import signer
from clients import OldSdk
from harness import split_address
from steps import REQUEST_ID, documented

SOURCES = json.dumps([{"content": "127.0.0.1", "type": "ipaddr", "port": 80}])
JSON_TYPE, XML_TYPE = "application/json;charset=utf-8", "text/xml;charset=utf-8"


@pytest.fixture(scope="module", autouse=True)
def domain(shared_server):
    answer = signer.get(shared_server, signer.signed_v1(shared_server, "AddCdnDomain", add("raw.example.com")))
    assert answer.status == 200, answer.body


def add(name):
    return {"DomainName": name, "CdnType": "web", "Sources": SOURCES}


def refused(answer, code, action="gateway"):
    """The response is the JSON envelope of `code`."""
    status, message = documented(code, action)
    assert (answer.status, answer.json["Code"]) == (status, code), answer.body
    assert answer.json["Message"].startswith(message.split("{", 1)[0])
    return answer.json


# The same request twice.


def test_replayed_read(shared_server):
    params = signer.signed_v1(shared_server, "DescribeUserDomains", {})
    assert signer.get(shared_server, params).status == 200
    refused(signer.get(shared_server, params), "SignatureNonceUsed")


def test_replayed_change(shared_server):
    params = signer.signed_v1(shared_server, "AddCdnDomain", add("replayed.example.com"), "POST")
    assert signer.post_form(shared_server, "/", params).status == 200
    refused(signer.post_form(shared_server, "/", params), "SignatureNonceUsed")


def test_replayed_v3(shared_server):
    target, headers = signer.signed_v3(shared_server, "AddCdnDomain", add("replayed-v3.example.com"))
    assert signer.send(shared_server, "POST", target, headers).status == 200
    refused(signer.send(shared_server, "POST", target, headers), "SignatureNonceUsed")


def test_nonce_survives_a_wrong_signature(shared_server):
    params = signer.signed_v1(shared_server, "DescribeUserDomains", {})
    refused(signer.get(shared_server, {**params, "Signature": "AAAA"}), "SignatureDoesNotMatch")
    assert signer.get(shared_server, params).status == 200


# Where the parameters travel.


def test_parameters_split_over_query_and_form(shared_server):
    params = signer.signed_v1(shared_server, "DescribeCdnDomainDetail", {"DomainName": "raw.example.com"}, "POST")
    query = {name: params.pop(name) for name in ("Signature", "Action", "Timestamp")}
    answer = signer.post_form(shared_server, "/?" + signer.urlencode(query), params)
    assert answer.json["GetDomainDetailModel"]["DomainName"] == "raw.example.com"


def test_v3_form_body(shared_server):
    body = signer.urlencode({"DomainName": "raw.example.com", "Note": "a b+c*~"}).encode()
    content_type = "application/x-www-form-urlencoded"
    target, headers = signer.signed_v3(shared_server, "DescribeCdnDomainDetail", {}, body, content_type)
    answer = signer.send(shared_server, "POST", target, headers, body)
    assert answer.json["GetDomainDetailModel"]["DomainName"] == "raw.example.com"


def test_v3_altered_body(shared_server):
    content_type = "application/x-www-form-urlencoded"
    target, headers = signer.signed_v3(shared_server, "DescribeUserDomains", {}, b"PageSize=1", content_type)
    answer = signer.send(shared_server, "POST", target, headers, b"PageSize=2")
    assert answer.status == 400 and "RequestId" in answer.json


def test_old_spelling_of_timestamp(shared_server):
    params = signer.signed_v1(shared_server, "DescribeUserDomains", {"TimeStamp": signer.timestamp()}, Timestamp=None)
    assert signer.get(shared_server, params).status == 200


# Refusals before the operation.


@pytest.mark.parametrize(
    ("code", "overrides"),
    [
        ("MissingAction", {"Action": None}),
        ("MissingVersion", {"Version": None}),
        ("InvalidVersion", {"Version": "1999-01-01"}),
        ("InvalidAction.NotFound", {"Action": "MakeCoffee"}),
        ("MissingAccessKeyId", {"AccessKeyId": None}),
        ("MissingTimestamp", {"Timestamp": None}),
        ("MissingSignatureNonce", {"SignatureNonce": None}),
        ("InvalidSignatureMethod", {"SignatureMethod": "HMAC-MD5"}),
        ("InvalidTimeStamp.Format", {"Timestamp": "yesterday"}),
        ("InvalidAccessKeyId.NotFound", {"AccessKeyId": "LTAInobodyhasthiskey"}),
    ],
)
def test_gateway(shared_server, code, overrides):
    action = overrides.pop("Action", "DescribeUserDomains")
    refused(signer.get(shared_server, signer.signed_v1(shared_server, action, {}, **overrides)), code)


def test_missing_signature(shared_server):
    params = signer.signed_v1(shared_server, "DescribeUserDomains", {})
    del params["Signature"]
    refused(signer.get(shared_server, params), "MissingSignature")


@pytest.mark.parametrize("minutes", [-16, 16])
def test_clock_too_far_off(shared_server, minutes):
    params = signer.signed_v1(shared_server, "DescribeUserDomains", {}, Timestamp=signer.timestamp(minutes))
    refused(signer.get(shared_server, params), "InvalidTimeStamp.Expired")


@pytest.mark.parametrize("minutes", [-14, 14])
def test_clock_a_little_off(shared_server, minutes):
    params = signer.signed_v1(shared_server, "DescribeUserDomains", {}, Timestamp=signer.timestamp(minutes))
    assert signer.get(shared_server, params).status == 200


def test_other_path(shared_server):
    refused(signer.send(shared_server, "GET", "/v1/domains?Format=JSON"), "InvalidApi.NotFound")


def test_other_method(shared_server):
    refused(signer.send(shared_server, "DELETE", "/?Format=JSON"), "UnsupportedHTTPMethod")


def test_unknown_to_the_cloud_and_not_implemented_differ(shared_server):
    unknown = signer.get(shared_server, signer.signed_v1(shared_server, "MakeCoffee", {}))
    known = signer.get(shared_server, signer.signed_v1(shared_server, "DescribeCdnWafDomain", {}))
    assert [unknown.status, unknown.json["Code"]] == [known.status, known.json["Code"]] == [404, "InvalidAction.NotFound"]
    assert "not implemented by Edgeseal" in known.json["Message"]
    assert "not implemented by Edgeseal" not in unknown.json["Message"]


# Sizes. A chain and its key in a query make long request lines.


@pytest.mark.parametrize("length", [20_000, 60_000, 100_000])
def test_long_query(shared_server, length):
    params = signer.signed_v1(shared_server, "DescribeUserDomains", {"Note": "n" * length}, "POST")
    assert signer.send(shared_server, "POST", "/?" + signer.urlencode(params)).status == 200


def test_long_form(shared_server):
    params = signer.signed_v1(shared_server, "DescribeUserDomains", {"Note": "n" * 200_000}, "POST")
    assert signer.post_form(shared_server, "/", params).status == 200


def test_head_too_long(shared_server):
    answer = signer.send(shared_server, "GET", "/?Format=JSON", {"x-note": "n" * 140_000})
    assert (answer.status, answer.json["Code"]) == (431, "InvalidParameter.TooLong")


def test_body_too_long(shared_server):
    answer = signer.post_form(shared_server, "/?Format=JSON", {"Note": "n" * 300_000})
    assert (answer.status, answer.json["Code"]) == (413, "InvalidParameter.TooLong")


# The envelope.


def test_json_success(shared_server):
    answer = signer.get(shared_server, signer.signed_v1(shared_server, "DescribeUserDomains", {}))
    assert answer.headers["content-type"] == JSON_TYPE
    assert answer.headers["x-acs-request-id"] == answer.json["RequestId"]
    assert REQUEST_ID.fullmatch(answer.json["RequestId"])
    assert not {"Code", "Message"} & set(answer.json)


def test_void_success_has_nothing_but_the_request_id(shared_server):
    answer = signer.get(shared_server, signer.signed_v1(shared_server, "AddCdnDomain", add("void.example.com")))
    assert re.fullmatch(rb'\{"RequestId":"[0-9A-F-]{36}"\}', answer.body), answer.body


def test_json_refusal(shared_server):
    params = signer.signed_v1(shared_server, "DescribeCdnDomainDetail", {"DomainName": "nobody.example.com"})
    answer = signer.get(shared_server, params)
    envelope = refused(answer, "InvalidDomain.NotFound", "DescribeCdnDomainDetail")
    assert answer.headers["content-type"] == JSON_TYPE
    assert answer.headers["x-acs-request-id"] == envelope["RequestId"]
    assert envelope["HostId"] == split_address(shared_server.api)[0]
    assert envelope["Recommend"].startswith("http") and "InvalidDomain.NotFound" in envelope["Recommend"]
    assert envelope["Detail"].strip()
    assert b'"Message":"' in answer.body, "shell clients look for these bytes"


def test_xml_success(shared_server):
    params = signer.signed_v1(
        shared_server, "DescribeUserDomains", {"DomainName": "raw.example.com", "DomainSearchType": "full_match"}, Format="XML"
    )
    answer = signer.get(shared_server, params)
    assert (answer.status, answer.headers["content-type"]) == (200, XML_TYPE)
    root = xml.fromstring(answer.body)
    assert root.tag == "DescribeUserDomainsResponse"
    assert root.findtext("RequestId") == answer.headers["x-acs-request-id"]
    assert root.findtext("TotalCount") == "1"
    assert [page.findtext("DomainName") for page in root.findall("Domains/PageData")] == ["raw.example.com"]
    assert root.findtext("Domains/PageData/Sources/Source/Content") == "127.0.0.1"


def test_xml_list_repeats_its_element(shared_server):
    signer.get(shared_server, signer.signed_v1(shared_server, "AddCdnDomain", add("second.example.com")))
    answer = signer.get(shared_server, signer.signed_v1(shared_server, "DescribeUserDomains", {"PageSize": "2"}, Format="xml"))
    assert len(xml.fromstring(answer.body).findall("Domains/PageData")) == 2


@pytest.mark.parametrize("format", ["XML", None])
def test_xml_refusal(shared_server, format):
    params = signer.signed_v1(shared_server, "DescribeCdnDomainDetail", {"DomainName": "<&>.example.com"}, Format=format)
    answer = signer.get(shared_server, params)
    status, message = documented("InvalidDomainName.Malformed", "DescribeCdnDomainDetail")
    assert (answer.status, answer.headers["content-type"]) == (status, XML_TYPE)
    root = xml.fromstring(answer.body)
    assert root.tag == "Error"
    assert (root.findtext("Code"), root.findtext("Message")) == ("InvalidDomainName.Malformed", message)
    assert root.findtext("HostId") == split_address(shared_server.api)[0]
    assert REQUEST_ID.fullmatch(root.findtext("RequestId"))


@pytest.mark.filterwarnings("ignore:do_action")
def test_format_none_gets_json(shared_server):
    """The old SDK's `do_action` sends the words `Format=None` and callers parse JSON."""
    sdk = OldSdk(shared_server)
    assert json.loads(sdk.sdk.do_action(sdk.request("DescribeUserDomains", {})))["PageNumber"] == 1


def test_shared_secret_is_not_in_a_signature_refusal(shared_server):
    params = signer.signed_v1(shared_server, "DescribeUserDomains", {})
    answer = signer.get(shared_server, {**params, "Signature": "AAAA"})
    string_to_sign = signer.string_to_sign_v1("GET", [pair for pair in params.items() if pair[0] != "Signature"])
    assert refused(answer, "SignatureDoesNotMatch")["Message"].endswith("server string to sign is:" + string_to_sign)
    assert shared_server.secret.encode() not in answer.body

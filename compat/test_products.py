"""What test_answers.py relies on: a response that does not fit the SDK's models does not pass."""

import types

import pytest

from products import Product

SOUND = {"TotalCount": 1, "CertInfos": {"CertInfo": [{"DomainName": "shop.example.com", "CertStatus": "ok"}]}}
UNSOUND = {
    "a number as a string": {"TotalCount": "1"},
    "a string as a number": {"CertInfos": {"CertInfo": [{"DomainName": 1}]}},
    "a boolean as a number": {"TotalCount": True},
    "a list without its wrapper": {"CertInfos": [{"DomainName": "shop.example.com"}]},
    "a wrapper without its list": {"CertInfos": {"CertInfo": {"DomainName": "shop.example.com"}}},
    "a field of another name": {"Total": 1},
    "a field of another name, deep inside": {"CertInfos": {"CertInfo": [{"Domain": "shop.example.com"}]}},
    "nothing": {"TotalCount": None},
    "a private key": {"CertInfos": {"CertInfo": [{"CertName": "-----BEGIN PRIVATE KEY-----"}]}},
}


def call(answer):
    """The SDK's call of a list, with this response instead of a server's."""
    product = Product(types.SimpleNamespace(key_id="id", secret="secret", api="127.0.0.1:9"), "cdn")
    product.sdk.call_api = lambda *_: {"statusCode": 200, "headers": {}, "body": {"RequestId": "id"} | answer}
    product._observe()
    return product.call("DescribeCdnHttpsDomainList", {"PageNumber": 1})


def test_a_sound_answer_passes():
    assert call(SOUND)["TotalCount"] == 1


@pytest.mark.parametrize("answer", UNSOUND.values(), ids=UNSOUND)
def test_an_unsound_answer_does_not(answer):
    with pytest.raises((AssertionError, AttributeError, TypeError)):
        call(answer)

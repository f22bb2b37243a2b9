"""dnsmgr (PHP): V1, all in the form of a POST with PHP's encoding, a nonce of 8 characters; only the status of a response counts."""

import re
import secrets
import string
from urllib.parse import quote_plus

import pytest
from cryptography import x509

from clients import add_domains
from signer import send, signature_v1, string_to_sign_v1, timestamp
from steps import documented


class Refused(Exception):
    """What the tool shows its user: the Message of a response whose status is not 200."""


class Dnsmgr:
    def __init__(self, server):
        self.server = server
        self.uploads = 0

    def deploy(self, domain, material, product="cdn"):
        number, name = self._certificate(material)
        action, version = {
            "cdn": ("SetCdnDomainSSLCertificate", "2018-05-10"),
            "dcdn": ("SetDcdnDomainSSLCertificate", "2018-01-15"),
        }[product]
        params = {"DomainName": domain, "CertName": name, "CertType": "cas", "SSLProtocol": "on", "CertId": number}
        self.request(action, version, params)

    def _certificate(self, material):
        """Id and name of the certificate with this serial number if one exists, else of the one just uploaded."""
        chain = self.server.text(f"{material}.crt")
        leaf = x509.load_pem_x509_certificate(chain.encode())
        (subject,) = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        # PHP's serialNumberHex: whole bytes.
        serial = leaf.serial_number.to_bytes((leaf.serial_number.bit_length() + 7) // 8).hex()
        params = {"Keyword": subject.value, "OrderType": "CERT"}
        listed = self.request("ListUserCertificateOrder", "2020-04-07", params)
        if listed["TotalCount"] > 0:
            for order in listed["CertificateOrderList"]:
                if serial in order["SerialNo"].lower():
                    return order["CertificateId"], order["Name"]
        name = f"{subject.value.replace('*.', '')}-{int(leaf.not_valid_before_utc.timestamp())}"
        return self.upload(name, chain, self.server.text(f"{material}.key")), name

    def upload(self, name, chain, key):
        number = self.request("UploadUserCertificate", "2020-04-07", {"Name": name, "Cert": chain, "Key": key})["CertId"]
        self.uploads += 1
        return number

    def request(self, action, version, params):
        params = {
            "Format": "JSON",
            "Version": version,
            "AccessKeyId": self.server.key_id,
            "SignatureMethod": "HMAC-SHA1",
            "Timestamp": timestamp(),
            "SignatureVersion": "1.0",
            "SignatureNonce": "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(8)),
            "Action": action,
        } | {name: str(value) for name, value in params.items()}
        params["Signature"] = signature_v1(self.server.secret, string_to_sign_v1("POST", params.items()))
        form = "&".join(f"{urlencode(name)}={urlencode(value)}" for name, value in params.items())
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = send(self.server, "POST", "/", headers, form)
        if answer.status != 200:
            raise Refused(answer.json["Message"])
        return answer.json


def urlencode(text):
    """PHP's encoding: a space is `+`, and `~` is escaped."""
    return quote_plus(text).replace("~", "%7E")


@pytest.mark.parametrize("product", ["cdn", "dcdn"])
def test_sequence(server, product):
    dnsmgr = Dnsmgr(server)
    add_domains(server, "shop.example.com")
    for uploads, material in enumerate(("odd-serial", "high-serial"), start=1):
        for _ in ("uploaded", "found and not uploaded again"):
            dnsmgr.deploy("shop.example.com", material, product)
            assert server.served("shop.example.com") == server.leaf(material)
            assert dnsmgr.uploads == uploads

    # Another certificate, valid from the same second and so with the same name.
    with pytest.raises(Refused, match=re.escape(documented("NameRepeat", "UploadUserCertificate")[1])):
        dnsmgr.deploy("shop.example.com", "a", product)
    with pytest.raises(Refused, match=re.escape(documented("InvalidDomain.NotFound", "SetCdnDomainSSLCertificate")[1])):
        dnsmgr.deploy("nobody.example.com", "high-serial", product)
    assert server.served("shop.example.com") == server.leaf("high-serial")

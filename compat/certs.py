"""The certificates that the tests deploy, created anew for every run.

`python certs.py DIR` writes NAME.crt and NAME.key for every entry of `MATERIALS`; story.json and refusals.json name them
as `@NAME.crt` and `@NAME.key`. Most are sound; the rest are wrong in exactly one way.
"""

import base64
import datetime
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def write_all(folder):
    """Writes every material into `folder`."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (crt, key) in materials().items():
        (folder / f"{name}.crt").write_text(crt, encoding="utf-8", newline="")
        (folder / f"{name}.key").write_text(key, encoding="utf-8", newline="")


def materials():
    """All pairs of certificate text and key text, by name."""
    authority = Authority()
    a = authority.leaf("shop.example.com")
    b = authority.leaf("shop.example.com", key=rsa.generate_private_key(65537, 2048))
    pairs = {
        "a": a,
        "b": b,
        "b-crlf": (b[0].replace("\n", "\r\n"), b[1].replace("\n", "\r\n")),
        "b-trimmed": (b[0].strip(), b[1].strip()),
        "wild": authority.leaf("*.example.org"),
        "wild-renewed": authority.leaf("*.example.org"),
        # Written in hex: an odd number of digits, and a first byte that DER pads with a zero.
        "odd-serial": authority.leaf("shop.example.com", start=NOW - 2 * DAY, serial=0x0FEDCBA9876543210FEDCBA9876543210FED),
        "high-serial": authority.leaf("shop.example.com", serial=0xFEDCBA9876543210FEDCBA9876543210FEDC),
        "expiring": authority.leaf("shop.example.com", start=NOW - 85 * DAY, end=NOW + 5 * DAY),
        "renewed": authority.leaf("shop.example.com", end=NOW + 120 * DAY),
        "exact": authority.leaf("a.example.org"),
        "refused": authority.leaf("refused.example.com"),
        "another": authority.leaf("refused.example.com"),
        "other-name": authority.leaf("elsewhere.example.net"),
        "expired": authority.leaf("refused.example.com", start=NOW - 30 * DAY, end=NOW - DAY),
        "future": authority.leaf("refused.example.com", start=NOW + DAY, end=NOW + 30 * DAY),
    }
    crt, key = pairs["refused"]
    pairs["one-line"] = (crt.replace("\n", ""), key)
    pairs["undecodable"] = (_spoil_base64(crt), key)
    pairs["not-x509"] = (_block("CERTIFICATE", b"\x30\x03\x02\x01\x00"), key)
    pairs["tampered"] = (_tamper(crt), key)
    pairs["non-ascii"] = ("\u00e9" + crt, key)
    pairs["long"] = (crt * (33 * 1024 // len(crt) + 1), key)
    pairs["bad-key"] = (crt, _block("PRIVATE KEY", b"\x30\x03\x02\x01\x00"))
    pairs["certificate-as-key"] = (crt, crt)
    pairs["blank-key"] = (crt, " \n ")
    return pairs


class Authority:
    """A root and an intermediate, both P-256."""

    def __init__(self):
        root_key, root_name = ec.generate_private_key(ec.SECP256R1()), _name("Compat Root")
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), _name("Compat Intermediate")
        self.certificate = (
            _builder(self.name, root_name, self.key.public_key(), NOW - 400 * DAY, NOW + 400 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
            .sign(root_key, hashes.SHA256())
        )

    def leaf(self, dns_name, key=None, **fields):
        """Chain text (leaf, intermediate) and key text of a server certificate for `dns_name`."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        chain, _ = self.certify(dns_name, key.public_key(), **fields)
        return chain, _key_pem(key)

    def certify(self, dns_name, public_key, start=NOW - DAY, end=NOW + 90 * DAY, serial=None):
        """Chain text (leaf, intermediate) and the leaf's SHA-256 for a given public key."""
        certificate = (
            _builder(_name(dns_name), self.name, public_key, start, end, serial)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(dns_name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return _pem(certificate) + _pem(self.certificate), certificate.fingerprint(hashes.SHA256()).hex()


def _builder(subject, issuer, public_key, start, end, serial=None):
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _block(label, der):
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"


def _spoil_base64(crt):
    """Puts a character that is not base64 into the first block's second line."""
    lines = crt.split("\n")
    lines[2] = "!" + lines[2][1:]
    return "\n".join(lines)


def _tamper(crt):
    """Flips the last bit of the leaf: its structure is valid, its signature is not."""
    end = "-----END CERTIFICATE-----\n"
    first, rest = crt.split(end, 1)
    der = bytearray(x509.load_pem_x509_certificate((first + end).encode()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return _block("CERTIFICATE", bytes(der)) + rest


if __name__ == "__main__":
    write_all(sys.argv[1])

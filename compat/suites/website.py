"""A site behind the edge for the suites: certificates of a local CA, an origin, domains of each kind."""

import contextlib
import datetime
import json
import pathlib
import sys
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import signer
from harness import Server, split_address
from origin import Origin

HSTS = ("HSTS", {"enabled": "on", "https_hsts_max_age": "63072000", "https_hsts_include_subdomains": "off"})
# By name, the kind of key and the configuration functions of the domain. The first two speak TLS as by default.
ECDSA, RSA, MODERN, MOVED = "ecdsa.example.com", "rsa.example.com", "modern.example.com", "moved.example.com"
DOMAINS = {
    ECDSA: ("ecdsa", [HSTS]),
    RSA: ("rsa", [HSTS]),
    MODERN: ("ecdsa", [("https_tls_version", {"tls10": "off", "tls11": "off", "tls12": "off", "tls13": "on"})]),
    MOVED: ("ecdsa", [("https_force", {"enable": "on"})]),
}


class Site:
    """`edge` is the HTTPS address, `ca` the file of the root. A context manager."""

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeseal-suites-")))
            self.origin = stack.enter_context(Origin())
            authority = Authority()
            self.ca = self.folder / "ca.pem"
            self.ca.write_text(authority.root_pem)
            self.server = stack.enter_context(Server(self.folder))
            self.edge, self.plain = self.server.https, self.server.http
            self.host, self.port = split_address(self.edge)
            for name, (kind, functions) in DOMAINS.items():
                self._set_up(authority, name, kind, functions)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *what):
        return self._stack.__exit__(*what)

    def url(self, name, path="/"):
        return f"https://{name}:{self.port}{path}"

    def _set_up(self, authority, name, kind, functions):
        chain, key = authority.leaf(name, kind)
        (self.folder / f"{name}.key").write_text(key)
        sources = json.dumps([{"content": self.origin.host, "type": "ipaddr", "port": self.origin.port}])
        self._call("AddCdnDomain", DomainName=name, CdnType="web", Sources=sources)
        self._call("SetCdnDomainSSLCertificate", DomainName=name, SSLProtocol="on", SSLPub=chain, SSLPri=key)
        if functions:
            wanted = [
                {
                    "functionName": function,
                    "functionArgs": [{"argName": arg, "argValue": value} for arg, value in args.items()],
                }
                for function, args in functions
            ]
            self._call("BatchSetCdnDomainConfig", DomainNames=name, Functions=json.dumps(wanted))

    def _call(self, action, **params):
        answer = signer.post_form(self.server, "/", signer.signed_v1(self.server, action, params, "POST"))
        assert answer.status == 200, f"{action}: {answer.body}"


class Authority:
    """A root and an intermediate with keys of one kind, as public ones are: names, key usages, 90 days for a leaf."""

    def __init__(self, kind="ecdsa"):
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        self._start, self._end = now - datetime.timedelta(days=1), now + datetime.timedelta(days=89)
        self._root_key, self._key = _new_key(kind), _new_key(kind)
        self._root_name, self._name = _name("Suites Root"), _name("Suites Intermediate")
        root = self._authority(self._root_name, self._root_key, None)
        self._intermediate = self._authority(self._name, self._key, 0)
        self.root_pem = _pem(root)

    def leaf(self, name, kind):
        """Chain text and key text for a DNS name."""
        key = _new_key(kind)
        usages = {"digital_signature": True, "key_encipherment": kind == "rsa"}
        leaf = (
            self._builder(_name(name), self._name, key.public_key(), self._key.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(**usages), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_revocation_list(), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return _pem(leaf) + _pem(self._intermediate), text.decode()

    def _authority(self, name, key, length):
        return (
            self._builder(name, self._root_name, key.public_key(), self._root_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(self._root_key, hashes.SHA256())
        )

    def _builder(self, subject, issuer, public_key, issuer_key):
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._start)
            .not_valid_after(self._end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        )


def _new_key(kind):
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ecdsa" else rsa.generate_private_key(65537, 2048)


def _usage(**used):
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in names.split()})


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _revocation_list():
    """The URL of a CRL. Scanners require one and do not fetch it."""
    where = x509.UniformResourceIdentifier("http://crl.example.com/suites.crl")
    return x509.CRLDistributionPoints([x509.DistributionPoint([where], None, None, None)])

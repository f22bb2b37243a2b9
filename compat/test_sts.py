"""Temporary keys through the official SDKs: how they are issued, what they may do, and how they are refused."""

import json
import re
import time

import pytest
from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from alibabacloud_cdn20180510 import models as cdn
from alibabacloud_cdn20180510.client import Client as CdnClient
from alibabacloud_credentials.client import Client as Credential
from alibabacloud_credentials.models import Config as CredentialConfig
from alibabacloud_credentials.provider import OIDCRoleArnCredentialsProvider
from alibabacloud_sts20150401 import models as sts
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi import utils_models
from alibabacloud_tea_openapi.client import Client as AnyClient
from alibabacloud_tea_openapi.exceptions import ClientException
from alibabacloud_tea_openapi.utils import Utils
from darabonba.runtime import RuntimeOptions

from clients import assert_typed
from harness import Server, documented_refusals, split_address
from issuer import ISSUER, HttpsKeys, Key, key_set

REFUSALS = documented_refusals()
ALGORITHMS = {"v3": None, "v1": "v2"}


class World:
    """A server with a user that may assume roles, roles, and identity providers whose keys are in a file and at an address."""

    def __init__(self, server, folder):
        self.server = server
        self.keys = {algorithm: Key(algorithm.lower(), algorithm) for algorithm in ("RS256", "ES256")}
        self.jwks = folder / "jwks.json"
        self.jwks.write_text(key_set(*self.keys.values()))

    def config(self, https_keys):
        provider = '[[oidc_provider]]\naccount = "{}"\nname = "{}"\nissuer = "{}"\nclient_ids = ["edgeseal"]\njwks = "{}"\n'
        in_file = provider.format(self.server.account, "ci", ISSUER, self.jwks)
        at_address = provider.format(self.server.account, "remote", ISSUER, https_keys.url)
        self.ca_file = https_keys.ca_file
        files = f'api_tls_cert_file = "{self.ca_file}"\napi_tls_key_file = "{https_keys.key_file}"\n'
        return f'api_tls = "127.0.0.1:0"\n{files}{in_file}{at_address}jwks_ca_file = "{self.ca_file}"\n'

    def populate(self):
        """A user `dev`, a role `reader` that users may assume, a role `ci` for the providers' tokens."""
        self.ram("CreateUser", UserName="dev")
        key = self.ram("CreateAccessKey", UserName="dev")["AccessKey"]
        self.dev = {"access_key_id": key["AccessKeyId"], "access_key_secret": key["AccessKeySecret"]}
        self._policy("may-assume", document("sts:AssumeRole"))
        self.ram("AttachPolicyToUser", PolicyType="Custom", PolicyName="may-assume", UserName="dev")
        self._policy("may-read", document("cdn:Describe*", "sts:AssumeRole"))
        self.role("reader", trust({"RAM": [self.arn("root")]}))
        condition = {"StringEquals": {"oidc:iss": ISSUER, "oidc:aud": "edgeseal"}, "StringLike": {"oidc:sub": "repo:web/shop:*"}}
        providers = [self.arn("oidc-provider/ci"), self.arn("oidc-provider/remote")]
        self.role("ci", trust({"Federated": providers}, condition))

    def role(self, name, policy):
        self.ram("CreateRole", RoleName=name, AssumeRolePolicyDocument=policy, MaxSessionDuration="7200")
        self.ram("AttachPolicyToRole", PolicyType="Custom", PolicyName="may-read", RoleName=name)

    def _policy(self, name, text):
        self.ram("CreatePolicy", PolicyName=name, PolicyDocument=text)

    def arn(self, name):
        return f"acs:ram::{self.server.account}:{name}"

    def ram(self, action, **params):
        """A generic call of RAM, as the account."""
        description = utils_models.Params(
            action=action,
            version="2015-05-01",
            protocol="HTTP",
            method="POST",
            auth_type="AK",
            style="RPC",
            pathname="/",
            req_body_type="json",
            body_type="json",
        )
        client = AnyClient(self.settings(**self.own()))
        answer = client.call_api(description, utils_models.OpenApiRequest(query=Utils.query(params)), RuntimeOptions())
        return answer["body"]

    def own(self):
        return {"access_key_id": self.server.key_id, "access_key_secret": self.server.secret}

    def settings(self, **more):
        return utils_models.Config(endpoint=self.server.api, protocol="http", **more)

    def sts(self, algorithm=None, **credentials):
        return StsClient(self.settings(signature_algorithm=algorithm, **credentials))

    def cdn(self, algorithm=None, **credentials):
        return CdnClient(self.settings(signature_algorithm=algorithm, **credentials))

    def assume(self, algorithm=None, credentials=None, **more):
        request = sts.AssumeRoleRequest(role_arn=self.arn("role/reader"), role_session_name="ci-1", **more)
        body = self.sts(algorithm, **(credentials or self.dev)).assume_role(request).body
        assert_typed(body)
        return body

    def oidc(self, token, provider="ci", role="ci", **more):
        """`AssumeRoleWithOIDC` of a client that has no credentials at all."""
        request = sts.AssumeRoleWithOIDCRequest(
            oidcprovider_arn=self.arn(f"oidc-provider/{provider}"),
            role_arn=self.arn(f"role/{role}"),
            oidctoken=token,
            role_session_name="ci-1",
            **more,
        )
        body = self.sts().assume_role_with_oidc(request).body
        assert_typed(body)
        return body


def document(*actions, effect="Allow"):
    return json.dumps({"Version": "1", "Statement": [{"Effect": effect, "Action": list(actions), "Resource": "*"}]})


def trust(principal, condition=None):
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}
    if condition:
        statement["Condition"] = condition
    return json.dumps({"Version": "1", "Statement": [statement]})


def temporary(body):
    """The three parts of a temporary key, as a client's configuration takes them."""
    given = body.credentials
    return {
        "access_key_id": given.access_key_id,
        "access_key_secret": given.access_key_secret,
        "security_token": given.security_token,
    }


def refused(call, code, where, status=None):
    """The call is refused with this code; the answer."""
    with pytest.raises(ClientException) as caught:
        call()
    error = caught.value
    documented, _ = REFUSALS[code, where]
    assert (error.code, error.status_code) == (code, status or documented), error.data
    return error.data


@pytest.fixture(scope="module")
def bare(certs, tmp_path_factory):
    """A server without users and roles: refusals that do not depend on them."""
    folder = tmp_path_factory.mktemp("bare")
    with Server(certs) as server:
        world = World(server, folder)
        with HttpsKeys(folder, *world.keys.values()) as https_keys:
            server.restart(world.config(https_keys))
            yield world


@pytest.fixture(scope="module")
def world(bare):
    bare.populate()
    return bare


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_an_account_is_told_who_it_is(bare, algorithm):
    body = bare.sts(algorithm, **bare.own()).get_caller_identity().body
    assert_typed(body)
    account = bare.server.account
    identity = (body.identity_type, body.account_id, body.principal_id, body.user_id, body.role_id, body.arn)
    assert identity == ("Account", account, account, account, None, f"acs:ram::{account}:root")


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_a_bearer_token_is_refused_with_the_way_out(bare, algorithm):
    credential = Credential(CredentialConfig(type="bearer", bearer_token="token"))
    client = bare.sts(algorithm, credential=credential)
    answer = refused(client.get_caller_identity, "InvalidSignatureMethod", "gateway")
    assert "AssumeRoleWithOIDC" in answer["Detail"]


def test_an_account_assumes_no_role(bare):
    answer = refused(lambda: bare.assume(credentials=bare.own()), "NoPermission", "AssumeRole")
    assert answer["Message"] == "Roles may not be assumed by root accounts."


BAD_TOKENS = {
    "none": (lambda key: key.token({"alg": "none"}, lambda _: b""), "AuthenticationFail.OIDCToken.Invalid"),
    "HS256 with the public key": (Key.confused_token, "AuthenticationFail.OIDCToken.Invalid"),
    "another algorithm's name": (lambda key: key.token({"alg": "RS512"}), "AuthenticationFail.OIDCToken.Invalid"),
    "another kind of key": (
        lambda key: key.token({"kid": "es256" if key.algorithm == "RS256" else "rs256"}),
        "AuthenticationFail.OIDCToken.InvalidSignature",
    ),
    "a key of its own": (
        lambda key: Key(key.kid, key.algorithm).token({"jwk": key.jwk()}),
        "AuthenticationFail.OIDCToken.InvalidSignature",
    ),
    "an unknown key": (lambda key: key.token({"kid": "unknown"}), "AuthenticationFail.OIDCToken.InvalidSignature"),
    "another audience": (lambda key: key.token(aud="another"), "AuthenticationFail.OIDCToken.AudienceNotMatch"),
    "another issuer": (lambda key: key.token(iss=f"{ISSUER}/"), "AuthenticationFail.OIDCToken.Invalid"),
    "expired": (lambda key: key.token(exp=int(time.time()) - 120), "AuthenticationFail.OIDCToken.Expired"),
    "not yet good": (lambda key: key.token(nbf=int(time.time()) + 120), "AuthenticationFail.OIDCToken.Invalid"),
    "no subject": (lambda key: key.token(sub=None), "AuthenticationFail.OIDCToken.Invalid"),
    "no token": (lambda key: "token", "AuthenticationFail.OIDCToken.Invalid"),
}


@pytest.mark.parametrize("provider", ["ci", "remote"])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
@pytest.mark.parametrize("bad", BAD_TOKENS)
def test_a_bad_token_opens_nothing(bare, bad, algorithm, provider):
    make, code = BAD_TOKENS[bad]
    refused(lambda: bare.oidc(make(bare.keys[algorithm]), provider), code, "AssumeRoleWithOIDC")


def test_a_provider_that_nobody_configured(bare):
    token = bare.keys["ES256"].token()
    answer = refused(lambda: bare.oidc(token, "nobody"), "AuthenticationFail.NoPermission", "AssumeRoleWithOIDC")
    assert answer["Message"] == "No such OIDC Provider registered."


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_a_temporary_key_signs_calls(world, algorithm):
    body = world.assume(algorithm, duration_seconds=7200)
    assert re.fullmatch(r"STS\.[A-Za-z0-9]+", body.credentials.access_key_id)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body.credentials.expiration)
    assert body.assumed_role_user.arn == world.arn("role/reader/ci-1")
    key = temporary(body)
    identity = world.sts(algorithm, **key).get_caller_identity().body
    assert_typed(identity)
    assert (identity.identity_type, identity.arn) == ("AssumedRoleUser", world.arn("assumed-role/reader/ci-1"))
    assert identity.principal_id == body.assumed_role_user.assumed_role_id == f"{identity.role_id}:ci-1"
    client = world.cdn(algorithm, **key)
    assert client.describe_user_domains(cdn.DescribeUserDomainsRequest()).body.total_count == 0
    answer = refused(
        lambda: client.stop_cdn_domain(cdn.StopCdnDomainRequest(domain_name="a.example.com")), "NoPermission", "gateway"
    )
    assert answer["AccessDeniedDetail"]["AuthPrincipalType"] == "AssumedRoleUser"


def test_a_user_is_told_who_it_is(world):
    body = world.sts(**world.dev).get_caller_identity().body
    assert (body.identity_type, body.arn) == ("RAMUser", world.arn("user/dev"))
    assert body.principal_id == body.user_id and body.role_id is None


def test_the_elder_sdk_signs_with_a_temporary_key(world):
    host, port = split_address(world.server.api)
    key = temporary(world.assume())
    parts = StsTokenCredential(key["access_key_id"], key["access_key_secret"], key["security_token"])
    client = AcsClient(region_id="cn-hangzhou", credential=parts, port=port)
    request = CommonRequest(domain=host, version="2015-04-01", action_name="GetCallerIdentity")
    request.set_method("POST")
    request.set_protocol_type("http")
    assert json.loads(client.do_action_with_exception(request))["Arn"] == world.arn("assumed-role/reader/ci-1")


def test_the_policy_of_a_session_narrows_it(world):
    client = world.cdn(**temporary(world.assume(policy=document("cdn:StopCdnDomain"))))
    answer = refused(
        lambda: client.describe_user_domains(cdn.DescribeUserDomainsRequest()), "NoPermission", "gateway"
    )
    assert answer["AccessDeniedDetail"]["PolicyType"] == "SessionPolicy"
    refused(lambda: client.stop_cdn_domain(cdn.StopCdnDomainRequest(domain_name="a.example.com")), "NoPermission", "gateway")


def test_parameters_that_no_session_has(world):
    for code, more in {
        "InvalidParameter.DurationSeconds": {"duration_seconds": 7201},
        "InvalidParameter.PolicyGrammar": {"policy": "{}"},
        "InvalidParameter.PolicySize": {"policy": " " * 2049},
        "InvalidParameter.ExternalId": {"external_id": "x"},
    }.items():
        refused(lambda: world.assume(**more), code, "AssumeRole")


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_the_three_parts_of_a_temporary_key_go_together(world, algorithm):
    one, two = temporary(world.assume()), temporary(world.assume())
    token = one["security_token"]
    changed = token[:-5] + ("A" if token[-5] != "A" else "B") + token[-4:]
    for code, bad in {
        "InvalidSecurityToken.MismatchWithAccessKey": two["security_token"],
        "InvalidSecurityToken.Malformed": changed,
    }.items():
        client = world.sts(algorithm, **one | {"security_token": bad})
        refused(client.get_caller_identity, code, "gateway")
    client = world.sts(algorithm, **one | {"access_key_secret": two["access_key_secret"]})
    refused(client.get_caller_identity, "SignatureDoesNotMatch", "gateway")
    assert world.sts(algorithm, **one).get_caller_identity().body.role_id


def test_a_session_ends_with_its_role(world):
    world.role("fleeting", trust({"RAM": [world.arn("root")]}))
    request = sts.AssumeRoleRequest(role_arn=world.arn("role/fleeting"), role_session_name="ci-1")
    client = world.sts(**temporary(world.sts(**world.dev).assume_role(request).body))
    assert client.get_caller_identity().body.role_id
    world.ram("DetachPolicyFromRole", PolicyType="Custom", PolicyName="may-read", RoleName="fleeting")
    world.ram("DeleteRole", RoleName="fleeting")
    refused(client.get_caller_identity, "InvalidSecurityToken.Expired", "gateway")
    world.role("fleeting", trust({"RAM": [world.arn("root")]}))
    refused(client.get_caller_identity, "InvalidSecurityToken.Expired", "gateway")


@pytest.mark.parametrize("provider", ["ci", "remote"])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_good_token_opens_a_role_that_trusts_it(world, algorithm, provider):
    body = world.oidc(world.keys[algorithm].token(aud=["x", "edgeseal"]), provider, duration_seconds=900)
    info = body.oidctoken_info
    assert (info.subject, info.issuer, info.client_ids) == ("repo:web/shop:main", ISSUER, "edgeseal")
    assert info.verification_info == "Success"
    client = world.cdn(**temporary(body))
    assert client.describe_user_domains(cdn.DescribeUserDomainsRequest()).body.total_count == 0
    assert world.sts(**temporary(body)).get_caller_identity().body.arn == world.arn("assumed-role/ci/ci-1")


def test_a_client_that_renews_its_key_by_itself(world, tmp_path, monkeypatch):
    """As in a CI job: a file with the token, and a client that is told nothing but names. It insists on TLS."""
    monkeypatch.setenv("SSL_CERT_FILE", str(world.ca_file))
    token_file = tmp_path / "token"
    token_file.write_text(world.keys["RS256"].token())
    provider = OIDCRoleArnCredentialsProvider(
        role_arn=world.arn("role/ci"),
        oidc_provider_arn=world.arn("oidc-provider/ci"),
        oidc_token_file_path=str(token_file),
        role_session_name="job",
        sts_endpoint=json.loads((world.server.data / "addresses.json").read_text())["api_tls"],
    )
    client = world.sts(credential=Credential(provider=provider))
    assert client.get_caller_identity().body.arn == world.arn("assumed-role/ci/job")


def test_a_good_token_of_somebody_else_opens_nothing(world):
    key = world.keys["ES256"]
    for token, role in ((key.token(sub="repo:fork/shop:main"), "ci"), (key.token(), "reader"), (key.token(), "nothing")):
        answer = refused(lambda: world.oidc(token, role=role), "AuthenticationFail.NoPermission", "AssumeRoleWithOIDC")
        assert answer["Message"] == "There is no permission"


def test_keys_are_changed_while_it_runs(world):
    before = world.jwks.read_text()
    old, new = world.keys["ES256"], Key("new", "ES256")
    try:
        world.jwks.write_text(key_set(old, new))
        assert world.oidc(old.token()) and world.oidc(new.token())
        world.jwks.write_text(key_set(new))
        assert world.oidc(new.token())
        refused(lambda: world.oidc(old.token()), "AuthenticationFail.OIDCToken.InvalidSignature", "AssumeRoleWithOIDC")
    finally:
        world.jwks.write_text(before)


def test_no_token_is_in_the_log(world):
    key, token = temporary(world.assume()), world.keys["ES256"].token()
    world.oidc(token)
    assert world.sts(**key).get_caller_identity()
    log = (world.server.folder / "log").read_text()
    for secret in (token, key["security_token"], key["access_key_secret"]):
        assert secret not in log

"""The official Python clients, unmodified, behind one small interface.

Each class has `call(action, params)` that sends the request with that client's own request types and returns the reply as
a dictionary, `refusal` (the exception type that the client raises for a refused call), `facts(exception)` (HTTP status,
code, message, request id as that client reports them) and `wrong_secret` (what it calls a signature that does not match).
"""

import importlib
import json
import typing

from aliyunsdkcore.acs_exception.exceptions import ServerException as OldServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from alibabacloud_cdn20180510 import models
from alibabacloud_cdn20180510.client import Client as CdnClient
from alibabacloud_tea_openapi import utils_models
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException, ClientException
from alibabacloud_tea_openapi.utils import Utils
from darabonba.model import DaraModel
from darabonba.runtime import RuntimeOptions

from harness import split_address

CDN = "2018-05-10"
EDGESEAL = "2026-12-01"
EDGESEAL_ACTIONS = {
    "SetDomainMode",
    "CreateAccount",
    "UpdateAccount",
    "ListAccounts",
    "CreateAccessKey",
    "UpdateAccessKey",
    "DeleteAccessKey",
    "DescribeAlarms",
    "DescribeCertificateExpiry",
    "SilenceAlarm",
    "UnsilenceAlarm",
}


class NewSdk:
    """`alibabacloud_cdn20180510`: request and response models; V3, or V1 with `signature_algorithm='v2'`."""

    refusal = ClientException
    wrong_secret = "SignatureDoesNotMatch"
    algorithm = None
    methods = {
        "AddCdnDomain": CdnClient.add_cdn_domain,
        "DeleteCdnDomain": CdnClient.delete_cdn_domain,
        "StartCdnDomain": CdnClient.start_cdn_domain,
        "StopCdnDomain": CdnClient.stop_cdn_domain,
        "DescribeCdnDomainDetail": CdnClient.describe_cdn_domain_detail,
        "DescribeDomainCertificateInfo": CdnClient.describe_domain_certificate_info,
        "DescribeUserDomains": CdnClient.describe_user_domains,
        "SetCdnDomainSSLCertificate": CdnClient.set_cdn_domain_sslcertificate,
    }

    def __init__(self, server, key_id=None, secret=None, retry=True):
        self.sdk = CdnClient(
            utils_models.Config(
                access_key_id=key_id or server.key_id,
                access_key_secret=secret or server.secret,
                endpoint=server.api,
                protocol="http",
                signature_algorithm=self.algorithm,
            )
        )

    def call(self, action, params):
        if action in self.methods:
            request = getattr(models, f"{action}Request")()
            request.from_map(params)
            if {name for name, value in request.to_map().items() if value} == set(params):
                response = self.methods[action](self.sdk, request)
                assert response.status_code == 200
                assert_typed(response.body)
                return response.body.to_map()
        return self._generic_call(action, params)

    def _generic_call(self, action, params):
        """What the SDK's documentation calls a generic call: for actions and parameters that have no model."""
        description = utils_models.Params(
            action=action,
            version=version_of(action),
            protocol="HTTP",
            method="POST",
            auth_type="AK",
            style="RPC",
            pathname="/",
            req_body_type="json",
            body_type="json",
        )
        answer = self.sdk.call_api(description, utils_models.OpenApiRequest(query=Utils.query(params)), RuntimeOptions())
        assert answer["statusCode"] == 200
        return answer["body"]

    @staticmethod
    def facts(error: AlibabaCloudException):
        message = error.data["Message"]
        assert error.message == f"code: {error.status_code}, {message} request id: {error.request_id}"
        return error.status_code, error.code, message, error.request_id


class NewSdkV1(NewSdk):
    """The same client with the older signature."""

    algorithm = "v2"


class OldSdk:
    """`aliyunsdkcdn`: a request class with setters per action, everything in the query."""

    refusal = OldServerException
    # It takes the server's string to sign out of the message; only if that equals its own to the byte, it blames the secret.
    wrong_secret = "InvalidAccessKeySecret"

    def __init__(self, server, key_id=None, secret=None, retry=True):
        self.host, port = split_address(server.api)
        self.sdk = AcsClient(key_id or server.key_id, secret or server.secret, "cn-hangzhou", port=port, auto_retry=retry)

    def call(self, action, params):
        return json.loads(self.sdk.do_action_with_exception(self.request(action, params)))

    def request(self, action, params):
        """A request object, ready to be sent."""
        if action in EDGESEAL_ACTIONS:
            return self._common_request(action, params)
        try:
            module = importlib.import_module(f"aliyunsdkcdn.request.v20180510.{action}Request")
        except ModuleNotFoundError:
            return self._common_request(action, params)
        request = getattr(module, f"{action}Request")()
        request.set_endpoint(self.host)
        for name, value in params.items():
            setter = getattr(request, f"set_{name}", None)
            if setter:
                setter(value)
            else:
                request.add_query_param(name, value)
        return request

    def _common_request(self, action, params):
        request = CommonRequest(domain=self.host, version=version_of(action), action_name=action, product="Cdn")
        request.set_method("POST")
        request.set_protocol_type("http")
        for name, value in params.items():
            request.add_body_params(name, value)
        return request

    @staticmethod
    def facts(error: OldServerException):
        return error.get_http_status(), error.get_error_code(), error.get_error_msg(), error.get_request_id()


class OldSdkCommon(OldSdk):
    """`CommonRequest`: common parameters in the query, the action's own in a form body."""

    # It does not keep its string to sign, so it never compares.
    wrong_secret = "SignatureDoesNotMatch"

    def request(self, action, params):
        return self._common_request(action, params)


CLIENTS = {
    "cdn20180510-v3": NewSdk,
    "cdn20180510-v1": NewSdkV1,
    "aliyunsdkcdn": OldSdk,
    "aliyunsdkcore-common": OldSdkCommon,
}


def add_domains(server, *names):
    """Adds domains, each with an origin at which nothing listens."""
    sources = '[{"content":"127.0.0.1","type":"ipaddr","port":9}]'
    for name in names:
        NewSdk(server).call("AddCdnDomain", {"DomainName": name, "CdnType": "web", "Sources": sources})


def version_of(action):
    return EDGESEAL if action in EDGESEAL_ACTIONS else CDN


def assert_typed(value, where="body"):
    """Every attribute of a response model has the type that the SDK declares for it."""
    declared = typing.get_type_hints(type(value).__init__)
    for name, attribute in vars(value).items():
        if attribute is None or name not in declared:
            continue
        _assert_type(attribute, declared[name], f"{where}.{name}")


def _assert_type(value, declared, where):
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin is list:
        assert isinstance(value, list), f"{where} is {value!r}, not a list"
        for index, item in enumerate(value):
            _assert_type(item, arguments[0], f"{where}[{index}]")
    elif isinstance(declared, type) and issubclass(declared, DaraModel):
        assert_typed(value, where)
    elif isinstance(declared, type):
        assert type(value) is declared, f"{where} is {value!r}, not {declared.__name__}"

"""RAM through its official SDK: the life of users, access keys, policies and roles, and every refusal."""

import json
import re

import pytest

from harness import Server, documented_refusals, table
from products import Product
from steps import REQUEST_ID

REFUSALS = documented_refusals()
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# Limits that would take a thousand calls to reach; the catalog's unit tests cover them.
NEVER = {"LimitExceeded.User", "LimitExceeded.Role", "LimitExceeded.Policy"}


def document(action, effect="Allow", resource="*"):
    return json.dumps({"Version": "1", "Statement": [{"Effect": effect, "Action": action, "Resource": resource}]})


def trust(account):
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"RAM": f"acs:ram::{account}:root"}}
    return json.dumps({"Version": "1", "Statement": [statement]})


def refused(client, action, params, code):
    """The call is refused with the status, code and message that spec/errors.tsv has."""
    with pytest.raises(client.refusal) as caught:
        client.call(action, params)
    status, actual, message, request_id = client.facts(caught.value)
    wheres = (f"ram:{action}", action, "gateway")
    expected = next((REFUSALS[code, where] for where in wheres if (code, where) in REFUSALS), None)
    assert expected, f"spec/errors.tsv has no {code} for {action}, which answered {actual}: {message}"
    assert (status, actual) == (expected[0], code), message
    if "{" not in expected[1]:
        assert message == expected[1]
    assert REQUEST_ID.fullmatch(request_id)
    return caught.value


@pytest.fixture
def ram(server):
    return Product(server, "ram")


def key_of(ram, user):
    made = ram.call("CreateAccessKey", {"UserName": user})["AccessKey"]
    return made["AccessKeyId"], made["AccessKeySecret"]


def test_a_user_s_life(ram, server):
    particulars = {"DisplayName": "张强", "MobilePhone": "86-18600008888", "Email": "a@example.com", "Comments": "x y"}
    made = ram.call("CreateUser", {"UserName": "alice", **particulars})["User"]
    assert {name: made[name] for name in particulars} == particulars
    assert made["UserName"] == "alice" and made["UserId"].isdigit() and DATE.fullmatch(made["CreateDate"])
    got = ram.call("GetUser", {"UserName": "alice"})["User"]
    assert got == {**made, "UpdateDate": made["CreateDate"], "LastLoginDate": ""}

    ram.call("CreateUser", {"UserName": "bob"})
    ram.call("CreateUser", {"UserName": "carol"})
    page = ram.call("ListUsers", {"MaxItems": 2})
    assert [user["UserName"] for user in page["Users"]["User"]] == ["alice", "bob"] and page["IsTruncated"] is True
    rest = ram.call("ListUsers", {"MaxItems": 2, "Marker": page["Marker"]})
    assert [user["UserName"] for user in rest["Users"]["User"]] == ["carol"] and rest["IsTruncated"] is False

    # Everything attached follows the new name.
    key = key_of(ram, "alice")
    ram.call("AttachPolicyToUser", {"UserName": "alice", "PolicyType": "System", "PolicyName": "AliyunRAMReadOnlyAccess"})
    changed = ram.call("UpdateUser", {"UserName": "alice", "NewUserName": "alina", "NewComments": "z"})["User"]
    assert (changed["UserName"], changed["Comments"], changed["DisplayName"]) == ("alina", "z", "张强")
    assert changed["UserId"] == made["UserId"]
    refused(ram, "GetUser", {"UserName": "alice"}, "EntityNotExist.User")
    herself = Product(server, "ram", key=key)
    assert herself.call("GetUser", {"UserName": "alina"})["User"]["UserId"] == made["UserId"]

    assert ram.call("UpdateUser", {"UserName": "alina", "NewDisplayName": "Alina"})["User"]["Comments"] == "z"
    refused(ram, "DeleteUser", {"UserName": "alina"}, "DeleteConflict.User.AccessKey")
    ram.call("DeleteAccessKey", {"UserName": "alina", "UserAccessKeyId": key[0]})
    refused(ram, "DeleteUser", {"UserName": "alina"}, "DeleteConflict.User.Policy")
    ram.call("DetachPolicyFromUser", {"UserName": "alina", "PolicyType": "System", "PolicyName": "AliyunRAMReadOnlyAccess"})
    ram.call("DeleteUser", {"UserName": "alina"})
    refused(ram, "DeleteUser", {"UserName": "alina"}, "EntityNotExist.User")


def test_access_keys(ram, server):
    ram.call("CreateUser", {"UserName": "ci"})
    made = ram.call("CreateAccessKey", {"UserName": "ci"})["AccessKey"]
    key, secret = made["AccessKeyId"], made["AccessKeySecret"]
    assert made["Status"] == "Active" and len(secret) == 30 and DATE.fullmatch(made["CreateDate"])
    (listed,) = ram.call("ListAccessKeys", {"UserName": "ci"})["AccessKeys"]["AccessKey"]
    assert listed == {name: made[name] for name in ("AccessKeyId", "Status", "CreateDate")}
    own = ram.call("ListAccessKeys", {})["AccessKeys"]["AccessKey"]
    assert [one["AccessKeyId"] for one in own] == [server.key_id]

    # Not used, then used: to the hour.
    params = {"UserName": "ci", "UserAccessKeyId": key}
    assert ram.call("GetAccessKeyLastUsed", params)["AccessKeyLastUsed"] == {}
    ci = Product(server, "ram", key=(key, secret))
    refused(ci, "ListAccessKeys", {}, "NoPermission")
    used = ram.call("GetAccessKeyLastUsed", params)["AccessKeyLastUsed"]["LastUsedDate"]
    assert used.endswith(":00:00Z") and DATE.fullmatch(used)

    # Its own keys only, once it may.
    policy = document(["ram:*AccessKey*"], resource=f"acs:ram:*:{server.account}:user/ci")
    ram.call("CreatePolicy", {"PolicyName": "own-keys", "PolicyDocument": policy})
    ram.call("AttachPolicyToUser", {"UserName": "ci", "PolicyType": "Custom", "PolicyName": "own-keys"})
    assert ci.call("ListAccessKeys", {})["AccessKeys"]["AccessKey"][0]["AccessKeyId"] == key
    second = ci.call("CreateAccessKey", {})["AccessKey"]["AccessKeyId"]
    refused(ci, "CreateAccessKey", {}, "LimitExceeded.User.AccessKey")
    refused(ci, "DeleteAccessKey", {"UserAccessKeyId": server.key_id}, "EntityNotExist.User.AccessKey")
    ram.call("CreateUser", {"UserName": "other"})
    refused(ci, "CreateAccessKey", {"UserName": "other"}, "NoPermission")
    # The account's own keys are none of a user's either way round.
    refused(ram, "UpdateAccessKey", {"UserAccessKeyId": key, "Status": "Inactive"}, "EntityNotExist.User.AccessKey")

    ci.call("DeleteAccessKey", {"UserAccessKeyId": second})
    ram.call("UpdateAccessKey", {**params, "Status": "Inactive"})
    refused(ci, "ListAccessKeys", {}, "InvalidAccessKeyId.Inactive")
    ram.call("UpdateAccessKey", {**params, "Status": "Active"})
    ci.call("ListAccessKeys", {})
    ram.call("DeleteAccessKey", params)
    refused(ci, "ListAccessKeys", {}, "InvalidAccessKeyId.NotFound")
    refused(ram, "DeleteAccessKey", {"UserAccessKeyId": server.key_id}, "DeleteConflict.LastAccessKey")


def test_policies(ram, server):
    read, write = document("cdn:Describe*"), document(["cdn:*"])
    made = ram.call("CreatePolicy", {"PolicyName": "p", "PolicyDocument": read, "Description": "reads"})["Policy"]
    assert (made["PolicyType"], made["DefaultVersion"], made["Description"]) == ("Custom", "v1", "reads")
    named = {"PolicyType": "Custom", "PolicyName": "p"}
    got = ram.call("GetPolicy", named)
    shown = {"UpdateDate": made["CreateDate"], "AttachmentCount": 0, "PolicyDocument": read}
    assert got["Policy"] == {**made, **shown}
    assert got["DefaultPolicyVersion"] == {
        "VersionId": "v1",
        "IsDefaultVersion": True,
        "PolicyDocument": read,
        "CreateDate": made["CreateDate"],
    }

    second = ram.call("CreatePolicyVersion", {"PolicyName": "p", "PolicyDocument": write})["PolicyVersion"]
    assert (second["VersionId"], second["IsDefaultVersion"], second["PolicyDocument"]) == ("v2", False, write)
    third = ram.call("CreatePolicyVersion", {"PolicyName": "p", "PolicyDocument": write, "SetAsDefault": True})
    assert third["PolicyVersion"]["IsDefaultVersion"] is True
    assert ram.call("GetPolicyVersion", {**named, "VersionId": "v1"})["PolicyVersion"]["IsDefaultVersion"] is False
    refused(ram, "DeletePolicyVersion", {"PolicyName": "p", "VersionId": "v3"}, "DeleteConflict.Policy.Version.Default")
    ram.call("SetDefaultPolicyVersion", {"PolicyName": "p", "VersionId": "v2"})
    ram.call("DeletePolicyVersion", {"PolicyName": "p", "VersionId": "v3"})
    for _ in range(3):
        ram.call("CreatePolicyVersion", {"PolicyName": "p", "PolicyDocument": read})
    more = {"PolicyName": "p", "PolicyDocument": read}
    refused(ram, "CreatePolicyVersion", more, "LimitExceeded.Policy.Version")
    ram.call("CreatePolicyVersion", {**more, "RotateStrategy": "DeleteOldestNonDefaultVersionWhenLimitExceeded"})
    versions = ram.call("ListPolicyVersions", named)["PolicyVersions"]["PolicyVersion"]
    assert [one["VersionId"] for one in versions] == ["v2", "v4", "v5", "v6", "v7"]
    assert [one["VersionId"] for one in versions if one["IsDefaultVersion"]] == ["v2"]
    described = ram.call("UpdatePolicyDescription", {"PolicyName": "p", "NewDescription": "writes"})["Policy"]
    assert (described["Description"], described["DefaultVersion"]) == ("writes", "v2")

    system = {"PolicyType": "System", "PolicyName": "AliyunCDNFullAccess"}
    assert ram.call("GetPolicy", system)["DefaultPolicyVersion"]["VersionId"] == "v1"
    assert len(ram.call("ListPolicyVersions", system)["PolicyVersions"]["PolicyVersion"]) == 1
    all_policies = ram.call("ListPolicies", {})["Policies"]["Policy"]
    assert [one["PolicyName"] for one in all_policies[:2]] == ["p", "AdministratorAccess"]
    (own,) = ram.call("ListPolicies", {"PolicyType": "Custom"})["Policies"]["Policy"]
    assert own["PolicyName"] == "p"
    seen, marker = [], None
    while marker != "":
        page = ram.call("ListPolicies", {"MaxItems": 3, **({"Marker": marker} if marker else {})})
        seen += page["Policies"]["Policy"]
        marker = page.get("Marker", "")
        assert page["IsTruncated"] is bool(marker)
    assert seen == all_policies

    refused(ram, "DeletePolicy", {"PolicyName": "p"}, "DeleteConflict.Policy.Version")
    ram.call("DeletePolicy", {"PolicyName": "p", "CascadingDelete": True})
    refused(ram, "GetPolicy", named, "EntityNotExist.Policy")


def test_who_has_a_policy(ram, server):
    ram.call("CreateUser", {"UserName": "u", "DisplayName": "U"})
    ram.call("CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": trust(server.account), "Description": "d"})
    ram.call("CreatePolicy", {"PolicyName": "p", "PolicyDocument": document("cdn:*"), "Description": "all of CDN"})
    named = {"PolicyType": "Custom", "PolicyName": "p"}
    ram.call("AttachPolicyToUser", {"UserName": "u", **named})
    ram.call("AttachPolicyToRole", {"RoleName": "r", **named})
    # The whole account is the only group there is.
    system = {"PolicyType": "System", "PolicyName": "AliyunCDNReadOnlyAccess", "ResourceGroupId": server.account}
    ram.call("AttachPolicyToUser", {"UserName": "u", **system})
    first, second = ram.call("ListPoliciesForUser", {"UserName": "u"})["Policies"]["Policy"]
    assert (first["PolicyName"], first["PolicyType"], first["Description"]) == ("p", "Custom", "all of CDN")
    assert (second["PolicyName"], second["DefaultVersion"]) == ("AliyunCDNReadOnlyAccess", "v1")
    assert DATE.fullmatch(first["AttachDate"])
    (of_role,) = ram.call("ListPoliciesForRole", {"RoleName": "r"})["Policies"]["Policy"]
    assert of_role["PolicyName"] == "p"
    assert ram.call("GetPolicy", named)["Policy"]["AttachmentCount"] == 2

    entities = ram.call("ListEntitiesForPolicy", named)
    (user,), (role,) = entities["Users"]["User"], entities["Roles"]["Role"]
    assert (user["UserName"], user["DisplayName"]) == ("u", "U")
    assert (role["RoleName"], role["Arn"]) == ("r", f"acs:ram::{server.account}:role/r")
    assert entities["Groups"]["Group"] == []

    refused(ram, "DeletePolicy", {"PolicyName": "p"}, "DeleteConflict.Policy.User")
    ram.call("DetachPolicyFromUser", {"UserName": "u", **named})
    refused(ram, "DeletePolicy", {"PolicyName": "p"}, "DeleteConflict.Role.Policy")
    refused(ram, "DeleteRole", {"RoleName": "r"}, "DeleteConflict.Role.Policy")
    ram.call("DetachPolicyFromRole", {"RoleName": "r", **named})
    ram.call("DeletePolicy", {"PolicyName": "p"})
    ram.call("DeleteRole", {"RoleName": "r"})


def test_roles(ram, server):
    text = trust(server.account)
    made = ram.call("CreateRole", {"RoleName": "deploy", "AssumeRolePolicyDocument": text})["Role"]
    assert made["Arn"] == f"acs:ram::{server.account}:role/deploy" and made["RoleId"].isdigit()
    assert (made["MaxSessionDuration"], made["AssumeRolePolicyDocument"], made["Description"]) == (3600, text, "")
    got = ram.call("GetRole", {"RoleName": "deploy"})["Role"]
    assert got == {**made, "UpdateDate": made["CreateDate"]}
    ram.call("CreateRole", {"RoleName": "audit", "AssumeRolePolicyDocument": text, "MaxSessionDuration": 43200})
    page = ram.call("ListRoles", {"MaxItems": 1})
    assert [role["RoleName"] for role in page["Roles"]["Role"]] == ["audit"] and page["IsTruncated"] is True
    assert "AssumeRolePolicyDocument" not in page["Roles"]["Role"][0]
    (rest,) = ram.call("ListRoles", {"Marker": page["Marker"]})["Roles"]["Role"]
    assert rest["RoleName"] == "deploy"
    changed = ram.call("UpdateRole", {"RoleName": "deploy", "NewMaxSessionDuration": 7200, "NewDescription": "d"})["Role"]
    assert (changed["MaxSessionDuration"], changed["Description"]) == (7200, "d")
    assert changed["AssumeRolePolicyDocument"] == text
    other = text.replace(":root", ":user/x")
    changed = ram.call("UpdateRole", {"RoleName": "deploy", "NewAssumeRolePolicyDocument": other})["Role"]
    assert (changed["AssumeRolePolicyDocument"], changed["Description"]) == (other, "d")
    assert ram.call("ListTagResources", {"ResourceType": "role", "ResourceNames": ["deploy"]})["TagResources"] == []
    ram.call("DeleteRole", {"RoleName": "deploy"})
    refused(ram, "GetRole", {"RoleName": "deploy"}, "EntityNotExist.Role")


def test_a_type_that_is_not_meant_changes_nothing(ram, server):
    """Whoever may change system policies only, which nobody can, does not reach the account's by calling them so."""
    ram.call("CreateUser", {"UserName": "u"})
    ram.call("CreatePolicy", {"PolicyName": "p", "PolicyDocument": document("cdn:*")})
    wide = document("ram:*", resource="acs:ram:*:system:policy/*")
    ram.call("CreatePolicy", {"PolicyName": "wide", "PolicyDocument": wide})
    ram.call("AttachPolicyToUser", {"UserName": "u", "PolicyType": "Custom", "PolicyName": "wide"})
    user = Product(server, "ram", key=key_of(ram, "u"))
    refused(user, "DeletePolicy", {"PolicyName": "p"}, "NoPermission")
    call = user.sdk.call_api

    def with_type(description, request, runtime):
        request.query["PolicyType"] = "System"
        return call(description, request, runtime)

    user.sdk.call_api = with_type
    refused(user, "DeletePolicy", {"PolicyName": "p"}, "InvalidParameter.PolicyType")
    ram.call("GetPolicy", {"PolicyType": "Custom", "PolicyName": "p"})


USER, ROLE, POLICY = {"UserName": "held"}, {"RoleName": "held"}, {"PolicyName": "held"}
TYPED = {"PolicyType": "Custom", **POLICY}
LONG = "x" * 1025
SECRETLESS = {"UserName": "held", "UserAccessKeyId": "EDGEnobody"}

CASES = [
    ("CreateUser", {}, "MissingUserName"),
    ("CreateUser", {"UserName": "a b"}, "InvalidParameter.UserName.InvalidChars"),
    ("CreateUser", {"UserName": "a" * 65}, "InvalidParameter.UserName.Length"),
    ("CreateUser", {"UserName": "a", "DisplayName": "a b"}, "InvalidParameter.DisplayName.InvalidChars"),
    ("CreateUser", {"UserName": "a", "DisplayName": "a" * 129}, "InvalidParameter.DisplayName.Length"),
    ("CreateUser", {"UserName": "a", "MobilePhone": "1"}, "InvalidParameter.MobilePhone.Format"),
    ("CreateUser", {"UserName": "a", "Email": "a"}, "InvalidParameter.Email.Format"),
    ("CreateUser", {"UserName": "a", "Comments": "x" * 129}, "InvalidParameter.Comments.Length"),
    ("CreateUser", USER, "EntityAlreadyExists.User"),
    ("GetUser", {"UserName": "nobody"}, "EntityNotExist.User"),
    ("ListUsers", {"MaxItems": 1001}, "InvalidParameter.MaxItems"),
    ("ListUsers", {"Marker": "a b"}, "InvalidParameter.Marker"),
    ("UpdateUser", {**USER, "NewUserName": "a b"}, "InvalidParameter.NewUserName.InvalidChars"),
    ("UpdateUser", {**USER, "NewUserName": "a" * 65}, "InvalidParameter.NewUserName.Length"),
    ("UpdateUser", {**USER, "NewUserName": "other"}, "EntityAlreadyExists.User"),
    ("UpdateUser", {**USER, "NewDisplayName": "a b"}, "InvalidParameter.NewDisplayName.InvalidChars"),
    ("UpdateUser", {**USER, "NewDisplayName": "a" * 129}, "InvalidParameter.NewDisplayName.Length"),
    ("UpdateUser", {**USER, "NewMobilePhone": "1"}, "InvalidParameter.NewMobilePhone.Format"),
    ("UpdateUser", {**USER, "NewEmail": "a"}, "InvalidParameter.NewEmail.Format"),
    ("UpdateUser", {**USER, "NewComments": "x" * 129}, "InvalidParameter.NewComments.Length"),
    ("UpdateUser", {"UserName": "nobody", "NewUserName": "a"}, "EntityNotExist.User"),
    ("DeleteUser", USER, "DeleteConflict.User.AccessKey"),
    ("DeleteUser", {"UserName": "keyless"}, "DeleteConflict.User.Policy"),
    ("CreateAccessKey", {"UserName": "nobody"}, "EntityNotExist.User"),
    ("CreateAccessKey", USER, "LimitExceeded.User.AccessKey"),
    ("ListAccessKeys", {"UserName": "nobody"}, "EntityNotExist.User"),
    ("UpdateAccessKey", {"UserName": "held", "Status": "Active"}, "MissingUserAccessKeyId"),
    ("UpdateAccessKey", SECRETLESS, "MissingStatus"),
    ("UpdateAccessKey", {**SECRETLESS, "Status": "on"}, "InvalidParameter.Status"),
    ("UpdateAccessKey", {**SECRETLESS, "Status": "Active"}, "EntityNotExist.User.AccessKey"),
    ("DeleteAccessKey", {**SECRETLESS, "UserName": "nobody"}, "EntityNotExist.User"),
    ("GetAccessKeyLastUsed", SECRETLESS, "EntityNotExist.User.AccessKey"),
    ("CreatePolicy", {"PolicyDocument": "{}"}, "MissingPolicyName"),
    ("CreatePolicy", {"PolicyName": "a"}, "MissingPolicyDocument"),
    ("CreatePolicy", {"PolicyName": "a_b", "PolicyDocument": "{}"}, "InvalidParameter.PolicyName.InvalidChars"),
    ("CreatePolicy", {"PolicyName": "a" * 129, "PolicyDocument": "{}"}, "InvalidParameter.PolicyName.Length"),
    ("CreatePolicy", {"PolicyName": "a", "PolicyDocument": "{}"}, "MalformedPolicyDocument"),
    ("CreatePolicy", {"PolicyName": "a", "PolicyDocument": " " * 6145}, "InvalidParameter.PolicyDocument.Length"),
    ("CreatePolicy", {"PolicyName": "a", "PolicyDocument": "{}", "Description": LONG}, "InvalidParameter.Description.Length"),
    ("CreatePolicy", {**POLICY, "PolicyDocument": document("*")}, "EntityAlreadyExists.Policy"),
    ("CreatePolicy", {"PolicyName": "AdministratorAccess", "PolicyDocument": document("*")}, "EntityAlreadyExists.Policy"),
    ("CreatePolicy", {**POLICY, "PolicyDocument": "{}", "Tag": [{"Key": "a", "Value": "b"}]}, "InvalidParameter.Tag"),
    ("GetPolicy", POLICY, "MissingPolicyType"),
    ("GetPolicy", {**POLICY, "PolicyType": "custom"}, "InvalidParameter.PolicyType"),
    ("GetPolicy", {"PolicyType": "System", **POLICY}, "EntityNotExist.Policy"),
    ("ListPolicies", {"PolicyType": "All"}, "InvalidParameter.PolicyType"),
    ("ListPolicies", {"Tag": [{"Key": "a"}]}, "InvalidParameter.Tag"),
    ("CreatePolicyVersion", {"PolicyName": "a", "PolicyDocument": document("*")}, "EntityNotExist.Policy"),
    ("CreatePolicyVersion", {**POLICY, "PolicyDocument": "{}"}, "MalformedPolicyDocument"),
    ("CreatePolicyVersion", {**POLICY, "PolicyDocument": document("*"), "RotateStrategy": "x"}, "InvalidParameter.RotateStrategy"),
    ("CreatePolicyVersion", {**POLICY, "PolicyDocument": document("*"), "SetAsDefault": "x"}, "InvalidParameter.SetAsDefault"),
    ("GetPolicyVersion", TYPED, "MissingVersionId"),
    ("ListTagResources", {"ResourceNames": ["of-role"]}, "MissingResourceType"),
    ("DeleteLoginProfile", USER, "EntityNotExist.User.LoginProfile"),
    ("UnbindMFADevice", USER, "EntityNotExist.User.MFADevice"),
    ("ListGroupsForUser", {"UserName": "nobody"}, "EntityNotExist.User"),
    ("ListTagResources", {"ResourceType": "user", "ResourceNames": ["held"]}, "InvalidResourceType"),
    ("ListTagResources", {"ResourceType": "role", "ResourceNames": ["a b"]}, "InvalidParameter.ResourceNames"),
    ("ListTagResources", {"ResourceType": "policy", "ResourceNames": ["none"]}, "EntityNotExist.Policy"),
    ("DecodeDiagnosticMessage", {}, "MissingEncodedDiagnosticMessage"),
    ("DecodeDiagnosticMessage", {"EncodedDiagnosticMessage": "x"}, "InvalidParameter.EncodedDiagnosticMessage"),
    ("GetPolicyVersion", {**TYPED, "VersionId": "1"}, "InvalidParameter.VersionId.Format"),
    ("GetPolicyVersion", {**TYPED, "VersionId": "v9"}, "EntityNotExist.Policy.Version"),
    ("DeletePolicyVersion", {**POLICY, "VersionId": "v9"}, "EntityNotExist.Policy.Version"),
    ("DeletePolicyVersion", {**POLICY, "VersionId": "v1"}, "DeleteConflict.Policy.Version.Default"),
    ("SetDefaultPolicyVersion", {**POLICY, "VersionId": "v9"}, "EntityNotExist.Policy.Version"),
    ("UpdatePolicyDescription", {**POLICY, "NewDescription": LONG}, "InvalidParameter.NewDescription.Length"),
    ("DeletePolicy", {**POLICY, "CascadingDelete": "x"}, "InvalidParameter.CascadingDelete"),
    ("DeletePolicy", POLICY, "DeleteConflict.Policy.User"),
    ("DeletePolicy", {"PolicyName": "of-role"}, "DeleteConflict.Role.Policy"),
    ("DeletePolicy", {"PolicyName": "of-nobody"}, "DeleteConflict.Policy.Version"),
    ("DeletePolicy", {"PolicyName": "AdministratorAccess"}, "EntityNotExist.Policy"),
    ("AttachPolicyToUser", {**USER, **TYPED}, "EntityAlreadyExists.User.Policy"),
    ("AttachPolicyToUser", {**USER, "PolicyType": "Custom", "PolicyName": "of-role"}, "LimitExceeded.User.Policy"),
    ("AttachPolicyToUser", {"UserName": "nobody", **TYPED}, "EntityNotExist.User"),
    ("AttachPolicyToUser", {**USER, "PolicyType": "System", "PolicyName": "a"}, "EntityNotExist.Policy"),
    ("AttachPolicyToUser", {**USER, **TYPED, "ResourceGroupId": "rg-1"}, "EntityNotExists.ResourceGroup"),
    ("DetachPolicyFromUser", {"UserName": "other", **TYPED}, "EntityNotExist.User.Policy"),
    ("ListPoliciesForUser", {"UserName": "nobody"}, "EntityNotExist.User"),
    ("ListEntitiesForPolicy", {"PolicyType": "Custom", "PolicyName": "a"}, "EntityNotExist.Policy"),
    ("CreateRole", {"AssumeRolePolicyDocument": "{}"}, "MissingRoleName"),
    ("CreateRole", {"RoleName": "a"}, "MissingAssumeRolePolicyDocument"),
    ("CreateRole", {"RoleName": "a b", "AssumeRolePolicyDocument": "{}"}, "InvalidParameter.RoleName.InvalidChars"),
    ("CreateRole", {"RoleName": "a" * 65, "AssumeRolePolicyDocument": "{}"}, "InvalidParameter.RoleName.Length"),
    ("CreateRole", {"RoleName": "a", "AssumeRolePolicyDocument": document("*")}, "MalformedPolicyDocument"),
    ("CreateRole", {"RoleName": "a", "AssumeRolePolicyDocument": " " * 6145}, "InvalidParameter.AssumeRolePolicyDocument.Length"),
    ("CreateRole", {"RoleName": "a", "AssumeRolePolicyDocument": "{}", "MaxSessionDuration": 3599}, "InvalidParameter.MaxSessionDuration"),
    ("CreateRole", {**ROLE, "AssumeRolePolicyDocument": trust("1" * 16)}, "EntityAlreadyExists.Role"),
    ("UpdateRole", {**ROLE, "NewAssumeRolePolicyDocument": " " * 6145}, "InvalidParameter.NewAssumeRolePolicyDocument.Length"),
    ("UpdateRole", {**ROLE, "NewMaxSessionDuration": 43201}, "InvalidParameter.NewMaxSessionDuration"),
    ("UpdateRole", {**ROLE, "NewDescription": LONG}, "InvalidParameter.NewDescription.Length"),
    ("UpdateRole", {"RoleName": "nobody"}, "EntityNotExist.Role"),
    ("DeleteRole", ROLE, "DeleteConflict.Role.Policy"),
    ("AttachPolicyToRole", {**ROLE, "PolicyType": "Custom", "PolicyName": "of-role"}, "EntityAlreadyExists.Role.Policy"),
    ("AttachPolicyToRole", {**ROLE, **TYPED}, "LimitExceeded.Role.Policy"),
    ("AttachPolicyToRole", {"RoleName": "nobody", **TYPED}, "EntityNotExist.Role"),
    ("DetachPolicyFromRole", {**ROLE, **TYPED}, "EntityNotExist.Role.Policy"),
    ("ListPoliciesForRole", {"RoleName": "nobody"}, "EntityNotExist.Role"),
]
# Codes that the lives above meet.
MET = {"LimitExceeded.Policy.Version", "DeleteConflict.LastAccessKey"}


@pytest.fixture(scope="module")
def held(certs):
    """Things that hold each other: a user and a role with as many policies as they may have."""
    with Server(certs) as server:
        ram = Product(server, "ram")
        for user in ("held", "keyless", "other"):
            ram.call("CreateUser", {"UserName": user})
        ram.call("CreateRole", {**ROLE, "AssumeRolePolicyDocument": trust(server.account)})
        for name in ["held", "of-role", "of-nobody", *(f"p{number}" for number in range(19))]:
            ram.call("CreatePolicy", {"PolicyName": name, "PolicyDocument": document("cdn:*")})
        ram.call("CreatePolicyVersion", {"PolicyName": "of-nobody", "PolicyDocument": document("cdn:*")})
        for one in ["held", *(f"p{number}" for number in range(19))]:
            ram.call("AttachPolicyToUser", {**USER, "PolicyType": "Custom", "PolicyName": one})
        for one in ["of-role", *(f"p{number}" for number in range(19))]:
            ram.call("AttachPolicyToRole", {**ROLE, "PolicyType": "Custom", "PolicyName": one})
        ram.call("AttachPolicyToUser", {"UserName": "keyless", "PolicyType": "Custom", "PolicyName": "p0"})
        for _ in range(2):
            ram.call("CreateAccessKey", USER)
        yield ram


@pytest.mark.parametrize(("action", "params", "code"), CASES, ids=[f"{action}-{code}" for action, _, code in CASES])
def test_refused(held, action, params, code):
    refused(held, action, params, code)


def test_every_code_is_met():
    actions = {row["action"] for row in table("actions.tsv") if row["product"] == "ram" and row["rate"] != "-"}
    wheres = actions | {f"ram:{action}" for action in actions}
    rows = [row for row in table("errors.tsv") if wheres & set(row["where"].split(","))]
    expected = {row["code"] for row in rows} - {"ServiceBusy"}
    assert {code for _, _, code in CASES} | MET | NEVER == expected


def test_a_malformed_policy_is_told_where(held):
    wrong = json.dumps({"Version": "1", "Statement": [{"Effect": "allow", "Action": "*", "Resource": "*"}]})
    refusal = refused(held, "CreatePolicy", {"PolicyName": "a", "PolicyDocument": wrong}, "MalformedPolicyDocument")
    sentence = 'Statement[0].Effect is "allow"; it must be Allow or Deny'
    assert (refusal.data["Message"], refusal.data["Detail"]) == (sentence, f"PolicyDocument: {sentence}")

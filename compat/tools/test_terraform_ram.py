"""Terraform: users, policies, roles, attachments and access keys, after the provider's source."""

import json

import pytest

from terraform import RAM, Provider, Refused, absent, attributes, plan, refused

STATEMENT = {"Effect": "Allow", "Action": ["cdn:Describe*"], "Resource": ["*"]}


def document(**changed):
    return json.dumps({"Version": "1", "Statement": [STATEMENT | changed]}, indent=2)


def trust(**principal):
    statement = {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": principal}
    return json.dumps({"Version": "1", "Statement": [statement]}, indent=2)


SERVICE = trust(Service=["cdn.aliyuncs.com"])


def named(policy):
    return {name: policy[name] for name in ("PolicyName", "PolicyType")}


@pytest.fixture
def provider(server):
    return Provider(server, RAM)


class Gone(Exception):
    """Asserts that no list contains it."""


def find_user(provider, number):
    """Finds a user by id, or by name for old states and imports; reads all pages."""
    marker = {}
    while True:
        answer = provider.request("ListUsers", {"MaxItems": 100} | marker)
        for user in answer["Users"]["User"]:
            if number in (user["UserId"], user["UserName"]):
                return provider.request("GetUser", {"UserName": user["UserName"]})["User"]
        if not answer["IsTruncated"]:
            raise Gone
        marker = {"Marker": answer["Marker"]}


def test_user(provider):
    """`alicloud_ram_user`."""
    names = {"name": "UserName", "display_name": "DisplayName", "mobile": "MobilePhone", "email": "Email"}
    names |= {"comments": "Comments"}

    def read():
        user = find_user(provider, number)
        return {own: user.get(field, "") for own, field in names.items()}

    config = {"name": "alice", "display_name": "Alice", "mobile": "86-18600008888", "email": "a@example.com"}
    config |= {"comments": "x"}
    created = provider.request("CreateUser", {names[own]: value for own, value in config.items()})
    number = created["User"]["UserId"]
    assert plan(config, read()) == {}

    config |= {"name": "alina", "display_name": "Alina", "email": "b@example.com"}
    changed = {"NewDisplayName": "Alina", "NewEmail": "b@example.com"}
    provider.request("UpdateUser", {"UserName": "alice", "NewUserName": "alina"} | changed)
    assert plan(config, read()) == {}
    # Attributes removed from the configuration are cleared.
    config |= {"mobile": "", "comments": ""}
    provider.request("UpdateUser", {"UserName": "alina", "NewUserName": "alina", "NewMobilePhone": "", "NewComments": ""})
    assert plan(config, read()) == {}
    # An import by name.
    assert find_user(provider, "alina")["UserId"] == number

    provider.request("DeleteUser", {"UserName": find_user(provider, number)["UserName"]})
    with pytest.raises(Gone):
        find_user(provider, number)


def test_user_with_force(provider):
    """`force` removes what a user has before the user, and reads these errors as "not found"."""
    provider.request("CreateUser", {"UserName": "alice"})
    key = provider.request("CreateAccessKey", {"UserName": "alice"})["AccessKey"]["AccessKeyId"]
    attached = {"PolicyType": "System", "PolicyName": "AliyunRAMReadOnlyAccess", "UserName": "alice"}
    provider.request("AttachPolicyToUser", attached)
    refused(provider, "DeleteUser", {"UserName": "alice"}, "DeleteConflict.User.AccessKey")
    (listed,) = provider.request("ListAccessKeys", {"UserName": "alice"})["AccessKeys"]["AccessKey"]
    assert listed["AccessKeyId"] == key
    provider.request("DeleteAccessKey", {"UserName": "alice", "UserAccessKeyId": key})
    refused(provider, "DeleteUser", {"UserName": "alice"}, "DeleteConflict.User.Policy")
    (policy,) = provider.request("ListPoliciesForUser", {"UserName": "alice"})["Policies"]["Policy"]
    provider.request("DetachPolicyFromUser", {"UserName": "alice"} | named(policy))
    assert provider.request("ListGroupsForUser", {"UserName": "alice"})["Groups"]["Group"] == []
    refused(provider, "DeleteLoginProfile", {"UserName": "alice"}, "EntityNotExist.User.LoginProfile")
    refused(provider, "UnbindMFADevice", {"UserName": "alice"}, "EntityNotExist.User.MFADevice")
    provider.request("DeleteUser", {"UserName": "alice"})


def test_policy(provider):
    """`alicloud_ram_policy`: a change is a new version, made the default one; `force` detaches and deletes versions."""

    def read():
        answer = provider.request("GetPolicy", {"PolicyName": "reader", "PolicyType": "Custom"})
        policy, version = answer["Policy"], answer["DefaultPolicyVersion"]
        names = {"create_time": "CreateDate", "description": "Description", "policy_name": "PolicyName"}
        names |= {"default_version": "DefaultVersion", "attachment_count": "AttachmentCount", "type": "PolicyType"}
        state = attributes(policy, names)
        state |= attributes(version, {"policy_document": "PolicyDocument", "version_id": "VersionId"})
        # The provider also parses the document.
        parsed = json.loads(state["policy_document"])
        assert parsed["Version"] == "1" and all(each["Effect"] in ("Allow", "Deny") for each in parsed["Statement"])
        return state | {"tags": tags(provider, "policy", "reader")}

    config = {"policy_name": "reader", "policy_document": document(), "description": "reads", "tags": {}}
    created = provider.request(
        "CreatePolicy", {"PolicyName": "reader", "PolicyDocument": document(), "Description": "reads"}
    )
    assert created["Policy"]["PolicyName"] == "reader"
    expected = {"type": "Custom", "attachment_count": 0, "default_version": "v1", "version_id": "v1"}
    assert plan(config | expected, read()) == {}

    for number in range(2, 8):
        config["policy_document"] = document(Action=[f"cdn:Describe{number}*"])
        changed = {"PolicyName": "reader", "SetAsDefault": "true", "PolicyDocument": config["policy_document"]}
        changed |= {"RotateStrategy": "DeleteOldestNonDefaultVersionWhenLimitExceeded"}
        provider.request("CreatePolicyVersion", changed)
        assert plan(config | {"default_version": f"v{number}"}, read()) == {}
    config["description"] = "still reads"
    provider.request("UpdatePolicyDescription", {"PolicyName": "reader", "NewDescription": "still reads"})
    assert plan(config, read()) == {}

    provider.request("CreateUser", {"UserName": "alice"})
    provider.request("CreateRole", {"RoleName": "assistant", "AssumeRolePolicyDocument": SERVICE})
    custom = {"PolicyName": "reader", "PolicyType": "Custom"}
    provider.request("AttachPolicyToUser", custom | {"UserName": "alice"})
    provider.request("AttachPolicyToRole", custom | {"RoleName": "assistant"})
    assert read()["attachment_count"] == 2
    entities = provider.request("ListEntitiesForPolicy", custom)
    assert entities["Groups"]["Group"] == []
    for user in entities["Users"]["User"]:
        provider.request("DetachPolicyFromUser", custom | {"UserName": user["UserName"]})
    for role in entities["Roles"]["Role"]:
        provider.request("DetachPolicyFromRole", custom | {"RoleName": role["RoleName"]})
    versions = provider.request("ListPolicyVersions", custom)["PolicyVersions"]["PolicyVersion"]
    assert len(versions) == 5
    for version in versions:
        if not version["IsDefaultVersion"]:
            provider.request("DeletePolicyVersion", {"PolicyName": "reader", "VersionId": version["VersionId"]})
    provider.request("DeletePolicy", {"PolicyName": "reader", "CascadingDelete": "true"})
    absent("EntityNotExist.Policy", read)


def tags(provider, kind, name):
    params = {"ResourceType": kind, "ResourceNames": json.dumps([name])}
    found = provider.request("ListTagResources", params)["TagResources"]
    return {tag["TagKey"]: tag["TagValue"] for tag in found}


def test_role(provider):
    """`alicloud_ram_role`."""

    def read():
        role = provider.request("GetRole", {"RoleName": "assistant"})["Role"]
        names = {"arn": "Arn", "assume_role_policy_document": "AssumeRolePolicyDocument", "create_time": "CreateDate"}
        names |= {"description": "Description", "max_session_duration": "MaxSessionDuration", "role_id": "RoleId"}
        state = attributes(role, names | {"role_name": "RoleName"})
        # Principals of the first statement, of the two kinds that have an attribute.
        principal = json.loads(state["assume_role_policy_document"])["Statement"][0]["Principal"]
        assert set(principal) <= {"RAM", "Service", "Federated"}
        return state | {"tags": tags(provider, "role", "assistant")}

    config = {"role_name": "assistant", "assume_role_policy_document": SERVICE, "description": "helps", "tags": {}}
    config |= {"max_session_duration": 7200}
    params = {"RoleName": "assistant", "AssumeRolePolicyDocument": SERVICE, "Description": "helps"}
    params |= {"MaxSessionDuration": 7200}
    made = provider.request("CreateRole", params)["Role"]
    account = made["Arn"].split(":")[3]
    state = read()
    assert plan(config | {"arn": made["Arn"], "role_id": made["RoleId"]}, state) == {}

    users = trust(RAM=[f"acs:ram::{account}:root"])
    config |= {"assume_role_policy_document": users, "description": "", "max_session_duration": 3600}
    changed = {"NewAssumeRolePolicyDocument": users, "NewDescription": "", "NewMaxSessionDuration": 3600}
    provider.request("UpdateRole", {"RoleName": "assistant"} | changed)
    assert plan(config, {"description": ""} | read()) == {}
    # Tags of a role are refused: a state that contains them would be wrong.
    tagged = params | {"RoleName": "tagged", "Tag": json.dumps([{"Key": "team", "Value": "shop"}])}
    with pytest.raises(Refused):
        provider.request("CreateRole", tagged)

    # `force` detaches the listed policies.
    attached = {"PolicyType": "System", "PolicyName": "AliyunRAMReadOnlyAccess", "RoleName": "assistant"}
    provider.request("AttachPolicyToRole", attached)
    refused(provider, "DeleteRole", {"RoleName": "assistant"}, "DeleteConflict.Role.Policy")
    for policy in provider.request("ListPoliciesForRole", {"RoleName": "assistant"})["Policies"]["Policy"]:
        provider.request("DetachPolicyFromRole", {"RoleName": "assistant"} | named(policy))
    provider.request("DeleteRole", {"RoleName": "assistant"})
    absent("EntityNotExist.Role", read)


@pytest.mark.parametrize("kind, owner", [("User", "alice"), ("Role", "assistant")])
def test_attachment(provider, kind, owner):
    """`alicloud_ram_user_policy_attachment`, `…_role_…`: found in the list of attachments."""
    whose = {f"{kind}Name": owner}
    made = whose if kind == "User" else whose | {"AssumeRolePolicyDocument": SERVICE}
    provider.request(f"Create{kind}", made)
    provider.request("CreatePolicy", {"PolicyName": "reader", "PolicyDocument": document()})

    def found(name, policy_type):
        listed = provider.request(f"ListPoliciesFor{kind}", whose)["Policies"]["Policy"]
        return [each for each in listed if (each["PolicyName"], each["PolicyType"]) == (name, policy_type)]

    for policy in (("reader", "Custom"), ("AliyunRAMReadOnlyAccess", "System")):
        params = whose | {"PolicyName": policy[0], "PolicyType": policy[1]}
        provider.request(f"AttachPolicyTo{kind}", params)
        assert len(found(*policy)) == 1
        detach = "DetachPolicyFrom" + kind
        provider.request(detach, params)
        assert found(*policy) == []
        # Destroyed twice: the errors that it reads as "already deleted".
        with pytest.raises(Refused) as caught:
            provider.request(detach, params)
        assert caught.value.code in (f"EntityNotExist.{kind}", f"EntityNotExist.{kind}.Policy")


def test_access_key(provider):
    """`alicloud_ram_access_key`."""
    provider.request("CreateUser", {"UserName": "alice"})
    whose = {"UserName": "alice"}
    key = provider.request("CreateAccessKey", whose)["AccessKey"]
    assert key["AccessKeySecret"]

    def read():
        listed = provider.request("ListAccessKeys", whose)["AccessKeys"]["AccessKey"]
        own = [each for each in listed if each["AccessKeyId"] == key["AccessKeyId"]]
        return [attributes(each, {"create_time": "CreateDate", "status": "Status"}) for each in own]

    assert read()[0]["status"] == "Active"
    for status in ("Inactive", "Active"):
        provider.request("UpdateAccessKey", whose | {"UserAccessKeyId": key["AccessKeyId"], "Status": status})
        assert plan({"status": status}, read()[0]) == {}
    provider.request("DeleteAccessKey", whose | {"UserAccessKeyId": key["AccessKeyId"]})
    assert read() == []
    with pytest.raises(Refused) as caught:
        provider.request("DeleteAccessKey", whose | {"UserAccessKeyId": key["AccessKeyId"]})
    assert caught.value.code in ("EntityNotExist.User.AccessKey", "EntityNotExist.User")

//! The text of denials, and whose keys a call concerns.

use edgeseal_core::{
    AccountId, Timestamp,
    account::Account,
    policy::{Decision, Layer, Principal, Reason, Scope, Verdict},
};

use super::super::{denial_reason, policy_type, scope};
use crate::actions::{ACTIONS, ResourceKind};

const OWN: &str = "1000000000000001";

fn account() -> Account {
    Account {
        id: AccountId::parse(OWN).unwrap(),
        name: "acme".to_owned(),
        root: true,
        created: Timestamp::default(),
        private_origins: None,
        quotas: Default::default(),
    }
}

fn user() -> Principal {
    Principal::User {
        account: account(),
        name: "alice".to_owned(),
        id: "20".to_owned(),
    }
}

fn role() -> Principal {
    Principal::Role {
        account: account(),
        role: "deployer".to_owned(),
        id: "30".to_owned(),
        session: "ci".to_owned(),
    }
}

fn decided(verdict: Verdict, by: Option<Reason>) -> Decision {
    Decision {
        verdict,
        reason: by,
    }
}

fn by(layer: Layer, policy: Option<&str>) -> Option<Reason> {
    Some(Reason::Statement {
        layer,
        policy: policy.map(str::to_owned),
        statement: 2,
        resource: 0,
    })
}

#[test]
#[rustfmt::skip]
fn every_reason_is_a_sentence() {
    use Verdict::{Allowed, ExplicitDeny, ImplicitDeny};
    let no = |layer| Some(Reason::NoAllow { layer, resource: 0 });
    for (principal, scope, verdict, reason, expected) in [
        (user(), Scope::Operator, ImplicitDeny, None, "only the root account, or an identity it permits, may do this"),
        (user(), Scope::RootKeys, ImplicitDeny, None, "only a key of the root account itself may make, change or delete its keys; no right to do so can be given to a user or a session"),
        (user(), Scope::OwnAccount, ImplicitDeny, no(Layer::Identity), "no policy of user alice allows it"),
        (role(), Scope::OwnAccount, ImplicitDeny, no(Layer::Identity), "no policy of role deployer allows it"),
        (Principal::Account(account()), Scope::OwnAccount, ImplicitDeny, no(Layer::Identity), "no policy of account acme allows it"),
        (role(), Scope::OwnAccount, ImplicitDeny, no(Layer::Session), "the policy of the session does not allow it"),
        (user(), Scope::OwnAccount, ImplicitDeny, no(Layer::Trust), "the trust policy of the role does not name the caller"),
        (user(), Scope::OwnAccount, ExplicitDeny, by(Layer::Identity, Some("p")), "statement 3 of policy p, which user alice has, denies it"),
        (user(), Scope::OwnAccount, Allowed, by(Layer::Identity, Some("p")), "statement 3 of policy p, which user alice has, allows it"),
        (role(), Scope::OwnAccount, ExplicitDeny, by(Layer::Session, None), "statement 3 of the policy of the session denies it"),
        (user(), Scope::OwnAccount, ExplicitDeny, by(Layer::Trust, None), "statement 3 of the trust policy of the role denies it"),
    ] {
        assert_eq!(denial_reason(&principal, scope, &decided(verdict, reason)), expected);
    }
}

#[test]
fn kinds_of_policies_are_the_cloud_s() {
    let all = [Layer::Session, Layer::Identity, Layer::Trust].map(policy_type);
    let expected = [
        "SessionPolicy",
        "AccountLevelIdentityBasedPolicy",
        "AssumeRolePolicy",
    ];
    assert_eq!(all, expected);
}

#[test]
fn only_what_names_the_root_account_is_about_its_keys() {
    let root = Principal::Account(account());
    for action in ACTIONS.iter() {
        let is_on_keys = action.resource == ResourceKind::Account;
        let about_own = scope(action, &root, OWN);
        assert_eq!(about_own == Scope::RootKeys, is_on_keys, "{}", action.name);
        assert_eq!(
            scope(action, &root, "2000000000000002"),
            action.scope,
            "{}",
            action.name
        );
    }
}

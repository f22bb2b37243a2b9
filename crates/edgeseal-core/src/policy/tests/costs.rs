//! The cost of decisions, in steps.

use super::{
    super::{budget::StepBudget, document::POLICY_CHARS_MAX, evaluate::evaluate_with_budget},
    *,
};

const ALL: &str = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;

/// The decision of these policies, and the steps that it takes.
fn counted(
    documents: &[Document],
    resources: &[Resource],
    context: &RequestContext,
) -> (Decision, u32) {
    let attach = |document| AttachedPolicy {
        name: "p",
        document,
    };
    let identity: Vec<AttachedPolicy<'_>> = documents.iter().map(attach).collect();
    let policies = Policies {
        identity: &identity,
        session: None,
    };
    let request = Request {
        action: SET,
        resources,
        context,
    };
    let steps = StepBudget::new(u32::MAX);
    let decision = evaluate_with_budget(&policies, &request, &steps);
    let taken = u32::MAX - steps.remaining();
    // This budget suffices; with one step less there is no decision.
    assert_eq!(evaluate_with_steps(&policies, &request, taken), decision);
    let less = evaluate_with_steps(&policies, &request, taken - 1);
    assert!(less.exceeded_steps() && !less.is_allowed(), "{less:?}");
    (decision, taken)
}

fn domains(count: usize, name: impl Fn(usize) -> String) -> Vec<Resource> {
    (0..count).map(|at| domain(&name(at))).collect()
}

/// Twenty policies, each with as many of these globs as fit, and one that allows everything.
fn hostile(glob: &str) -> Vec<Document> {
    let globs = vec![format!("\"{glob}\""); (POLICY_CHARS_MAX - 200) / (glob.len() + 3)];
    let globs = globs.join(",");
    let deny = document(&format!(
        r#"{{"Effect":"Deny","Action":"*","Resource":[{globs}]}}"#
    ));
    let mut documents = vec![document(ALL)];
    documents.extend(std::iter::repeat_n(deny, 19));
    documents
}

#[test]
fn typical_policies_stay_within_the_budget() {
    let statement = |at: usize| {
        format!(
            r#"{{"Effect":"Allow","Action":["cdn:Describe*","cdn:Set*Server*"],
            "Resource":["acs:cdn:*:*:domain/*.host-{at}.example.com","acs:cdn:*:*:domain/w*.example.net"],
            "Condition":{{"IpAddress":{{"acs:SourceIp":["10.0.0.0/8","192.0.2.{at}"]}}}}}}"#
        )
    };
    let statements: Vec<String> = (0..20).map(statement).collect();
    let documents = vec![document(&format!("[{}]", statements.join(","))); 20];
    let names = domains(50, |at| format!("www.host-{at}.example.com"));
    let (decision, steps) = counted(&documents, &names, &RequestContext::new(noon()));
    assert_eq!(decision.verdict, Verdict::ImplicitDeny);
    assert!(steps < STEPS_MAX / 4, "{steps}");
}

#[test]
fn over_budget_policies_allow_nothing() {
    let long = |at: usize| format!("{at}.{}z.example.com", "a.".repeat(110));
    let names = domains(50, long);
    let context = RequestContext::new(noon());
    let request = Request {
        action: SET,
        resources: &names,
        context: &context,
    };
    for glob in ["acs:*b?*", "acs:*a?a?a?b?*m", "acs:*.z.*a.a*m"] {
        let documents = hostile(glob);
        let attach = |document| AttachedPolicy {
            name: "p",
            document,
        };
        let identity: Vec<AttachedPolicy<'_>> = documents.iter().map(attach).collect();
        let policies = Policies {
            identity: &identity,
            session: None,
        };
        let decision = evaluate(&policies, &request);
        assert_eq!(decision.verdict, Verdict::ImplicitDeny, "{glob}");
        assert!(decision.exceeded_steps(), "{glob}: {decision:?}");
    }
}

#[test]
fn incomparable_values_are_no_exception() {
    let names = domains(3, |at| format!("{at}.example.com"));
    for (effect, verdict) in [("Allow", Verdict::Allowed), ("Deny", Verdict::ExplicitDeny)] {
        let statement =
            format!(r#"{{"Effect":"{effect}","NotAction":"ram:*","NotResource":"acs:cdn:*q?*"}}"#);
        let documents = [document(&format!("[{ALL},{statement}]"))];
        let (decision, _) = counted(&documents, &names, &RequestContext::new(noon()));
        assert_eq!(decision.verdict, verdict);
    }
}

#[test]
fn each_resource_is_decided_by_itself_within_steps_for_all() {
    let statements = r#"[{"Effect":"Allow","Action":"*","Resource":"acs:cdn:*:*:domain/*.example.com"},
        {"Effect":"Deny","Action":"*","Resource":"acs:cdn:*:*:domain/b.example.com"}]"#;
    let document = document(statements);
    let attached = [AttachedPolicy {
        name: "p",
        document: &document,
    }];
    let policies = Policies {
        identity: &attached,
        session: None,
    };
    let names = [
        "a.example.com",
        "b.example.com",
        "c.example.net",
        "d.example.com",
    ]
    .map(domain);
    let context = RequestContext::new(noon());
    let request = Request {
        action: SET,
        resources: &names,
        context: &context,
    };
    let each =
        |steps| decide_each_within(&user(false), Scope::OwnAccount, &policies, &request, steps);
    let decisions = each(STEPS_MAX);
    let verdicts: Vec<Verdict> = decisions.iter().map(|it| it.verdict).collect();
    assert_eq!(
        verdicts,
        [
            Verdict::Allowed,
            Verdict::ExplicitDeny,
            Verdict::ImplicitDeny,
            Verdict::Allowed
        ]
    );
    for (index, resource) in names.iter().enumerate() {
        let alone = Request {
            resources: std::slice::from_ref(resource),
            ..request
        };
        let alone = evaluate_with_steps(&policies, &alone, STEPS_MAX);
        assert_eq!(alone.verdict, decisions[index].verdict, "{index}");
    }
    // With the steps that the first decision takes, only that one is decided.
    let first = Request {
        resources: &names[..1],
        ..request
    };
    let enough = (1..).find(|steps| evaluate_with_steps(&policies, &first, *steps).is_allowed());
    let few = each(enough.unwrap());
    let cut: Vec<bool> = few.iter().map(Decision::exceeded_steps).collect();
    assert_eq!(cut, [false, true, true, true]);
    assert_eq!(few[0], decisions[0]);
    // If no policy is evaluated, every resource is decided regardless of the budget.
    let owner = Principal::Account(account(false));
    let of_owner = decide_each_within(&owner, Scope::OwnAccount, &policies, &request, 0);
    assert!(of_owner.len() == 4 && of_owner.iter().all(Decision::is_allowed));
}

#[test]
fn a_text_is_prepared_once_for_all_conditions() {
    let condition = r#"{"Effect":"Deny","Action":"*","Resource":"*",
        "Condition":{"StringLike":{"sts:ExternalId":"*b?*"}}}"#;
    let context = RequestContext::new(noon()).with_key("sts:ExternalId", "a".repeat(1216) + "b");
    let steps = |count: usize| {
        let statements = vec![condition; count].join(",");
        let documents = [document(&format!("[{ALL},{statements}]"))];
        let (decision, steps) = counted(&documents, &[domain("example.com")], &context);
        assert!(decision.is_allowed());
        steps
    };
    let (one, many) = (steps(1), steps(41));
    // Four bytes of a glob over twenty words, halved, plus the fixed cost.
    assert!((many - one) / 40 < 60, "{one} {many}");
    assert!(one > 1217);
}

#[test]
fn an_over_budget_trust_policy_allows_nobody() {
    let globs = vec![r#""*a?b*""#; 500].join(",");
    let principal = format!(r#""Principal":{{"RAM":"acs:ram::{ACCOUNT}:root"}}"#);
    let statements = format!(
        r#"[{{"Effect":"Allow","Action":"sts:AssumeRole",{principal}}},
        {{"Effect":"Deny","Action":"sts:AssumeRole",{principal},
        "Condition":{{"StringLike":{{"sts:ExternalId":[{globs}]}}}}}}]"#
    );
    let trust = TrustDocument::parse(&format!(r#"{{"Version":"1","Statement":{statements}}}"#));
    let assume = |id: String| {
        let arn = user(false).arn();
        let assumer = AssumingPrincipal {
            arn: &arn,
            is_recreated: false,
        };
        let context = RequestContext::new(noon()).with_key("sts:ExternalId", id);
        may_assume(trust.as_ref().unwrap(), assumer, &context)
    };
    assert!(assume("c".repeat(1000)).is_allowed());
    let decision = assume("c".repeat(1_000_000));
    assert!(decision.exceeded_steps() && !decision.is_allowed());
}

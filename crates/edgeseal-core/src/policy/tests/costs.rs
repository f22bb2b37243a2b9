//! What decisions cost, in steps.

use super::{
    super::{document::CHARACTERS_MAX, evaluate::evaluate_counting, steps::Steps},
    *,
};

const ALL: &str = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;

/// The decision of these policies, and the steps that it takes.
fn counted(documents: &[Document], resources: &[Resource], context: &Context) -> (Decision, u32) {
    let attach = |document| Attached {
        name: "p",
        document,
    };
    let identity: Vec<Attached<'_>> = documents.iter().map(attach).collect();
    let policies = Policies {
        identity: &identity,
        session: None,
    };
    let request = Request {
        action: SET,
        resources,
        context,
    };
    let steps = Steps::new(u32::MAX);
    let decision = evaluate_counting(&policies, &request, &steps);
    let taken = u32::MAX - steps.left();
    // As many are enough, and with one less nothing is decided.
    assert_eq!(evaluate_within(&policies, &request, taken), decision);
    let less = evaluate_within(&policies, &request, taken - 1);
    assert!(less.took_too_many_steps() && !less.is_allowed(), "{less:?}");
    (decision, taken)
}

fn domains(count: usize, name: impl Fn(usize) -> String) -> Vec<Resource> {
    (0..count).map(|at| domain(&name(at))).collect()
}

/// Twenty policies with as many of these as one has room for, and one that allows everything.
fn hostile(glob: &str) -> Vec<Document> {
    let globs = vec![format!("\"{glob}\""); (CHARACTERS_MAX - 200) / (glob.len() + 3)];
    let globs = globs.join(",");
    let deny = document(&format!(
        r#"{{"Effect":"Deny","Action":"*","Resource":[{globs}]}}"#
    ));
    let mut documents = vec![document(ALL)];
    documents.extend(std::iter::repeat_n(deny, 19));
    documents
}

#[test]
fn what_people_write_takes_a_part_of_the_steps() {
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
    let (decision, steps) = counted(&documents, &names, &Context::new(noon()));
    assert_eq!(decision.verdict, Verdict::ImplicitDeny);
    assert!(steps < STEPS_MAX / 4, "{steps}");
}

#[test]
fn nothing_is_allowed_by_policies_that_take_too_many() {
    let long = |at: usize| format!("{at}.{}z.example.com", "a.".repeat(110));
    let names = domains(50, long);
    let context = Context::new(noon());
    let request = Request {
        action: SET,
        resources: &names,
        context: &context,
    };
    for glob in ["acs:*b?*", "acs:*a?a?a?b?*m", "acs:*.z.*a.a*m"] {
        let documents = hostile(glob);
        let attach = |document| Attached {
            name: "p",
            document,
        };
        let identity: Vec<Attached<'_>> = documents.iter().map(attach).collect();
        let policies = Policies {
            identity: &identity,
            session: None,
        };
        let decision = evaluate(&policies, &request);
        assert_eq!(decision.verdict, Verdict::ImplicitDeny, "{glob}");
        assert!(decision.took_too_many_steps(), "{glob}: {decision:?}");
    }
}

#[test]
fn what_cannot_be_compared_is_no_exception() {
    let names = domains(3, |at| format!("{at}.example.com"));
    for (effect, verdict) in [("Allow", Verdict::Allowed), ("Deny", Verdict::ExplicitDeny)] {
        let statement =
            format!(r#"{{"Effect":"{effect}","NotAction":"ram:*","NotResource":"acs:cdn:*q?*"}}"#);
        let documents = [document(&format!("[{ALL},{statement}]"))];
        let (decision, _) = counted(&documents, &names, &Context::new(noon()));
        assert_eq!(decision.verdict, verdict);
    }
}

#[test]
fn each_resource_is_decided_by_itself_within_steps_for_all() {
    let statements = r#"[{"Effect":"Allow","Action":"*","Resource":"acs:cdn:*:*:domain/*.example.com"},
        {"Effect":"Deny","Action":"*","Resource":"acs:cdn:*:*:domain/b.example.com"}]"#;
    let document = document(statements);
    let attached = [Attached {
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
    let context = Context::new(noon());
    let request = Request {
        action: SET,
        resources: &names,
        context: &context,
    };
    let each =
        |steps| decide_each_within(&user(false), Sphere::OwnAccount, &policies, &request, steps);
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
        let alone = evaluate_within(&policies, &alone, STEPS_MAX);
        assert_eq!(alone.verdict, decisions[index].verdict, "{index}");
    }
    // As many steps as the first takes decide it and nothing after it.
    let first = Request {
        resources: &names[..1],
        ..request
    };
    let enough = (1..).find(|steps| evaluate_within(&policies, &first, *steps).is_allowed());
    let few = each(enough.unwrap());
    let cut: Vec<bool> = few.iter().map(Decision::took_too_many_steps).collect();
    assert_eq!(cut, [false, true, true, true]);
    assert_eq!(few[0], decisions[0]);
    // Where no policy is asked, each is decided all the same.
    let owner = Principal::Account(account(false));
    let of_owner = decide_each_within(&owner, Sphere::OwnAccount, &policies, &request, 0);
    assert!(of_owner.len() == 4 && of_owner.iter().all(Decision::is_allowed));
}

#[test]
fn a_text_is_prepared_once_for_all_conditions() {
    let condition = r#"{"Effect":"Deny","Action":"*","Resource":"*",
        "Condition":{"StringLike":{"sts:ExternalId":"*b?*"}}}"#;
    let context = Context::new(noon()).with("sts:ExternalId", "a".repeat(1216) + "b");
    let steps = |count: usize| {
        let statements = vec![condition; count].join(",");
        let documents = [document(&format!("[{ALL},{statements}]"))];
        let (decision, steps) = counted(&documents, &[domain("example.com")], &context);
        assert!(decision.is_allowed());
        steps
    };
    let (one, many) = (steps(1), steps(41));
    // Four bytes of a glob over twenty words, halved, and what precedes that.
    assert!((many - one) / 40 < 60, "{one} {many}");
    assert!(one > 1217);
}

#[test]
fn a_trust_policy_that_takes_too_many_lets_nobody_in() {
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
        let assumer = Assumer {
            arn: &arn,
            is_namesake: false,
        };
        let context = Context::new(noon()).with("sts:ExternalId", id);
        may_assume(trust.as_ref().unwrap(), assumer, &context)
    };
    assert!(assume("c".repeat(1000)).is_allowed());
    let decision = assume("c".repeat(1_000_000));
    assert!(decision.took_too_many_steps() && !decision.is_allowed());
}

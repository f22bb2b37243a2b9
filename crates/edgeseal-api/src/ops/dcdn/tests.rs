//! The CDN's domains under their DCDN names, and how DCDN reports them.

use serde_json::{Value, json};

use crate::{
    Settings,
    context::NameMismatchPolicy,
    test_server::{TestServer, allow},
};

const OWN: &str = "1000000000000001";
const CDN: &str = "2018-05-10";
const DCDN: &str = "2018-01-15";
const SOURCES: &str = r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#;
const NAME: (&str, &str) = ("DomainName", "a.example.com");

async fn world() -> TestServer {
    let mut world = TestServer::empty(Settings {
        name_mismatch: NameMismatchPolicy::Accept,
        ..Settings::default()
    });
    world.account(OWN, "own").await;
    world
}

async fn call(world: &TestServer, version: &str, action: &str, params: &[(&str, &str)]) -> Value {
    let response = world
        .call(&world.keys["own"], version, action, params)
        .await;
    assert_eq!(
        response.get("Code"),
        None,
        "{action} {params:?}: {response}"
    );
    response
}

async fn code(world: &TestServer, action: &str, params: &[(&str, &str)]) -> Option<String> {
    let response = world.call(&world.keys["own"], DCDN, action, params).await;
    response["Code"].as_str().map(str::to_owned)
}

async fn detail(world: &TestServer) -> Value {
    let response = call(world, CDN, "DescribeCdnDomainDetail", &[NAME]).await;
    response["GetDomainDetailModel"].clone()
}

#[tokio::test]
async fn a_domain_of_the_dcdn_is_one_of_the_cdn() {
    let world = world().await;
    let tag = [("Tag.1.Key", "k"), ("Tag.1.Value", "v")];
    let add = [
        &[NAME, ("Sources", SOURCES), ("Scope", "overseas")][..],
        &tag,
    ]
    .concat();
    call(&world, DCDN, "AddDcdnDomain", &add).await;
    let added = detail(&world).await;
    assert_eq!(
        (&added["CdnType"], &added["Scope"]),
        (&json!("web"), &json!("overseas"))
    );
    let again = code(&world, "AddDcdnDomain", &add).await;
    assert_eq!(again.as_deref(), Some("DomainAlreadyExist"));

    let area = [NAME, ("Property", r#"{"coverage":"global"}"#)];
    call(&world, DCDN, "ModifyDCdnDomainSchdmByProperty", &area).await;
    let origin = r#"[{"Content":"192.0.2.8","Type":"ipaddr","Priority":"30","Weight":""}]"#;
    call(
        &world,
        DCDN,
        "UpdateDcdnDomain",
        &[NAME, ("Sources", origin)],
    )
    .await;
    call(&world, DCDN, "StopDcdnDomain", &[NAME]).await;
    let stopped = detail(&world).await;
    assert_eq!(stopped["Scope"], "global");
    assert_eq!(stopped["DomainStatus"], "offline");
    assert_eq!(
        stopped["SourceModels"]["SourceModel"][0]["Content"],
        "192.0.2.8"
    );
    call(&world, DCDN, "StartDcdnDomain", &[NAME]).await;

    let one = [("ResourceType", "DOMAIN"), ("ResourceId.1", NAME.1)];
    let more = [&one[..], &[("Tag.1.Key", "l"), ("Tag.1.Value", "w")]].concat();
    call(&world, DCDN, "TagDcdnResources", &more).await;
    let shown = json!([{"ResourceId": NAME.1, "Tag": [
        {"Key": "k", "Value": "v"}, {"Key": "l", "Value": "w"},
    ]}]);
    for (version, action) in [
        (CDN, "DescribeTagResources"),
        (DCDN, "DescribeDcdnTagResources"),
    ] {
        let tags = call(&world, version, action, &one).await;
        assert_eq!(tags["TagResources"], shown, "{action}");
        let filter = [&one[..], &[("Tag.1.Key", "other")]].concat();
        let tags = call(&world, version, action, &filter).await;
        assert_eq!(tags["TagResources"], json!([]), "{action}");
    }
    let untag = [&one[..], &[("TagKey.1", "k")]].concat();
    call(&world, DCDN, "UntagDcdnResources", &untag).await;
    let left = call(&world, CDN, "ListTagResources", &one).await;
    assert_eq!(
        left["TagResources"]["TagResource"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    call(&world, DCDN, "DeleteDcdnDomain", &[NAME]).await;
    let gone = code(&world, "DescribeDcdnDomainDetail", &[NAME]).await;
    assert_eq!(gone.as_deref(), Some("InvalidDomain.NotFound"));
}

#[tokio::test]
async fn batches_of_the_dcdn_and_domains_by_function() {
    let world = world().await;
    let both = "a.example.com,b.example.com";
    let (name, names) = (("DomainName", both), ("DomainNames", both));
    call(
        &world,
        DCDN,
        "BatchAddDcdnDomain",
        &[name, ("Sources", SOURCES)],
    )
    .await;
    let functions =
        r#"[{"functionName":"https_force","functionArgs":[{"argName":"enable","argValue":"on"}]}]"#;
    let set = [("DomainNames", "b.example.com"), ("Functions", functions)];
    let set = call(&world, DCDN, "BatchSetDcdnDomainConfigs", &set).await;
    let id = set["DomainConfigList"]["DomainConfigModel"][0]["ConfigId"].to_string();
    let by = |number| [("FuncId", number), ("PageSize", "50")];
    let found = call(&world, CDN, "DescribeCdnUserDomainsByFunc", &by("44")).await;
    assert_eq!(found["TotalCount"], 1, "{found}");
    let row = &found["Domains"]["PageData"][0];
    assert_eq!(
        (&row["DomainName"], &row["CdnType"]),
        (&json!("b.example.com"), &json!("web"))
    );
    for number in ["45", "17", "4294967295"] {
        let none = call(&world, CDN, "DescribeCdnUserDomainsByFunc", &by(number)).await;
        assert_eq!(none["TotalCount"], 0, "{number}");
    }
    let b = ("DomainName", "b.example.com");
    let read = call(&world, DCDN, "DescribeDcdnDomainConfigs", &[b]).await;
    assert_eq!(read["DomainConfigs"]["DomainConfig"][0]["ConfigId"], *id);
    call(
        &world,
        DCDN,
        "DeleteDcdnSpecificConfig",
        &[b, ("ConfigId", &id)],
    )
    .await;
    let none = call(&world, CDN, "DescribeCdnUserDomainsByFunc", &by("44")).await;
    assert_eq!(none["TotalCount"], 0);
    for (action, state) in [
        ("BatchStopDcdnDomain", "offline"),
        ("BatchStartDcdnDomain", "online"),
    ] {
        call(&world, DCDN, action, &[names]).await;
        assert_eq!(detail(&world).await["DomainStatus"], state);
    }
    let group = [name, ("ResourceGroupId", "rg-1")];
    call(&world, CDN, "BatchUpdateCdnDomain", &group).await;
    assert_eq!(detail(&world).await["ResourceGroupId"], "rg-1");
    // All or none: the third domain does not exist.
    let three = [
        ("DomainName", "a.example.com,c.example.com"),
        ("ResourceGroupId", "rg-2"),
    ];
    let own = &world.keys["own"];
    let refused = world.call(own, CDN, "BatchUpdateCdnDomain", &three).await;
    assert_eq!(refused["Code"], "InvalidDomain.NotFound");
    assert_eq!(detail(&world).await["ResourceGroupId"], "rg-1");
}

#[tokio::test]
#[rustfmt::skip]
async fn what_is_refused() {
    let world = world().await;
    let add = [NAME, ("Sources", SOURCES)];
    call(&world, DCDN, "AddDcdnDomain", &add).await;
    let area = "ModifyDCdnDomainSchdmByProperty";
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 13] = [
        ("AddDcdnDomain", &[("Sources", SOURCES)], "MissingDomainName"),
        ("AddDcdnDomain", &[NAME, ("FunctionType", "routine"), ("Scene", "x")], "InvalidFunctionType.ValueNotSupported"),
        ("AddDcdnDomain", &[NAME, ("Scene", "apiscene")], "InvalidScene.ValueNotSupported"),
        ("AddDcdnDomain", &[NAME], "MissingParameter"),
        ("AddDcdnDomain", &[NAME, ("Sources", SOURCES), ("Scope", "moon")], "InvalidScope.Malformed"),
        ("BatchAddDcdnDomain", &[("DomainName", "*.example.org"), ("Sources", SOURCES)], "InvalidDomainName.Malformed"),
        (area, &[NAME], "MissingProperty"),
        (area, &[NAME, ("Property", "overseas")], "InvalidProperty.Malformed"),
        (area, &[NAME, ("Property", r#"{"coverage":1}"#)], "InvalidProperty.Malformed"),
        (area, &[NAME, ("Property", r#"{"coverage":"moon"}"#)], "InvalidProperty.Malformed"),
        (area, &[("DomainName", "x.example.com"), ("Property", r#"{"coverage":"global"}"#)], "InvalidDomain.NotFound"),
        ("DescribeDcdnTagResources", &[("ResourceType", "DOMAIN")], "MissingResourceId"),
        ("DescribeDcdnTagResources", &[("ResourceType", "ROLE"), ("ResourceId.1", NAME.1)], "InvalidResourceType"),
    ];
    for (action, params, expected) in cases {
        assert_eq!(code(&world, action, params).await.as_deref(), Some(expected), "{action} {params:?}");
    }
    let own = &world.keys["own"];
    for (params, expected) in [
        (&[][..], "MissingFuncId"),
        (&[("FuncId", "https_force")], "InvalidFuncId"),
        (&[("FuncId", "44"), ("PageNumber", "0")], "InvalidPageNumber"),
    ] {
        let response = world.call(own, CDN, "DescribeCdnUserDomainsByFunc", params).await;
        assert_eq!(response["Code"], expected, "{params:?}");
    }
}

fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed([NAME.1.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn the_legacy_operation_sets_a_certificate() {
    let world = world().await;
    call(&world, DCDN, "AddDcdnDomain", &[NAME, ("Sources", SOURCES)]).await;
    let (on, force) = (("SSLProtocol", "on"), ("ForceSet", "1"));
    let bound = async || {
        let info = call(&world, DCDN, "DescribeDcdnDomainCertificateInfo", &[NAME]).await;
        info["CertInfos"]["CertInfo"][0].clone()
    };
    let (chain, key) = certificate();
    let pair = [("SSLPub", chain.as_str()), ("SSLPri", key.as_str())];
    // As a widely used tool does it: first by the name in CAS, which may not exist.
    let by_name = [NAME, on, force, ("CertName", "mine"), ("CertType", "cas")];
    let absent = code(&world, "SetDcdnDomainCertificate", &by_name).await;
    assert_eq!(absent.as_deref(), Some("Certificate.NotFind"));
    // The provider sends its own region with every upload.
    let region = ("Region", "cn-beijing");
    let upload = [
        &[
            NAME,
            on,
            ("CertName", "mine"),
            ("CertType", "upload"),
            region,
        ][..],
        &pair,
    ]
    .concat();
    call(&world, DCDN, "SetDcdnDomainCertificate", &upload).await;
    let first = bound().await;
    assert_eq!(
        (&first["CertName"], &first["SSLPub"]),
        (&json!("mine"), &json!(chain))
    );

    let (other_chain, other_key) = certificate();
    let other = [
        ("SSLPub", other_chain.as_str()),
        ("SSLPri", other_key.as_str()),
    ];
    let names = ("DomainName", NAME.1);
    let renewal = [&[names, on, ("CertName", "mine")][..], &other].concat();
    for action in ["SetDcdnDomainCertificate", "BatchSetDcdnDomainCertificate"] {
        let taken = code(&world, action, &renewal).await;
        assert_eq!(taken.as_deref(), Some("Certificate.Duplicated"), "{action}");
    }
    let forced = [&renewal[..], &[force]].concat();
    call(&world, DCDN, "BatchSetDcdnDomainCertificate", &forced).await;
    assert_eq!(bound().await["SSLPub"], other_chain);
    call(
        &world,
        DCDN,
        "SetDcdnDomainCertificate",
        &[NAME, ("SSLProtocol", "off")],
    )
    .await;
    assert_eq!(bound().await["SSLProtocol"], "off");
    call(&world, DCDN, "StopDcdnDomain", &[NAME]).await;
    let stopped = code(&world, "SetDcdnDomainCertificate", &upload).await;
    assert_eq!(stopped.as_deref(), Some("InvalidDomain.notOnline"));
    for (params, expected) in [
        (&[NAME][..], "MissingSSLProtocol"),
        (
            &[NAME, ("SSLProtocol", "yes")],
            "InvalidSSLProtocol.ValueNotSupported",
        ),
    ] {
        let refused = code(&world, "SetDcdnDomainCertificate", params).await;
        assert_eq!(refused.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_right_of_the_cdn_is_none_of_the_dcdn() {
    let mut world = world().await;
    let cdn = allow("cdn:AddCdnDomain", "acs:cdn:*:*:domain/*");
    world.user(OWN, "cdn", &[&cdn]).await;
    let dcdn = allow("dcdn:AddDcdnDomain", "acs:dcdn:*:*:domain/*");
    world.user(OWN, "dcdn", &[&dcdn]).await;
    let add = [NAME, ("Sources", SOURCES)];
    for (who, is_allowed) in [("cdn", false), ("dcdn", true)] {
        let response = world
            .call(&world.keys[who], DCDN, "AddDcdnDomain", &add)
            .await;
        assert_eq!(
            response.get("Code").is_none(),
            is_allowed,
            "{who}: {response}"
        );
    }
}

//! Domain configuration functions, from the API to the next handshake and request. No test waits: a
//! change is in force when its call returns.

mod staged;

use rustls::{
    ProtocolVersion, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use serde_json::{Value, json};

use crate::harness::{
    ApiClient, CDN_2014, CDN_VERSION, Origin, Server,
    raw::{self, RawResponse},
    tls::{self, HandshakeFailure},
    unlimited,
};

const NAME: &str = "www.options.example";
const SET_CONFIG: &str = "BatchSetCdnDomainConfig";
const SET_REDIRECT: &str = "SetForceRedirectConfig";

/// Domains with HTTPS on, and clients that observe them.
struct ConfiguredSite {
    server: Server,
    api: ApiClient,
}

/// What clients observe of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Observed {
    http2: bool,
    tls12: bool,
    tls13: bool,
    /// Where HTTP requests are redirected to.
    http_to: Option<String>,
    /// Where HTTPS requests are redirected to.
    https_to: Option<String>,
    hsts: Option<String>,
}

impl ConfiguredSite {
    async fn start(names: &[&str]) -> Self {
        Self::start_with("", names).await
    }

    async fn start_with(config: &str, names: &[&str]) -> Self {
        let server = Server::start_with(&format!("{config}{}", unlimited()));
        let (api, origin) = (server.root_client(), Origin::start().await);
        for name in names {
            api.serve(name, &origin).await;
        }
        Self { server, api }
    }

    /// Sets one function of [`NAME`].
    async fn set(&self, function: &str, arguments: &[(&str, &str)]) -> Value {
        let functions = functions(&[(function, arguments)]);
        let params = [("DomainNames", NAME), ("Functions", &functions)];
        let reply = self.api.ok(CDN_VERSION, SET_CONFIG, &params).await;
        reply["DomainConfigList"]["DomainConfigModel"].clone()
    }

    async fn redirect(&self, to: &str) {
        let params = [("DomainName", NAME), ("RedirectType", to)];
        self.api.ok(CDN_2014, SET_REDIRECT, &params).await;
    }

    /// A domain's settings: name, effect, arguments.
    async fn settings(&self, name: &str) -> Value {
        let listed = self
            .api
            .call_on_domain("DescribeCdnDomainConfigs", name)
            .await
            .body;
        let rows = listed["DomainConfigs"]["DomainConfig"].as_array().unwrap();
        let row = |row: &Value| {
            assert_eq!(row["Status"], "success");
            let arguments = row["FunctionArgs"]["FunctionArg"].as_array().unwrap();
            let argument = |of: &Value| json!([of["ArgName"], of["ArgValue"]]);
            let arguments: Vec<Value> = arguments.iter().map(argument).collect();
            json!([row["FunctionName"], row["Effect"], arguments])
        };
        rows.iter().map(row).collect()
    }

    async fn seen(&self, name: &str) -> Observed {
        let https = self.server.addresses().https;
        let tls12 = self.version(name, &[&TLS12]).await;
        let tls13 = self.version(name, &[&TLS13]).await;
        assert!(tls12.is_none_or(|version| version == ProtocolVersion::TLSv1_2));
        assert!(tls13.is_none_or(|version| version == ProtocolVersion::TLSv1_3));
        let both = tls::connect(https, name, &["h2", "http/1.1"]).await;
        let stream = both.unwrap();
        let protocol = stream.get_ref().1.alpn_protocol().unwrap();
        assert!([&b"h2"[..], b"http/1.1"].contains(&protocol));
        let plain = raw::get(self.server.addresses().http, name, "/a?b=c").await;
        let secure = raw::get_over_tls(https, name, "/a?b=c").await;
        let not_secure = plain.header("strict-transport-security");
        assert_eq!(not_secure, None, "RFC 6797 §7.2");
        Observed {
            http2: protocol == b"h2",
            tls12: tls12.is_some(),
            tls13: tls13.is_some(),
            http_to: redirect_target(&plain),
            https_to: redirect_target(&secure),
            hsts: secure
                .header("strict-transport-security")
                .map(str::to_owned),
        }
    }

    /// The TLS version negotiated with a client that offers these; `None` if the handshake fails.
    async fn version(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Option<ProtocolVersion> {
        let https = self.server.addresses().https;
        match tls::connect_with(https, name, tls::client_config(versions, &[])).await {
            Ok(stream) => stream.get_ref().1.protocol_version(),
            Err(HandshakeFailure::Alert(rustls::AlertDescription::ProtocolVersion)) => None,
            Err(why) => panic!("{name}: {why:?}"),
        }
    }

    async fn assert_refused(&self, functions: &str, code: &str) {
        let params = [("DomainNames", NAME), ("Functions", functions)];
        let refusal = self.api.refused(CDN_VERSION, SET_CONFIG, &params).await;
        assert_eq!(refusal.code, code, "{functions}: {}", refusal.detail);
        assert!(!refusal.detail.is_empty(), "{functions}");
    }
}

impl Observed {
    /// A domain with default settings.
    fn default() -> Self {
        Self {
            http2: true,
            tls12: true,
            tls13: true,
            http_to: None,
            https_to: None,
            hsts: None,
        }
    }

    fn http_to(scheme: &str) -> Self {
        Self {
            http_to: Some(format!("{scheme}://{NAME}/a?b=c")),
            ..Self::default()
        }
    }

    fn https_to(scheme: &str) -> Self {
        Self {
            https_to: Some(format!("{scheme}://{NAME}/a?b=c")),
            ..Self::default()
        }
    }
}

/// The redirect target of a response; without one, the response must be the origin's.
fn redirect_target(answer: &RawResponse) -> Option<String> {
    match answer.status {
        200 => {
            assert!(answer.body.contains("the origin of"), "{}", answer.body);
            None
        }
        301 => Some(answer.header("location").unwrap().to_owned()),
        other => panic!("{other}: {}", answer.head),
    }
}

/// The parameter `Functions`.
fn functions(list: &[(&str, &[(&str, &str)])]) -> String {
    let function = |(name, arguments): &(&str, &[(&str, &str)])| {
        let argument = |(name, value): &(&str, &str)| json!({"argName": name, "argValue": value});
        let arguments: Vec<Value> = arguments.iter().map(argument).collect();
        json!({"functionName": name, "functionArgs": arguments})
    };
    Value::from_iter(list.iter().map(function)).to_string()
}

/// A function, its arguments, and what clients observe afterwards.
type Step = (
    &'static str,
    &'static [(&'static str, &'static str)],
    Observed,
);

async fn run_steps(steps: Vec<Step>) {
    let site = ConfiguredSite::start(&[NAME]).await;
    assert_eq!(site.seen(NAME).await, Observed::default());
    for (function, arguments, expected) in steps {
        site.set(function, arguments).await;
        let seen = site.seen(NAME).await;
        assert_eq!(seen, expected, "{function} {arguments:?}");
    }
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_handshake_applies_the_setting() {
    let (options, versions, default) = ("https_option", "https_tls_version", Observed::default);
    let no_http2 = Observed {
        http2: false,
        ..default()
    };
    let no_tls12 = Observed {
        tls12: false,
        ..default()
    };
    let no_tls13 = Observed {
        tls13: false,
        ..default()
    };
    run_steps(vec![
        (options, &[("http2", "off")], no_http2),
        (options, &[("http2", "on")], default()),
        (
            versions,
            &[("tls10", "on"), ("tls12", "off"), ("tls13", "on")],
            no_tls12,
        ),
        (versions, &[("tls13", "off")], no_tls13),
        (versions, &[("tls12", "on"), ("tls13", "on")], default()),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_applies_the_setting() {
    const HSTS: &[(&str, &str)] = &[
        ("enabled", "on"),
        ("https_hsts_max_age", "600"),
        ("https_hsts_include_subdomains", "on"),
    ];
    const ON: &[(&str, &str)] = &[("enable", "on")];
    const OFF: &[(&str, &str)] = &[("enable", "off")];
    let (to_https, to_http, default) = ("https_force", "http_force", Observed::default);
    let announcing = |text: &str| Observed {
        hsts: Some(text.to_owned()),
        ..default()
    };
    let with_names_below = || announcing("max-age=600; includeSubDomains");
    run_steps(vec![
        (to_https, ON, Observed::http_to("https")),
        // Redirecting in the other direction replaces this redirect.
        (to_http, ON, Observed::https_to("http")),
        (to_https, ON, Observed::http_to("https")),
        (to_https, OFF, default()),
        ("HSTS", &[("enabled", "on")], announcing("max-age=5184000")),
        ("HSTS", HSTS, with_names_below()),
        // With HSTS in force browsers return to HTTPS by themselves, so there is no redirect to
        // HTTP, which would loop.
        (to_http, ON, with_names_below()),
        ("HSTS", &[("enabled", "off")], Observed::https_to("http")),
        (to_http, OFF, default()),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn response_headers_are_set_and_removed() {
    const POLICY: &str = "content-security-policy";
    let site = ConfiguredSite::start(&[NAME]).await;
    let https = site.server.addresses().https;
    let policy: &[_] = &[
        ("key", "Content-Security-Policy"),
        ("value", "default-src 'self'"),
    ];
    let cors: &[_] = &[("key", "access-control-allow-origin"), ("value", "*")];
    let first = site.set("set_resp_header", policy).await;
    let second = site.set("set_resp_header", cors).await;
    assert_ne!(first[0]["ConfigId"], second[0]["ConfigId"], "two settings");
    let response = raw::get_over_tls(https, NAME, "/").await;
    assert_eq!(response.header(POLICY), Some("default-src 'self'"));
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(site.settings(NAME).await[0][1], "edge");
    let id = first[0]["ConfigId"].to_string();
    let params = [("DomainName", NAME), ("ConfigId", &*id)];
    site.api
        .ok(CDN_VERSION, "DeleteSpecificConfig", &params)
        .await;
    let response = raw::get_over_tls(https, NAME, "/").await;
    assert_eq!(response.header(POLICY), None);
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    let framing = functions(&[("set_resp_header", &[("key", "connection"), ("value", "x")])]);
    site.assert_refused(&framing, "InvalidArgValue.Malformed")
        .await;
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_redirect_of_2014() {
    let site = ConfiguredSite::start(&[NAME]).await;
    for (word, expected) in [
        ("Https", Observed::http_to("https")),
        ("Http", Observed::https_to("http")),
        ("https", Observed::http_to("https")),
        ("Off", Observed::default()),
    ] {
        site.redirect(word).await;
        assert_eq!(site.seen(NAME).await, expected, "{word}");
    }
    for (word, code) in [("", "MissingRedirectType"), ("ftp", "InvalidRedirectType")] {
        let params = [("DomainName", NAME), ("RedirectType", word)];
        let refusal = site.api.refused(CDN_2014, SET_REDIRECT, &params).await;
        assert_eq!(refusal.code, code);
    }
    site.redirect("Https").await;
    // The redirect goes to the edge's HTTPS port if the request came to its HTTP port; ACME
    // challenges are never redirected; without HTTPS there is no redirect.
    let at = site.server.addresses();
    let host = format!("{NAME}:{}", at.http.port());
    let answer = raw::get(at.http, &host, "/x").await;
    let expected = format!("https://{NAME}:{}/x", at.https.port());
    assert_eq!(redirect_target(&answer), Some(expected));
    let challenge = "/.well-known/acme-challenge/token";
    assert_eq!(
        redirect_target(&raw::get(at.http, NAME, challenge).await),
        None
    );
    site.api.off(NAME).await;
    assert_eq!(redirect_target(&raw::get(at.http, NAME, "/").await), None);
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_back_and_deletion_restores_defaults() {
    let site = ConfiguredSite::start(&[NAME]).await;
    let set = site.set("https_force", &[("enable", "on")]).await;
    let id = set[0]["ConfigId"].as_i64().unwrap();
    assert_eq!(set[0]["DomainName"], NAME);
    let again = site.set("https_force", &[("enable", "on")]).await;
    assert_eq!(again[0]["ConfigId"], id, "one setting, changed");
    site.set("https_option", &[("http2", "off")]).await;
    // Stored and returned, but without effect.
    let strange: &[(&str, &str)] = &[("ttl", "60"), ("path", "/a b&c=d")];
    let of_unknown = site.set("path_based_ttl_set", strange).await;
    assert_eq!(
        site.settings(NAME).await,
        json!([
            ["https_force", "edge", [["enable", "on"]]],
            ["https_option", "edge", [["http2", "off"]]],
            [
                "path_based_ttl_set",
                "none",
                [["ttl", "60"], ["path", "/a b&c=d"]]
            ],
        ])
    );
    let expected = Observed {
        http2: false,
        ..Observed::http_to("https")
    };
    assert_eq!(site.seen(NAME).await, expected);
    let wanted = [("DomainName", NAME), ("FunctionNames", "https_force,HSTS")];
    let listed = site
        .api
        .ok(CDN_VERSION, "DescribeCdnDomainConfigs", &wanted)
        .await;
    let rows = listed["DomainConfigs"]["DomainConfig"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["ConfigId"], id.to_string(), "text in reads");

    let number = id.to_string();
    let params = [("DomainName", NAME), ("ConfigId", &*number)];
    site.api
        .ok(CDN_VERSION, "DeleteSpecificConfig", &params)
        .await;
    let expected = Observed {
        http2: false,
        ..Observed::default()
    };
    assert_eq!(site.seen(NAME).await, expected);
    // Again: afterwards there is none, as before.
    site.api
        .ok(CDN_VERSION, "DeleteSpecificConfig", &params)
        .await;
    let params = [("DomainNames", NAME), ("FunctionNames", "https_option")];
    let action = "BatchDeleteCdnDomainConfig";
    site.api.ok(CDN_VERSION, action, &params).await;
    assert_eq!(site.seen(NAME).await, Observed::default());
    let number = of_unknown[0]["ConfigId"].to_string();
    let params = [("DomainName", NAME), ("ConfigId", &*number)];
    site.api
        .ok(CDN_VERSION, "DeleteSpecificConfig", &params)
        .await;
    assert_eq!(site.settings(NAME).await, json!([]));
    site.server.stop();
}

/// A domain that is deleted and added again starts with default settings.
#[tokio::test(flavor = "multi_thread")]
async fn settings_go_with_their_domain() {
    let site = ConfiguredSite::start(&[NAME]).await;
    site.set("https_force", &[("enable", "on")]).await;
    site.api.call_on_domain("DeleteCdnDomain", NAME).await;
    let origin = Origin::start().await;
    site.api.serve(NAME, &origin).await;
    assert_eq!(site.settings(NAME).await, json!([]));
    assert_eq!(site.seen(NAME).await, Observed::default());
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_settings_change_nothing() {
    let site = ConfiguredSite::start(&[NAME]).await;
    site.set("https_option", &[("http2", "off")]).await;
    let (seen, settings) = (site.seen(NAME).await, site.settings(NAME).await);
    let bad_after_good = functions(&[
        ("https_force", &[("enable", "on")]),
        ("HSTS", &[("enabled", "perhaps")]),
    ]);
    let no_tls = functions(&[("https_tls_version", &[("tls12", "off"), ("tls13", "off")])]);
    let bad_age: &[_] = &[("enabled", "on"), ("https_hsts_max_age", "-1")];
    let bad_name = functions(&[("https force", &[])]);
    let unknown_id = r#"[{"functionName":"https_option","functionArgs":[],"configId":1}]"#;
    let no_name = r#"[{"functionArgs":[]}]"#;
    let no_list = r#"[{"functionName":"x","functionArgs":"on"}]"#;
    for (functions, code) in [
        ("", "MissingFunctions"),
        ("[]", "MissingFunctions"),
        ("{", "InvalidFunctions.Malformed"),
        ("7", "InvalidFunctions.Malformed"),
        (no_name, "InvalidFunctions.Malformed"),
        (no_list, "InvalidFunctions.Malformed"),
        (unknown_id, "InvalidFunctions.Malformed"),
        (&bad_name, "Invalidhttpsforce.ValueNotSupported"),
        (&bad_after_good, "InvalidArgValue.Malformed"),
        (&no_tls, "InvalidArgValue.Malformed"),
        (
            &functions(&[("HSTS", bad_age)]),
            "InvalidArgValue.Malformed",
        ),
    ] {
        site.assert_refused(functions, code).await;
    }
    site.api.call_on_domain("StopCdnDomain", NAME).await;
    let good = functions(&[("https_force", &[("enable", "on")])]);
    site.assert_refused(&good, "InvalidDomain.Offline").await;
    site.api.call_on_domain("StartCdnDomain", NAME).await;
    assert_eq!(site.seen(NAME).await, seen);
    assert_eq!(site.settings(NAME).await, settings);
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_all_or_nothing() {
    let names = [NAME, "b.options.example", "c.options.example"];
    let site = ConfiguredSite::start(&names).await;
    let list = names.join(",");
    let off = functions(&[("https_option", &[("http2", "off")])]);
    let params = |list| [("DomainNames", list), ("Functions", &*off)];
    let with_unknown = format!("{list},none.options.example");
    let with_malformed = format!("{list},no domain");
    for (list, code) in [
        (&with_unknown, "InvalidDomain.NotFound"),
        (&with_malformed, "InvalidDomainName.Malformed"),
    ] {
        let refusal = site
            .api
            .refused(CDN_VERSION, SET_CONFIG, &params(list))
            .await;
        assert_eq!(refusal.code, code);
    }
    for name in names {
        assert_eq!(site.seen(name).await, Observed::default(), "{name}");
        assert_eq!(site.settings(name).await, json!([]), "{name}");
    }
    let set = site.api.ok(CDN_VERSION, SET_CONFIG, &params(&list)).await;
    let rows = set["DomainConfigList"]["DomainConfigModel"].as_array();
    let set: Vec<&Value> = rows.unwrap().iter().map(|row| &row["DomainName"]).collect();
    assert_eq!(set, names);
    for name in names {
        assert!(!site.seen(name).await.http2, "{name}");
    }
    let action = "BatchDeleteCdnDomainConfig";
    let delete = |list| [("DomainNames", list), ("FunctionNames", "https_option")];
    let refusal = site
        .api
        .refused(CDN_VERSION, action, &delete(&with_unknown))
        .await;
    assert_eq!(refusal.code, "InvalidDomain.NotFound");
    for name in names {
        assert!(!site.seen(name).await.http2, "{name}: nothing was deleted");
    }
    site.api.ok(CDN_VERSION, action, &delete(&list)).await;
    for name in names {
        assert_eq!(site.seen(name).await, Observed::default(), "{name}");
    }
    site.server.stop();
}

//! Staged settings: staging edges apply them at once, production edges once they are published.

use serde_json::{Value, json};

use super::{ConfiguredSite, NAME, Observed, functions};
use crate::harness::CDN_VERSION;

const STAGE: &str = "SetCdnDomainStagingConfig";

impl ConfiguredSite {
    async fn stage(&self, function: &str, arguments: &[(&str, &str)]) -> String {
        let functions = functions(&[(function, arguments)]);
        let params = [("DomainName", NAME), ("Functions", &*functions)];
        let reply = self.api.ok(CDN_VERSION, STAGE, &params).await;
        reply["DomainConfigList"][0]["ConfigId"].to_string()
    }

    /// Names of the staged functions.
    async fn staged(&self) -> Value {
        let params = [
            ("DomainName", NAME),
            ("FunctionNames", "https_option,https_force"),
        ];
        let action = "DescribeCdnDomainStagingConfig";
        let listed = self.api.ok(CDN_VERSION, action, &params).await;
        let rows = listed["DomainConfigs"].as_array().unwrap().iter();
        rows.map(|row| row["FunctionName"].clone()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn production_obeys_what_is_published() {
    let site = ConfiguredSite::start(&[NAME]).await;
    site.set("https_option", &[("http2", "off")]).await;
    let before = site.seen(NAME).await;
    assert!(!before.http2);
    for end in ["RollbackStagingConfig", "PublishStagingConfigToProduction"] {
        site.stage("https_option", &[("http2", "on")]).await;
        site.stage("https_force", &[("enable", "on")]).await;
        assert_eq!(site.staged().await, json!(["https_option", "https_force"]));
        assert_eq!(site.seen(NAME).await, before, "staged");
        let settings = site.settings(NAME).await;
        assert_eq!(
            settings,
            json!([["https_option", "edge", [["http2", "off"]]]])
        );
        site.api.call_on_domain(end, NAME).await;
        assert_eq!(site.staged().await, json!([]), "{end}");
        let expected = match end {
            "RollbackStagingConfig" => before.clone(),
            _ => Observed::http_to("https"),
        };
        assert_eq!(site.seen(NAME).await, expected, "{end}");
        let params = [("DomainName", NAME)];
        let refusal = site.api.refused(CDN_VERSION, end, &params).await;
        assert_eq!(refusal.code, "StagingConfig.NotFound", "{end} again");
    }
    let settings = site.settings(NAME).await;
    let options = settings.as_array().unwrap();
    assert_eq!(
        options.len(),
        2,
        "publishing replaces the previous settings: {settings}"
    );
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staging_edge_obeys_what_is_staged() {
    let site = ConfiguredSite::start_with("group = \"staging\"\n", &[NAME]).await;
    site.set("https_force", &[("enable", "on")]).await;
    assert_eq!(
        site.seen(NAME).await,
        Observed::http_to("https"),
        "nothing staged"
    );
    let off = site.stage("https_force", &[("enable", "off")]).await;
    assert_eq!(
        site.seen(NAME).await,
        Observed::default(),
        "the staged setting replaces production's"
    );
    site.stage("https_option", &[("http2", "off")]).await;
    let no_http2 = Observed {
        http2: false,
        ..Observed::default()
    };
    assert_eq!(site.seen(NAME).await, no_http2, "a second staged setting");
    let params = [("DomainName", NAME), ("ConfigId", &*off)];
    let action = "DeleteSpecificStagingConfig";
    site.api.ok(CDN_VERSION, action, &params).await;
    let as_production = Observed {
        http2: false,
        ..Observed::http_to("https")
    };
    assert_eq!(site.seen(NAME).await, as_production, "deleted");
    site.api.call_on_domain("RollbackStagingConfig", NAME).await;
    assert_eq!(
        site.seen(NAME).await,
        Observed::http_to("https"),
        "rolled back"
    );
    // Production redirects to HTTPS; redirecting back on staging as well would loop.
    site.stage("http_force", &[("enable", "on")]).await;
    assert_eq!(
        site.seen(NAME).await,
        Observed::https_to("http"),
        "the staged redirect replaces production's"
    );
    site.api
        .call_on_domain("PublishStagingConfigToProduction", NAME)
        .await;
    assert_eq!(
        site.seen(NAME).await,
        Observed::https_to("http"),
        "published"
    );
    site.server.stop();
}

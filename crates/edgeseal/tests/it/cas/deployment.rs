//! Deployment jobs: one call binds certificates to several domains and reports each result.

use super::*;
use crate::harness::{EDGESEAL, RAM};

const CREATE: &str = "CreateDeploymentJob";
const OTHER: &str = "www.other.example";
const UNCERTIFIED: &str = "www.bare.example";

/// The domain IDs, in the order of their names here.
async fn resources<const N: usize>(api: &ApiClient, names: [&str; N]) -> [String; N] {
    let all = api.ok(CAS, "ListCloudResources", &[]).await;
    names.map(|name| {
        let rows = all["Data"].as_array().unwrap();
        let row = rows.iter().find(|row| row["Domain"] == name).unwrap();
        row["Id"].to_string()
    })
}

fn job_params<'a>(certificates: &'a str, resources: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("Name", "renewal"),
        ("JobType", "user"),
        ("CertIds", certificates),
        ("ResourceIds", resources),
        // What a client sends that formats a pointer.
        ("ContactIds", "824634917312"),
    ]
}

/// The job's status and failure count; then each domain's status, certificate and error.
async fn ended(api: &ApiClient, job: &Value) -> (String, Vec<(String, String, i64, String)>) {
    let job = job["JobId"].to_string();
    let named = [("JobId", job.as_str())];
    let shown = api.ok(CAS, "DescribeDeploymentJob", &named).await;
    let counts = api.ok(CAS, "DescribeDeploymentJobStatus", &named).await;
    let workers = api.ok(CAS, "ListWorkerResource", &named).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let workers = workers["Data"].as_array().unwrap().iter();
    let workers: Vec<_> = workers
        .map(|worker| {
            let name = text(&worker["ResourceDomain"]);
            let id = worker["CertId"].as_i64().unwrap();
            (name, text(&worker["Status"]), id, text(&worker["Detail"]))
        })
        .collect();
    let failed = workers.iter().filter(|worker| worker.1 == "error").count();
    assert_eq!(counts["FailedCount"], failed, "{counts}");
    assert_eq!(counts["SuccessCount"], workers.len() - failed, "{counts}");
    (text(&shown["Status"]), workers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_binds_to_each_domain_the_certificate_that_is_for_it() {
    let centre = CasFixture::with_domain("").await;
    let api = &centre.api;
    for name in [OTHER, UNCERTIFIED] {
        api.add(name, &centre.origin).await;
    }
    let pems = [AUTHORITY.issue(&[NAME]), AUTHORITY.issue(&[OTHER])];
    let ids = [
        centre.upload("of-name", &pems[0]).await,
        centre.upload("of-other", &pems[1]).await,
    ];
    let certificates = format!("{},{}", ids[0], ids[1]);
    let [first, second, bare] = resources(api, [NAME, OTHER, UNCERTIFIED]).await;

    let both = format!("{first},{second}");
    let job = api.ok(CAS, CREATE, &job_params(&certificates, &both)).await;
    let (status, workers) = ended(api, &job).await;
    assert_eq!(status, "success");
    let expected = [(NAME, ids[0]), (OTHER, ids[1])]
        .map(|(name, id)| (name.to_owned(), "success".to_owned(), id, String::new()));
    assert_eq!(workers, expected);
    for (name, pem) in [(NAME, &pems[0]), (OTHER, &pems[1])] {
        centre
            .server
            .assert_serves(name, &pem.leaf, "by a job")
            .await;
    }

    // A failure of one domain changes nothing, for it or any other domain.
    let all = format!("{bare},{first}");
    let job = api.ok(CAS, CREATE, &job_params(&certificates, &all)).await;
    let (status, workers) = ended(api, &job).await;
    assert_eq!(status, "error");
    assert_eq!(
        (workers[0].0.as_str(), workers[0].1.as_str()),
        (UNCERTIFIED, "error")
    );
    assert!(workers[0].3.contains(UNCERTIFIED), "{workers:?}");
    assert_eq!(workers[1].1, "success");
    assert_eq!(
        api.info(UNCERTIFIED).await["ServerCertificateStatus"],
        "off"
    );

    for (kind, count) in [("success", 1), ("error", 1), ("editing", 0)] {
        let listed = api.ok(CAS, "ListDeploymentJob", &[("Status", kind)]).await;
        assert_eq!(listed["Total"], count, "{kind}: {listed}");
    }
    let (instance, other) = (format!("cas-job-user-{}", job["JobId"]), ids[1].to_string());
    for (name, value, count) in [
        ("CertId", other.as_str(), 2),
        ("CertId", "1", 0),
        ("InstanceId", &instance, 1),
        ("JobType", "cloud", 0),
    ] {
        let listed = api.ok(CAS, "ListDeploymentJob", &[(name, value)]).await;
        assert_eq!(listed["Total"], count, "{name}={value}: {listed}");
    }
    let with = format!("[{}]", ids[1]);
    let listed = api
        .ok(CAS, "ListCloudResources", &[("CertIds", &with)])
        .await;
    assert_eq!(
        (&listed["Total"], &listed["Data"][0]["Domain"]),
        (&1.into(), &OTHER.into())
    );
    assert_eq!(listed["Data"][0]["CertName"], "of-other");
    let named = [("JobId", job["JobId"].to_string())];
    let named = [("JobId", named[0].1.as_str())];
    api.ok(CAS, "DeleteDeploymentJob", &named).await;
    let refusal = api.refused(CAS, "DescribeDeploymentJob", &named).await;
    assert_eq!(refusal.code, "NotFound");
    centre
        .assert_serves(&pems[0], "deleting a job does not undo it")
        .await;
    centre.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_domains_are_retried() {
    let centre = CasFixture::with_domain("").await;
    let api = &centre.api;
    let (old, new) = (AUTHORITY.issue(&[NAME]), AUTHORITY.issue(&[NAME]));
    let id = centre.upload("old", &old).await;
    centre.bind(NAME, id).await;
    let id = centre.upload("new", &new).await.to_string();
    let mode = |mode| [("DomainName", NAME), ("Mode", mode)];
    api.ok(EDGESEAL, "SetDomainMode", &mode("safe")).await;
    let [resource] = resources(api, [NAME]).await;
    let job = api.ok(CAS, CREATE, &job_params(&id, &resource)).await;
    assert_eq!(ended(api, &job).await.0, "error");
    centre
        .assert_serves(&old, "the domain is in safe mode")
        .await;

    let number = job["JobId"].to_string();
    let again = [("JobId", number.as_str()), ("Status", "pending")];
    api.ok(CAS, "UpdateDeploymentJobStatus", &again).await;
    assert_eq!(ended(api, &job).await.0, "error");
    api.ok(EDGESEAL, "SetDomainMode", &mode("normal")).await;
    for _ in 0..2 {
        api.ok(CAS, "UpdateDeploymentJobStatus", &again).await;
        let (status, workers) = ended(api, &job).await;
        assert_eq!((status.as_str(), workers.len()), ("success", 1));
        assert_eq!(workers[0].3, "");
        centre.assert_serves(&new, "after the retry").await;
    }
    centre.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_needs_the_permission_of_each_domain_too() {
    let centre = CasFixture::with_domain("").await;
    let api = &centre.api;
    api.add(OTHER, &centre.origin).await;
    let pem = AUTHORITY.issue(&[NAME, OTHER]);
    let id = centre.upload("both", &pem).await.to_string();
    let user = [("UserName", "deployer")];
    api.ok(RAM, "CreateUser", &user).await;
    let made = api.ok(RAM, "CreateAccessKey", &user).await;
    let account = &api.account;
    let policy = format!(
        r#"{{"Version":"1","Statement":[
            {{"Effect":"Allow","Action":"yundun-cert:*","Resource":"*"}},
            {{"Effect":"Allow","Action":"cdn:SetCdnDomainSSLCertificate","Resource":"acs:cdn:*:{account}:domain/{NAME}"}}]}}"#
    );
    let policy = [("PolicyName", "deploy"), ("PolicyDocument", &policy)];
    api.ok(RAM, "CreatePolicy", &policy).await;
    let attach = [("PolicyType", "Custom"), ("PolicyName", "deploy"), user[0]];
    api.ok(RAM, "AttachPolicyToUser", &attach).await;
    let deployer = api.as_user(&made["AccessKey"]);

    let [first, second] = resources(api, [NAME, OTHER]).await;
    let both = format!("{first},{second}");
    let job = deployer.ok(CAS, CREATE, &job_params(&id, &both)).await;
    let (_, workers) = ended(&deployer, &job).await;
    assert_eq!(
        (workers[0].1.as_str(), workers[1].1.as_str()),
        ("success", "error")
    );
    assert!(
        workers[1].3.contains("cdn:SetCdnDomainSSLCertificate"),
        "{workers:?}"
    );
    centre.assert_serves(&pem, "allowed").await;
    assert_eq!(api.info(OTHER).await["ServerCertificateStatus"], "off");
    // Retrying does not help; a caller with the permission succeeds.
    let number = job["JobId"].to_string();
    let again = [("JobId", number.as_str()), ("Status", "pending")];
    let refusal = deployer
        .refused(CAS, "UpdateDeploymentJobStatus", &again)
        .await;
    assert_eq!(refusal.code, "NoPermission");
    assert_eq!(api.info(OTHER).await["ServerCertificateStatus"], "off");
    api.ok(CAS, "UpdateDeploymentJobStatus", &again).await;
    centre
        .server
        .assert_serves(OTHER, &pem.leaf, "deployed by the account")
        .await;
    centre.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_jobs_are_refused_and_jobs_are_bounded() {
    let centre = CasFixture::with_domain("").await;
    let api = &centre.api;
    let id = centre
        .upload("one", &AUTHORITY.issue(&[NAME]))
        .await
        .to_string();
    let [resource] = resources(api, [NAME]).await;
    let many = (1..=51)
        .map(|n| n.to_string())
        .collect::<Vec<_>>()
        .join(",");
    let good = job_params(&id, &resource);
    let cases: &[(&str, &str, &str)] = &[
        ("Name", "", "MissingName"),
        ("Name", " ", "InvalidName"),
        ("JobType", "", "MissingJobType"),
        ("JobType", "cloud", "InvalidJobType"),
        ("CertIds", "", "MissingCertIds"),
        ("CertIds", "1;2", "InvalidCertIds"),
        ("CertIds", "0", "InvalidCertIds"),
        ("CertIds", "1", "NotFound"),
        ("ResourceIds", "", "MissingResourceIds"),
        ("ResourceIds", "x", "InvalidResourceIds"),
        ("ResourceIds", &many, "InvalidResourceIds"),
        ("ResourceIds", "1", "NotFound"),
        ("ScheduleTime", "4102444800000", "InvalidScheduleTime"),
        ("ScheduleTime", "soon", "InvalidScheduleTime"),
    ];
    for (name, value, code) in cases {
        let mut params: Vec<_> = good.iter().filter(|it| it.0 != *name).copied().collect();
        params.push((name, value));
        let refusal = api.refused(CAS, CREATE, &params).await;
        assert_eq!(refusal.code, *code, "{name}={value}: {}", refusal.detail);
    }
    let mut made = Vec::new();
    for _ in 0..102 {
        made.push(api.ok(CAS, CREATE, &good).await["JobId"].to_string());
    }
    let page = [("ShowSize", "100")];
    let listed = api.ok(CAS, "ListDeploymentJob", &page).await;
    assert_eq!(listed["Total"], 100);
    assert_eq!(listed["Data"][0]["Id"].to_string(), made[101]);
    for (index, told) in [(0, false), (1, false), (2, true)] {
        let named = [("JobId", made[index].as_str())];
        let answer = api.call(CAS, "DescribeDeploymentJob", &named).await;
        assert_eq!(answer.is_ok(), told, "{index}");
    }
    for (status, code) in [("success", "InvalidStatus"), ("", "InvalidStatus")] {
        let params = [("JobId", made[101].as_str()), ("Status", status)];
        let refusal = api.refused(CAS, "UpdateDeploymentJobStatus", &params).await;
        assert_eq!(refusal.code, code);
    }
    centre.server.stop();
}

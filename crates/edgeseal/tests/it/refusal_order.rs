//! The order of refusals: a request with every fault; each time the reported fault is fixed, the
//! next one must be reported.

use std::net::SocketAddr;

use crate::harness::{
    ApiClient, CDN_VERSION, EDGESEAL, RAM, Scheme, Server, Signature, SignedCall, now,
    raw::{self, RawResponse},
};

const HOUR_MS: i64 = 60 * 60 * 1000;
/// So that its rate is soon used up.
const CONFIG: &str = "denied_calls_per_minute = 100000\n[rate_limits]\nStopCdnDomain = 1\n";
/// What is called.
const CALL: (&str, &str) = (CDN_VERSION, "StopCdnDomain");

/// What mends a fault.
type Fix = fn(&mut SignedCall, &OrderFixture);

/// What the right parts are.
struct OrderFixture {
    server: SocketAddr,
    /// An account.
    account: ApiClient,
    /// A user of it, who may not do what he asks for.
    denied_user: ApiClient,
    /// Keys of the first account that do not work.
    inactive_key: String,
}

/// What answers first, with status and code, and what mends it.
type Step = (u16, &'static str, Fix);

/// Faults that both schemes know, up to the common parameters.
const FIRST: [Step; 10] = [
    (400, "UnsupportedHTTPMethod", |a, _| a.method = "POST"),
    (404, "InvalidApi.NotFound", |a, _| a.path = "/"),
    (431, "InvalidParameter.TooLong", |a, _| a.head_padding = 0),
    (413, "InvalidParameter.TooLong", |a, _| a.body_padding = 0),
    (400, "InvalidParameter.Format", |a, _| a.tail = ""),
    (400, "MissingAction", |a, _| {
        a.action = Some("DoAsIThink".to_owned())
    }),
    (400, "MissingVersion", |a, _| {
        a.version = Some("1999-01-01".to_owned())
    }),
    (400, "InvalidVersion", |a, _| {
        a.version = Some(CALL.0.to_owned())
    }),
    (404, "InvalidAction.NotFound", |a, _| {
        a.action = Some(CALL.1.to_owned())
    }),
    (0, "", |_, _| {}),
];

/// The common parameters of V1.
const COMMON_V1: [Step; 8] = [
    (400, "MissingAccessKeyId", |a, _| {
        a.key = Some("EDGEnobody".to_owned())
    }),
    (400, "MissingSignature", |a, _| {
        a.signature = Signature::Invalid
    }),
    (400, "MissingSignatureMethod", |a, _| {
        a.algorithm = Some("HMAC-MD5")
    }),
    (400, "MissingSignatureVersion", |a, _| {
        a.signature_version = Some("2.0")
    }),
    (400, "MissingSignatureNonce", |a, _| {
        a.nonce = Some("used".to_owned())
    }),
    (400, "MissingTimestamp", |a, _| {
        a.timestamp = Some("yesterday".to_owned())
    }),
    (400, "InvalidSignatureMethod", |a, _| {
        a.algorithm = Some("HMAC-SHA1")
    }),
    (400, "InvalidSignatureVersion", |a, _| {
        a.signature_version = Some("1.0")
    }),
];

/// The common parameters of V3.
const COMMON_V3: [Step; 6] = [
    (400, "InvalidSignatureMethod", |a, _| {
        a.algorithm = Some("ACS3-HMAC-SHA256")
    }),
    (400, "IncompleteSignature", |a, _| {
        a.signature = Signature::HostUnsigned
    }),
    (400, "MissingAccessKeyId", |a, _| {
        a.key = Some("EDGEnobody".to_owned())
    }),
    (400, "MissingSignatureNonce", |a, _| {
        a.nonce = Some("used".to_owned())
    }),
    (400, "MissingTimestamp", |a, _| {
        a.timestamp = Some("yesterday".to_owned())
    }),
    (400, "IncompleteSignature", |a, _| {
        a.signature = Signature::Invalid
    }),
];

/// Clock, key, signature; then what the rate, the permission and the parameters say.
const LAST: [Step; 7] = [
    (400, "InvalidTimeStamp.Format", |a, _| {
        a.timestamp = Some(now().plus_ms(-HOUR_MS).to_string());
    }),
    (400, "InvalidTimeStamp.Expired", |a, _| {
        a.timestamp = Some(now().to_string())
    }),
    (404, "InvalidAccessKeyId.NotFound", |a, _| {
        a.key = Some("STS.temporary".to_owned())
    }),
    (400, "MissingSecurityToken", |a, stage| {
        a.key = Some(stage.inactive_key.clone())
    }),
    (400, "InvalidAccessKeyId.Inactive", |a, stage| {
        a.key = Some(stage.denied_user.key.clone())
    }),
    (400, "SignatureDoesNotMatch", |a, _| {
        a.signature = Signature::Valid
    }),
    (0, "", |_, _| {}),
];

#[tokio::test(flavor = "multi_thread")]
async fn v1_refuses_in_the_documented_order() {
    in_order(Scheme::V1, &COMMON_V1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn v3_refuses_in_the_documented_order() {
    in_order(Scheme::V3, &COMMON_V3).await;
}

async fn in_order(scheme: Scheme, common: &[Step]) {
    let server = Server::start_with(CONFIG);
    let stage = OrderFixture::prepare(&server).await;
    // Uses the nonce up, and nothing of the rate: the call is not permitted.
    let mut used = stage.valid_call(scheme);
    used.nonce = Some("used".to_owned());
    assert_eq!(stage.send(&used).await.code(), "NoPermission");

    let mut attempt = stage.invalid_call(scheme);
    let steps = FIRST.iter().chain(common).chain(&LAST);
    for (status, code, mend) in steps.filter(|(status, ..)| *status > 0) {
        let answer = stage.send(&attempt).await;
        let got = (answer.status, answer.code());
        assert_eq!(got, (*status, (*code).to_owned()), "{}", answer.body);
        assert!(answer.head.contains("x-acs-request-id"), "{}", answer.head);
        mend(&mut attempt, &stage);
    }
    stage.nonce_then_rate_then_permission(attempt).await;
    server.stop();
}

impl OrderFixture {
    async fn prepare(server: &Server) -> Self {
        let (root, bob) = (server.root_client(), server.create_account("bob").await);
        let account = ("AccountId", bob.account.as_str());
        let made = root.call(EDGESEAL, "CreateAccessKey", &[account]).await;
        let key = made.unwrap().body["AccessKey"]["AccessKeyId"].clone();
        let key = key.as_str().unwrap();
        let params = [account, ("UserAccessKeyId", key), ("Status", "Inactive")];
        root.call(EDGESEAL, "UpdateAccessKey", &params)
            .await
            .unwrap();
        let named = [("UserName", "carl")];
        bob.ok(RAM, "CreateUser", &named).await;
        let carl = bob.ok(RAM, "CreateAccessKey", &named).await;
        Self {
            server: server.addresses().api,
            inactive_key: key.to_owned(),
            denied_user: bob.as_user(&carl["AccessKey"]),
            account: bob,
        }
    }

    async fn send(&self, attempt: &SignedCall) -> RawResponse {
        raw::send_raw(self.server, &attempt.to_bytes()).await
    }

    /// Well-formed and well-signed, but without permission, and without the parameters.
    fn valid_call(&self, scheme: Scheme) -> SignedCall {
        SignedCall::new(scheme, self.denied_user.access_key(), CALL, &[])
    }

    fn invalid_call(&self, scheme: Scheme) -> SignedCall {
        SignedCall {
            method: "PUT",
            path: "/elsewhere",
            version: None,
            action: None,
            key: None,
            algorithm: match scheme {
                Scheme::V1 => None,
                Scheme::V3 => Some("ACS3-RSA-SHA256"),
            },
            signature_version: None,
            timestamp: None,
            nonce: None,
            signature: match scheme {
                Scheme::V1 => Signature::Missing,
                Scheme::V3 => Signature::Malformed,
            },
            head_padding: 129 * 1024,
            body_padding: 257 * 1024,
            tail: "&Bad=%zz",
            ..self.valid_call(scheme)
        }
    }

    /// The faults left are: the nonce was used, the rate is used up, there is no permission, and a
    /// parameter is missing.
    async fn nonce_then_rate_then_permission(&self, attempt: SignedCall) {
        let fresh = || SignedCall {
            nonce: Some(uuid::Uuid::new_v4().to_string()),
            timestamp: Some(now().to_string()),
            ..attempt.clone()
        };
        let rate = "Throttling.User";
        // The rate fills up with time: what is sent between two throttled calls was sent while it
        // was used up, so try until there is such a pair.
        let mut tries = 0;
        let permitted = || SignedCall::new(attempt.scheme, self.account.access_key(), CALL, &[]);
        loop {
            // Whether it is let through or not, the rate is used up after it.
            let spent = self.send(&permitted()).await.code();
            assert!([rate, "MissingDomainName"].contains(&&*spent), "{spent}");
            let before = self.send(&fresh()).await.code();
            let between = self.send(&attempt).await.code();
            assert_eq!(between, "SignatureNonceUsed");
            let after = self.send(&fresh()).await;
            if before == rate && after.code() == rate {
                assert!(after.head.contains("x-acs-retry-after: "), "{}", after.head);
                assert!(after.head.contains("\r\nretry-after: "), "{}", after.head);
                break;
            }
            tries += 1;
            assert!(tries < 100, "the rate is never used up");
        }
        // Within a second there is a call that passes the rate.
        let answer = crate::harness::eventually("a call within the rate", async || {
            let answer = self.send(&fresh()).await;
            (answer.code() != rate).then_some(answer)
        });
        let answer = answer.await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "NoPermission")
        );
        // It did not count, so the next one passes as well.
        assert_eq!(self.send(&fresh()).await.code(), "NoPermission");
        assert_eq!(self.send(&permitted()).await.code(), "MissingDomainName");
    }
}

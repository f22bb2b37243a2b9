use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA512,
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://issuer.example";
const NOW: i64 = 1_795_522_200;

/// An identity provider with one key of each type.
struct Issuer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
}

impl Issuer {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        }
    }

    fn rsa_jwk(&self) -> Value {
        let public = self.rsa.public_key();
        json!({"kty": "RSA", "kid": "r", "use": "sig", "alg": "RS256",
            "n": b64(public.modulus().big_endian_without_leading_zero()),
            "e": b64(public.exponent().big_endian_without_leading_zero())})
    }

    fn ec_jwk(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({"kty": "EC", "kid": "e", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])})
    }

    fn keys(&self) -> Jwks {
        keys(&[self.rsa_jwk(), self.ec_jwk()])
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = format!(
            "{}.{}",
            b64(header.to_string().as_bytes()),
            b64(claims.to_string().as_bytes())
        );
        let signature = self.sign(
            header["alg"].as_str().unwrap_or_default(),
            signed.as_bytes(),
        );
        format!("{signed}.{}", b64(&signature))
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match algorithm {
            "ES256" => self.ec.sign(&random, message).unwrap().as_ref().to_vec(),
            "none" => Vec::new(),
            // The attack: the public key serves as the HMAC secret.
            "HS256" => {
                let secret = self.rsa_jwk()["n"].as_str().unwrap().to_owned();
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            other => {
                let padding = if other == "RS512" {
                    &RSA_PKCS1_SHA512
                } else {
                    &RSA_PKCS1_SHA256
                };
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa
                    .sign(padding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn keys(keys: &[Value]) -> Jwks {
    Jwks::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn provider() -> Provider {
    Provider {
        account: AccountId::parse("1234567890123456").unwrap(),
        name: "ci".to_owned(),
        issuer: ISSUER.to_owned(),
        client_ids: vec!["edgeseal".to_owned(), "other".to_owned()],
        max_token_age_ms: 12 * 3_600_000,
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(NOW)
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "repo:a/b", "aud": "edgeseal", "iat": NOW - 10, "exp": NOW + 300})
}

/// The claims with members changed; `null` removes one.
fn with(change: Value) -> Value {
    let mut claims = claims();
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[test]
fn both_algorithms_are_accepted() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    for (algorithm, kid) in [("RS256", "r"), ("ES256", "e")] {
        let token = issuer.token(
            &json!({"alg": algorithm, "kid": kid, "typ": "JWT"}),
            &claims(),
        );
        let believed = verify(&token, &keys, &provider(), now()).unwrap();
        assert_eq!(
            believed,
            Claims {
                issuer: ISSUER.to_owned(),
                subject: "repo:a/b".to_owned(),
                audience: "edgeseal".to_owned(),
                issued: Timestamp::from_unix_seconds(NOW - 10),
                expires: Timestamp::from_unix_seconds(NOW + 300),
            }
        );
    }
}

#[test]
fn a_header_chooses_nothing_but_a_key_of_the_right_kind() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let unknown = |given: &str| InvalidIdToken::Algorithm {
        given: given.to_owned(),
    };
    let no_key = |kid: &str, algorithm| InvalidIdToken::UnknownKey {
        kid: kid.to_owned(),
        algorithm,
    };
    let jwk = issuer.rsa_jwk();
    for (header, why) in [
        (json!({"alg": "none", "kid": "r"}), unknown("none")),
        (json!({"alg": "None", "kid": "r"}), unknown("None")),
        (json!({"alg": "", "kid": "r"}), unknown("")),
        (json!({"alg": "HS256", "kid": "r"}), unknown("HS256")),
        (json!({"alg": "RS512", "kid": "r"}), unknown("RS512")),
        (json!({"alg": "rs256", "kid": "r"}), unknown("rs256")),
        (json!({"alg": "RS256", "kid": "e"}), no_key("e", "RS256")),
        (json!({"alg": "ES256", "kid": "r"}), no_key("r", "ES256")),
        (json!({"alg": "RS256", "kid": "x"}), no_key("x", "RS256")),
        (
            json!({"alg": "RS256", "kid": "x", "jwk": jwk}),
            no_key("x", "RS256"),
        ),
        (
            json!({"alg": "RS256", "jku": ISSUER}),
            InvalidIdToken::NoKeyId,
        ),
        (json!({"alg": "RS256", "kid": ""}), InvalidIdToken::NoKeyId),
        (
            json!({"alg": "RS256", "kid": "r", "crit": ["b64"], "b64": false}),
            InvalidIdToken::Critical,
        ),
    ] {
        let token = issuer.token(&header, &claims());
        assert_eq!(
            verify(&token, &keys, &provider(), now()),
            Err(why),
            "{header}"
        );
    }
}

#[test]
fn keys_of_another_issuer_sign_nothing() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    for (algorithm, kid) in [("RS256", "r"), ("ES256", "e")] {
        let token = other.token(&json!({"alg": algorithm, "kid": kid}), &claims());
        let why = InvalidIdToken::Signature {
            kid: kid.to_owned(),
        };
        assert_eq!(verify(&token, &issuer.keys(), &provider(), now()), Err(why));
    }
}

#[test]
fn a_signature_is_for_its_text_and_not_for_another() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let header = json!({"alg": "ES256", "kid": "e"});
    let (one, two) = (
        issuer.token(&header, &claims()),
        issuer.token(&header, &with(json!({"sub": "root"}))),
    );
    let body = two.split('.').nth(1).unwrap();
    let mut parts: Vec<&str> = one.split('.').collect();
    parts[1] = body;
    let why = InvalidIdToken::Signature {
        kid: "e".to_owned(),
    };
    assert_eq!(
        verify(&parts.join("."), &keys, &provider(), now()),
        Err(why.clone())
    );
    parts[2] = "";
    assert_eq!(
        verify(&parts.join("."), &keys, &provider(), now()),
        Err(why.clone())
    );
    // 64 zeros: r = s = 0, which a careless ECDSA implementation accepts (CVE-2022-21449).
    let zeros = b64(&[0; 64]);
    parts[2] = &zeros;
    assert_eq!(
        verify(&parts.join("."), &keys, &provider(), now()),
        Err(why)
    );
}

#[test]
fn claims_and_their_limits() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let at = Timestamp::from_unix_seconds;
    let json_error = |why| InvalidIdToken::Json {
        part: Part::Payload,
        why,
    };
    let missing = json_error("a member is missing, duplicated or of the wrong type");
    let subject = json_error("\"sub\" is empty or too long");
    let time = json_error("a time is not a number of seconds since 1970");
    let issuer_is = |given: &str| InvalidIdToken::Issuer {
        given: given.to_owned(),
        expected: ISSUER.to_owned(),
    };
    let audience_is = |given: &[&str]| InvalidIdToken::Audience {
        given: given.iter().map(|one| (*one).to_owned()).collect(),
    };
    let expired = |s| InvalidIdToken::Expired {
        at: at(s),
        now: now(),
    };
    let not_yet = |s| InvalidIdToken::NotYetValid {
        at: at(s),
        now: now(),
    };
    let stale = |s| InvalidIdToken::TooOld {
        at: at(s),
        max_age_ms: 12 * 3_600_000,
        now: now(),
    };
    for (change, expected) in [
        (json!({}), Ok("edgeseal")),
        (json!({"aud": ["x", "other", "edgeseal"]}), Ok("other")),
        (json!({"nbf": NOW + 60}), Ok("edgeseal")),
        (json!({"nbf": NOW + 61}), Err(not_yet(NOW + 61))),
        (json!({"iat": NOW + 61}), Err(not_yet(NOW + 61))),
        (json!({"exp": NOW - 59}), Ok("edgeseal")),
        (json!({"exp": NOW as f64 - 59.5}), Ok("edgeseal")),
        (json!({"exp": NOW - 60}), Err(expired(NOW - 60))),
        (json!({"iat": NOW - 12 * 3600 - 59}), Ok("edgeseal")),
        (
            json!({"iat": NOW - 12 * 3600 - 60}),
            Err(stale(NOW - 12 * 3600 - 60)),
        ),
        (
            json!({"iss": "https://issuer.example/"}),
            Err(issuer_is("https://issuer.example/")),
        ),
        (json!({"iss": ""}), Err(issuer_is(""))),
        (json!({"aud": "Edgeseal"}), Err(audience_is(&["Edgeseal"]))),
        (json!({"aud": []}), Err(audience_is(&[]))),
        (json!({"sub": ""}), Err(subject.clone())),
        (json!({"sub": "s".repeat(1025)}), Err(subject)),
        (json!({"iss": null}), Err(missing.clone())),
        (json!({"sub": null}), Err(missing.clone())),
        (json!({"aud": null}), Err(missing.clone())),
        (json!({"exp": null}), Err(missing.clone())),
        (json!({"iat": null}), Err(missing.clone())),
        (json!({"exp": "2100"}), Err(missing.clone())),
        (json!({"aud": 7}), Err(missing)),
        (json!({"exp": -1}), Err(time.clone())),
        (json!({"exp": NOW * 1000}), Err(time)),
    ] {
        let token = issuer.token(&json!({"alg": "ES256", "kid": "e"}), &with(change.clone()));
        let believed = verify(&token, &keys, &provider(), now());
        let audience = believed.map(|claims| claims.audience);
        assert_eq!(audience, expected.map(str::to_owned), "{change}");
    }
}

#[test]
fn shapes_that_are_no_token() {
    let keys = Issuer::new().keys();
    let header = b64(br#"{"alg":"RS256","kid":"r"}"#);
    let twice = b64(br#"{"alg":"none","kid":"r","alg":"RS256"}"#);
    let encoding = |part| InvalidIdToken::Encoding { part };
    for (token, why) in [
        (String::new(), InvalidIdToken::Parts { parts: 1 }),
        ("a.b".to_owned(), InvalidIdToken::Parts { parts: 2 }),
        ("a.b.c.d.e".to_owned(), InvalidIdToken::Parts { parts: 5 }),
        ("!.b.c".to_owned(), encoding(Part::Header)),
        ("e30=.b.c".to_owned(), encoding(Part::Header)),
        (format!("{header}.e30.+"), encoding(Part::Signature)),
        (
            "W10.b.c".to_owned(),
            InvalidIdToken::Json {
                part: Part::Header,
                why: "a member is missing, duplicated or of the wrong type",
            },
        ),
        (
            format!("{twice}.e30.AA"),
            InvalidIdToken::Json {
                part: Part::Header,
                why: "a member is missing, duplicated or of the wrong type",
            },
        ),
        ("e2.b.c".to_owned(), encoding(Part::Header)),
        (
            "ew.b.c".to_owned(),
            InvalidIdToken::Json {
                part: Part::Header,
                why: "it is not a JSON object",
            },
        ),
        (
            "x".repeat(TOKEN_BYTES_MAX + 1),
            InvalidIdToken::TooLong {
                bytes: TOKEN_BYTES_MAX + 1,
            },
        ),
    ] {
        assert_eq!(
            verify(&token, &keys, &provider(), now()),
            Err(why),
            "{token:.60}"
        );
    }
}

#[test]
fn keys_that_cannot_check_a_token_are_passed_over() {
    let issuer = Issuer::new();
    let good = keys(&[issuer.ec_jwk()]);
    let changed = |mut jwk: Value, name: &str, value: Value| {
        jwk[name] = value;
        jwk
    };
    let (rsa, ec) = (issuer.rsa_jwk(), issuer.ec_jwk());
    for odd in [
        json!({"kty": "oct", "kid": "o", "k": "AAAA"}),
        json!({"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "AAAA"}),
        json!("text"),
        changed(ec.clone(), "use", json!("enc")),
        changed(ec.clone(), "key_ops", json!(["sign"])),
        changed(ec.clone(), "alg", json!("ES384")),
        changed(ec.clone(), "crv", json!("P-384")),
        changed(ec.clone(), "x", json!("AAAA")),
        changed(ec.clone(), "kid", json!("")),
        changed(rsa.clone(), "alg", json!("RS512")),
        changed(rsa.clone(), "alg", json!("HS256")),
        changed(rsa.clone(), "n", json!(b64(&[0xff; 128]))),
        changed(rsa, "n", json!("!")),
    ] {
        assert_eq!(keys(&[odd.clone(), ec.clone()]), good, "{odd}");
        let alone = json!({"keys": [odd]}).to_string();
        assert_eq!(Jwks::parse(alone.as_bytes()), Err(InvalidJwks::Empty));
    }
    let bytes = JWKS_BYTES_MAX + 1;
    for (text, why) in [
        (b"".to_vec(), InvalidJwks::Json),
        (b"[]".to_vec(), InvalidJwks::Json),
        (b"{}".to_vec(), InvalidJwks::Json),
        (vec![b' '; bytes], InvalidJwks::TooLong { bytes }),
    ] {
        assert_eq!(Jwks::parse(&text), Err(why));
    }
}

#[test]
fn a_key_off_the_curve_verifies_nothing() {
    let issuer = Issuer::new();
    let mut jwk = issuer.ec_jwk();
    jwk["y"] = json!(b64(&[1; 32]));
    let token = issuer.token(&json!({"alg": "ES256", "kid": "e"}), &claims());
    let why = InvalidIdToken::Signature {
        kid: "e".to_owned(),
    };
    assert_eq!(verify(&token, &keys(&[jwk]), &provider(), now()), Err(why));
}

proptest! {
    #[test]
    fn any_changed_character_is_refused(at: prop::sample::Index, to in "[A-Za-z0-9._-]") {
        static ISSUER_ONCE: std::sync::LazyLock<Issuer> = std::sync::LazyLock::new(Issuer::new);
        let issuer = &*ISSUER_ONCE;
        let token = issuer.token(&json!({"alg": "ES256", "kid": "e"}), &claims());
        let at = at.index(token.len());
        prop_assume!(token[at..=at] != to);
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert!(verify(&changed, &issuer.keys(), &provider(), now()).is_err());
    }

    #[test]
    fn arbitrary_text_is_rejected_without_panic(token in "[ -~]{0,80}", dots in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        let keys = Jwks::default();
        prop_assert!(verify(&token, &keys, &provider(), now()).is_err());
        prop_assert!(verify(&dots, &keys, &provider(), now()).is_err());
    }
}

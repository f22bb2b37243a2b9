use super::*;

fn one(name: &str, value: &str) -> ParamMap {
    [(name.to_owned(), value.to_owned())].into_iter().collect()
}

#[test]
fn phone_numbers() {
    for (text, good) in [
        ("86-18600008888", true),
        ("1-5", true),
        ("", true),
        ("18600008888", false),
        ("86-", false),
        ("-1", false),
        ("86-186-0000", false),
        ("+86-18600008888", false),
        ("86-１８", false),
        ("12345-1", false),
        ("86-123456789012345678901", false),
    ] {
        let phone = phone(
            &one("MobilePhone", text),
            "MobilePhone",
            Code::MobilePhoneFormat,
        );
        assert_eq!(phone.is_ok(), good, "{text}: {phone:?}");
    }
}

#[test]
fn mail_addresses() {
    let long = format!("{}@example.com", "a".repeat(243));
    for (text, good) in [
        ("alice@example.com", true),
        ("a.b+c@mail.example.com", true),
        ("张@example.com", true),
        ("", true),
        ("alice", false),
        ("@example.com", false),
        ("alice@", false),
        ("alice@host", false),
        ("a@b@example.com", false),
        ("al ice@example.com", false),
        (&long, false),
        (&long[1..], true),
    ] {
        let email = email(&one("Email", text), "Email", Code::EmailFormat);
        assert_eq!(email.is_ok(), good, "{text}: {email:?}");
    }
}

#[test]
fn display_names() {
    let codes = (Code::DisplayNameChars, Code::DisplayNameLength);
    let (longest, longer) = ("张".repeat(128), "张".repeat(129));
    for (text, code) in [
        ("Alice_1@a.b-c", None),
        ("张强", None),
        ("", None),
        (&longest, None),
        (&longer, Some(Code::DisplayNameLength)),
        ("Alice Smith", Some(Code::DisplayNameChars)),
        ("a/b", Some(Code::DisplayNameChars)),
    ] {
        let name = display_name(&one("DisplayName", text), "DisplayName", codes);
        assert_eq!(name.err().map(|bad| bad.code()), code, "{text}");
    }
}

#[test]
fn flags() {
    for (text, expected) in [
        ("true", Some(true)),
        ("True", Some(true)),
        ("FALSE", Some(false)),
        ("", Some(false)),
        ("1", None),
        ("yes", None),
    ] {
        let flag = flag(
            &one("SetAsDefault", text),
            "SetAsDefault",
            Code::SetAsDefaultValue,
        );
        assert_eq!(flag.ok(), expected, "{text}");
    }
}

#[test]
fn tags_in_each_spelling() {
    for name in ["Tag", "Tag.1.Key"] {
        let bad = reject_tags(&one(name, "x")).unwrap_err();
        assert_eq!(bad.code(), Code::TagValue);
    }
    for (name, value) in [("Tags", "x"), ("Tag", ""), ("Tag", "[]")] {
        assert_eq!(reject_tags(&one(name, value)), Ok(()), "{name}={value}");
    }
}

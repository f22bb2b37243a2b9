//! Sources of keys: what they give, and that nothing of it is in a message.

use std::{fs, time::Instant};

use super::*;

fn command(argv: &[&str]) -> KekSource {
    KekSource::Command(argv.iter().map(ToString::to_string).collect())
}

fn script(text: &str) -> KekSource {
    command(&["sh", "-c", text])
}

#[tokio::test]
async fn keys_come_from_every_source_and_the_first_one_seals() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let (a, b, c) = (
        Keyring::generate(),
        Keyring::generate(),
        Keyring::generate(),
    );
    fs::write(&path, format!("# comment\n{}\n", *a)).unwrap();
    let sources = [
        script(&format!("echo {}; echo {}", *b, *c)),
        KekSource::File(path),
    ];
    let ring = read_all(&sources).await.unwrap();
    let id = |text: &str| Keyring::parse(text).unwrap().active();
    assert_eq!(ring.ids(), [id(&b), id(&c), id(&a)]);
    assert!(sources[0].holds(id(&c)).await.unwrap());
    assert!(!sources[1].holds(id(&c)).await.unwrap());
}

/// Each message tells what is wrong and what the program complained of, and nothing that it
/// printed.
#[tokio::test]
async fn the_error_of_a_command_does_not_show_its_output() {
    let secret = Keyring::generate();
    let print = format!("echo {}", *secret);
    let long = format!("{print}; yes | head -c 100000");
    for (source, expected) in [
        (command(&["/no/such/program"]), "does not start"),
        (
            script(&format!("{print}; echo no token >&2; exit 3")),
            "exit status: 3) and said: no token",
        ),
        (
            script(&format!("{print}; printf 'a\\033[1m\\nb' >&2; exit 1")),
            "and said: a[1m; b",
        ),
        (script(&format!("{print}; kill -9 $$")), "signal: 9"),
        (script(&long), "printed more than"),
        (script("printf '\\377'"), "not text"),
        (
            script(&format!("{print}; echo short")),
            "line 2 is not a key",
        ),
        (script("true"), "there is no key-encryption key in it"),
        (script("head -c 100000 /dev/zero >&2; exit 1"), "failed"),
    ] {
        let error = source.read().await.unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(said.contains(expected), "{source:?}: {said}");
        assert!(!said.contains(&secret[..10]), "{said}");
        assert!(said.len() < 20_000, "{}", said.len());
    }
}

/// A grandchild that keeps the pipe open holds up the start no longer than a command may take, and
/// does not stay behind.
#[tokio::test]
async fn a_command_that_hangs_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let text = format!("sleep 600 & echo $! > {}; wait", pid.display());
    let argv = ["sh", "-c", &text].map(str::to_owned);
    let error = run_command(&argv, Duration::from_secs(1))
        .await
        .unwrap_err();
    let said = error.to_string();
    assert!(said.contains("did not end within 1 s"), "{said}");
    let pid = fs::read_to_string(pid).unwrap();
    let state = format!("/proc/{}/stat", pid.trim());
    let began = Instant::now();
    // What has ended may be waited for by nobody: a zombie.
    while fs::read_to_string(&state).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(began.elapsed() < Duration::from_secs(10), "it lives on");
        tokio::task::yield_now().await;
    }
}

#[test]
fn settings() {
    let read = |text: &str| serde_json::from_str(text).map(|KekSources(sources)| sources);
    for (text, expected) in [
        (
            r#""file:/etc/kek""#,
            Some(KekSource::File("/etc/kek".into())),
        ),
        (r#""env:KEK""#, Some(KekSource::Variable("KEK".to_owned()))),
        (
            r#"{"command": ["get", "it"]}"#,
            Some(command(&["get", "it"])),
        ),
        (r#"{"command": []}"#, None),
        (r#"{"command": [""]}"#, None),
        (r#""file:""#, None),
        (r#""/etc/kek""#, None),
        (r#""AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=""#, None),
    ] {
        assert_eq!(read(text).ok(), expected.map(|it| vec![it]), "{text}");
    }
    assert_eq!(read(r#"["env:A", "file:b"]"#).unwrap().len(), 2);
    assert!(read("[]").is_err());
    let key = read(r#""AAAABBBBCCCC=""#).unwrap_err();
    assert!(!key.to_string().contains("AAAA"), "{key}");
}

use super::*;

/// A folder with a script, and with what the script writes down.
struct Script {
    folder: TempDir,
}

impl Script {
    fn new(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hook");
        fs::write(
            &file,
            format!("#!/bin/sh\ncd '{}'\n{lines}\n", folder.path().display()),
        )
        .unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("hook")
    }

    fn hook(&self, style: HookStyle) -> CommandHook {
        let command = self.path().display().to_string();
        let cleanup = (style == HookStyle::Certbot).then(|| format!("{command} again"));
        CommandHook::new(style, command, cleanup, Duration::from_secs(20))
    }

    fn wrote(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }
}

/// The record is there from the start: what is tested is how the command is called.
async fn dns() -> DnsServer {
    let dns = DnsServer::start().await;
    for challenge in [APEX, WILDCARD] {
        dns.add_txt("_acme-challenge.example.com", &[challenge.value])
            .await;
    }
    dns
}

/// A solver that runs a command, and asks `dns` for the record.
fn with_hook(stored: &Stored, hook: CommandHook, dns: &DnsServer) -> DnsSolver {
    let mut solver = solver(stored, DnsPublisher::Command(hook), dns.address);
    solver.propagation.resolver = Some(dns.address);
    solver
}

#[tokio::test]
async fn a_command_is_called_as_lego_calls_it() {
    let dns = dns().await;
    let stored = Stored::new();
    let script = Script::new("echo \"$#\" \"$@\" >>calls");
    let solver = with_hook(&stored, script.hook(HookStyle::Lego), &dns);
    solver.publish(&[APEX]).await.unwrap();
    solver.withdraw(&[APEX]).await.unwrap();
    // Not presented any more: not called again.
    solver.withdraw(&[APEX]).await.unwrap();
    let (fqdn, value) = ("_acme-challenge.example.com.", APEX.value);
    let expected = format!("3 present {fqdn} {value}\n3 cleanup {fqdn} {value}\n");
    assert_eq!(script.wrote("calls"), expected);

    let raw = Script::new("echo \"$#\" \"$@\" >>calls");
    let solver = with_hook(&stored, raw.hook(HookStyle::LegoRaw), &dns);
    solver.publish(&[APEX]).await.unwrap();
    solver.withdraw(&[APEX]).await.unwrap();
    let rest = "-- example.com token-1 token-1.thumbprint";
    let expected = format!("5 present {rest}\n5 cleanup {rest}\n");
    assert_eq!(raw.wrote("calls"), expected);
}

/// Also after a restart the clean-up has what the first hook wrote.
#[tokio::test]
async fn hooks_are_called_as_certbot_calls_them() {
    let dns = dns().await;
    let stored = Stored::new();
    let script = Script::new(
        "env | grep ^CERTBOT_ | sort >\"env$1$CERTBOT_REMAINING_CHALLENGES\"; echo ' record 17 '",
    );
    let hook = || script.hook(HookStyle::Certbot);
    let challenges = [APEX, WILDCARD];
    with_hook(&stored, hook(), &dns)
        .publish(&challenges)
        .await
        .unwrap();
    let variables = |value: &str, remaining: usize| {
        format!(
            "CERTBOT_ALL_DOMAINS=example.com,example.com\nCERTBOT_DOMAIN=example.com\n\
             CERTBOT_REMAINING_CHALLENGES={remaining}\nCERTBOT_VALIDATION={value}\n"
        )
    };
    assert_eq!(script.wrote("env1"), variables(APEX.value, 1));
    assert_eq!(script.wrote("env0"), variables(WILDCARD.value, 0));

    with_hook(&stored, hook(), &dns)
        .withdraw(&challenges)
        .await
        .unwrap();
    let output = "CERTBOT_AUTH_OUTPUT=record 17\n";
    let (head, tail) = (
        "CERTBOT_ALL_DOMAINS=example.com,example.com\n",
        "CERTBOT_DOMAIN",
    );
    let rest = variables(APEX.value, 1).replace(head, "");
    assert!(rest.starts_with(tail));
    assert_eq!(script.wrote("envagain1"), format!("{head}{output}{rest}"));
    assert_eq!(stored.notes().await, 0);
}

#[tokio::test]
async fn a_command_has_the_environment_without_our_secrets() {
    let dns = dns().await;
    let script = Script::new("env >seen");
    let hook = script.hook(HookStyle::Lego);
    let hook = hook.without_variables(vec!["CARGO_PKG_NAME".to_owned()]);
    with_hook(&Stored::new(), hook, &dns)
        .publish(&[APEX])
        .await
        .unwrap();
    let seen = script.wrote("seen");
    assert!(
        seen.contains("CARGO_MANIFEST_DIR=") && !seen.contains("CARGO_PKG_NAME="),
        "{seen}"
    );
}

#[tokio::test]
async fn a_command_that_fails_says_why_by_its_last_line() {
    let dns = dns().await;
    let stored = Stored::new();
    // Long output does not stop it, and is not kept.
    let script = Script::new(
        "yes noise | head -c 1000000; yes noise | head -c 1000000 >&2; \
         echo >&2; echo 'the API says 403' >&2; echo >&2; exit 3",
    );
    let solver = with_hook(&stored, script.hook(HookStyle::Lego), &dns);
    let failed = solver.publish(&[APEX]).await.unwrap_err().to_string();
    let expected = format!(
        "{} failed (exit status: 3): the API says 403",
        script.path().display()
    );
    assert_eq!(failed, expected);
    // It may have published the record all the same.
    assert_eq!(stored.notes().await, 1);
    for round in 1..=CLEAN_UPS_MAX {
        assert_eq!(
            solver.withdraw(&[APEX]).await.is_err(),
            round < CLEAN_UPS_MAX
        );
    }
    assert_eq!(stored.notes().await, 0);

    let nowhere = CommandHook::new(
        HookStyle::Lego,
        "/nowhere/hook".to_owned(),
        None,
        Duration::from_secs(20),
    );
    let solver = with_hook(&stored, nowhere, &dns);
    let failed = solver.publish(&[APEX]).await.unwrap_err().to_string();
    assert!(
        failed.starts_with("/nowhere/hook cannot be run: "),
        "{failed}"
    );
}

/// Whether a process that wrote its ID runs.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    // A killed child of a killed shell may stay as a zombie where nobody reaps.
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_its_children() {
    let dns = dns().await;
    let script = Script::new("sleep 1000 & echo $! >pid; wait");
    let hook = CommandHook::new(
        HookStyle::Lego,
        script.path().display().to_string(),
        None,
        Duration::from_secs(2),
    );
    let solver = with_hook(&Stored::new(), hook, &dns);
    let failed = solver.publish(&[APEX]).await.unwrap_err().to_string();
    assert!(failed.ends_with("did not end within 2 s"), "{failed}");
    let gone = || {
        let gone = !script.wrote("pid").is_empty() && !runs(&script.wrote("pid"));
        async move { gone.then_some(()) }
    };
    eventually("the child is killed", gone).await;
}

/// The process ends while the command runs: the next one cleans up where the record was to be.
#[tokio::test]
async fn what_a_crash_leaves_is_cleaned_up_at_the_next_start() {
    let dns = DnsServer::start().await;
    dns.add_cname("_acme-challenge.example.com", "example-com.example.net")
        .await;
    let stored = Stored::new();
    let script = Script::new("echo \"$@\" >>calls; test \"$1\" = cleanup || sleep 1000");
    let first = with_hook(&stored, script.hook(HookStyle::Lego), &dns);
    let presenting = tokio::spawn(async move { first.publish(&[APEX]).await });
    eventually("the command runs", || {
        let called = script.wrote("calls").ends_with('\n');
        async move { called.then_some(()) }
    })
    .await;
    presenting.abort();
    assert_eq!(stored.notes().await, 1);

    let elsewhere = DnsServer::start().await;
    let next = with_hook(&stored, script.hook(HookStyle::Lego), &elsewhere);
    next.withdraw(&[APEX]).await.unwrap();
    let calls = script.wrote("calls");
    let last = calls.lines().last().unwrap();
    assert_eq!(
        last,
        format!("cleanup example-com.example.net. {}", APEX.value)
    );
    assert_eq!(stored.notes().await, 0);
}

#[tokio::test]
async fn a_command_is_not_run_for_a_name_that_the_owner_chose() {
    let dns = DnsServer::start().await;
    dns.add_cname("_acme-challenge.example.com", "_dmarc.operator.test")
        .await;
    let stored = Stored::new();
    let script = Script::new("echo \"$@\" >>calls");
    let solver = with_hook(&stored, script.hook(HookStyle::Lego), &dns);
    let refused = solver.publish(&[APEX]).await.unwrap_err().to_string();
    assert!(
        refused.contains("leads to _dmarc.operator.test"),
        "{refused}"
    );
    assert_eq!(script.wrote("calls"), "");
    assert_eq!(stored.notes().await, 0);
}

#[tokio::test]
async fn a_child_that_a_command_leaves_behind_is_not_waited_for() {
    let dns = dns().await;
    let stored = Stored::new();
    let script = Script::new(
        "test -z \"$1\" || { echo \"$CERTBOT_AUTH_OUTPUT\" >output; exit 0; }\n\
         printf 'record\\0 17\\n'; sleep 60 & echo $! >pid",
    );
    let command = script.path().display().to_string();
    let cleanup = Some(format!("{command} again"));
    let timeout = Duration::from_secs(20);
    let hook = CommandHook::new(HookStyle::Certbot, command, cleanup, timeout);
    let solver = with_hook(&stored, hook, &dns);
    solver.publish(&[APEX]).await.unwrap();
    assert!(runs(&script.wrote("pid")), "it may go on");
    // A variable cannot contain NUL.
    solver.withdraw(&[APEX]).await.unwrap();
    assert_eq!(script.wrote("output"), "record 17\n");
    let pid = script.wrote("pid").trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn what_a_crash_left_is_removed_before_it_is_published_again() {
    let stored = Stored::new();
    let script = Script::new(
        "echo \"${1-publish} $EDGESEAL_CHALLENGE_RECORD $CERTBOT_AUTH_OUTPUT\" >>calls; \
         wc -l <calls",
    );
    let mut expected = String::new();
    for (target, calls) in [
        ("1.example.net.", "publish 1.example.net. \n"),
        (
            "2.example.net.",
            "again 1.example.net. 1\npublish 2.example.net. \n",
        ),
    ] {
        let dns = DnsServer::start().await;
        dns.add_cname("_acme-challenge.example.com", target.trim_end_matches('.'))
            .await;
        dns.add_txt(target.trim_end_matches('.'), &[APEX.value])
            .await;
        let solver = with_hook(&stored, script.hook(HookStyle::Certbot), &dns);
        solver.publish(&[APEX]).await.unwrap();
        expected.push_str(calls);
        assert_eq!(script.wrote("calls"), expected);
    }
    assert_eq!(stored.notes().await, 1);
}

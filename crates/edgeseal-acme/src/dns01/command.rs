//! A command that publishes TXT records, called as `lego` calls its external program and as
//! `certbot` calls its manual hooks, so that scripts written for them work unchanged.

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    sync::Mutex,
    time::timeout,
};

use super::{DnsChallengeError, TxtChallenge};

/// Most bytes of each output that are kept; the rest is discarded.
const OUTPUT_MAX: usize = 4096;
/// How long the outputs are read after the command has exited: a child that it leaves behind may
/// keep them open.
const READ_AFTER_EXIT: Duration = Duration::from_secs(1);
/// Longest line that is shown, in characters.
const SAID_MAX: usize = 200;
/// Variables that systemd sets for this process only.
const OWN_VARIABLES: [&str; 7] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "CREDENTIALS_DIRECTORY",
];

/// How the command is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookStyle {
    /// As the program in `EXEC_PATH` of lego: `present FQDN VALUE`, `cleanup FQDN VALUE`.
    #[default]
    Lego,
    /// The same with `EXEC_MODE=RAW`: `present -- NAME TOKEN KEY-AUTHORIZATION`.
    LegoRaw,
    /// As the hooks of `certbot --manual`: a line for the shell, with variables `CERTBOT_*`.
    Certbot,
}

/// A command that publishes and removes TXT records.
///
/// One runs at a time, since scripts for the two clients need not expect otherwise. It has the
/// environment of this process without the variables that configure Edgeseal.
#[derive(Debug)]
pub struct CommandHook {
    style: HookStyle,
    command: String,
    cleanup_command: Option<String>,
    timeout: Duration,
    hidden_variables: Vec<String>,
    turn: Mutex<()>,
}

/// One call.
pub(super) struct Hook<'a> {
    pub(super) challenge: &'a TxtChallenge<'a>,
    /// The fully qualified name of the record.
    pub(super) target: &'a str,
    /// The names of all challenges of the order.
    pub(super) all_names: &'a [&'a str],
    /// How many challenges of the order follow.
    pub(super) remaining: usize,
}

impl<'a> Hook<'a> {
    /// The call for one of the challenges of an order, whose names are `all_names`.
    pub(super) const fn of(
        challenges: &'a [TxtChallenge<'a>],
        all_names: &'a [&'a str],
        index: usize,
        target: &'a str,
    ) -> Self {
        Self {
            challenge: &challenges[index],
            target,
            all_names,
            remaining: challenges.len() - index - 1,
        }
    }
}

impl CommandHook {
    /// `command` is a program or, for certbot, a line for the shell. `cleanup_command` is certbot's
    /// second hook; without it the records stay. After `timeout` the command is killed with its
    /// children.
    #[must_use]
    pub const fn new(
        style: HookStyle,
        command: String,
        cleanup_command: Option<String>,
        timeout: Duration,
    ) -> Self {
        Self {
            style,
            command,
            cleanup_command,
            timeout,
            hidden_variables: Vec::new(),
            turn: Mutex::const_new(()),
        }
    }

    /// Keeps more variables from the command: those that hold secrets of this process.
    #[must_use]
    pub fn without_variables(mut self, names: Vec<String>) -> Self {
        self.hidden_variables = names;
        self
    }

    /// Publishes a record. Returns what a hook of certbot wrote, which its clean-up gets in a
    /// variable: without NUL, which none can contain.
    pub(super) async fn present(&self, hook: &Hook<'_>) -> Result<String, DnsChallengeError> {
        let output = match self.style {
            HookStyle::Certbot => {
                let output = self.run(self.certbot(&self.command, hook)).await?;
                output.replace('\0', "")
            }
            HookStyle::Lego | HookStyle::LegoRaw => {
                self.run(self.lego("present", hook)).await?;
                String::new()
            }
        };
        Ok(output)
    }

    /// Removes a record. `output` is what [`present`](Self::present) returned.
    pub(super) async fn clean_up(
        &self,
        hook: &Hook<'_>,
        output: &str,
    ) -> Result<(), DnsChallengeError> {
        let command = match (self.style, &self.cleanup_command) {
            (HookStyle::Certbot, None) => return Ok(()),
            (HookStyle::Certbot, Some(line)) => {
                let mut command = self.certbot(line, hook);
                command.env("CERTBOT_AUTH_OUTPUT", output);
                command
            }
            (HookStyle::Lego | HookStyle::LegoRaw, _) => self.lego("cleanup", hook),
        };
        self.run(command).await.map(drop)
    }

    fn lego(&self, action: &str, hook: &Hook<'_>) -> Command {
        let mut command = Command::new(&self.command);
        let challenge = hook.challenge;
        if self.style == HookStyle::LegoRaw {
            command.args([action, "--", challenge.name, challenge.token]);
            command.arg(challenge.key_authorization);
        } else {
            command.args([action, hook.target, challenge.value]);
        }
        self.hide_variables(&mut command);
        command
    }

    fn certbot(&self, line: &str, hook: &Hook<'_>) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]);
        self.hide_variables(&mut command);
        command
            .env("CERTBOT_DOMAIN", hook.challenge.name)
            .env("CERTBOT_VALIDATION", hook.challenge.value)
            .env("CERTBOT_ALL_DOMAINS", hook.all_names.join(","))
            .env("CERTBOT_REMAINING_CHALLENGES", hook.remaining.to_string())
            // Where a CNAME record leads, which certbot does not follow.
            .env("EDGESEAL_CHALLENGE_RECORD", hook.target);
        command
    }

    fn hide_variables(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let is_ours = text.starts_with("EDGESEAL_")
                || text.starts_with("CERTBOT_")
                || OWN_VARIABLES.contains(&&*text)
                || self.hidden_variables.iter().any(|hidden| *hidden == text);
            if is_ours {
                command.env_remove(&name);
            }
        }
    }

    /// The command for messages: a line for the shell may contain secrets.
    fn shown(&self) -> String {
        match self.style {
            HookStyle::Certbot => "the command".to_owned(),
            HookStyle::Lego | HookStyle::LegoRaw => self.command.clone(),
        }
    }

    async fn run(&self, mut command: Command) -> Result<String, DnsChallengeError> {
        let _turn = self.turn.lock().await;
        let not_run = |cause| DnsChallengeError::NotRun {
            command: self.shown(),
            cause,
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = child.map_err(not_run)?;
        let mut group = ProcessGroup(child.id());
        let ended = timeout(self.timeout, outputs(&mut child)).await;
        let Ok(ended) = ended else {
            return Err(DnsChallengeError::TimedOut {
                command: self.shown(),
                after: self.timeout,
            });
        };
        let (status, stdout, stderr) = ended.map_err(not_run)?;
        group.0 = None;
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout).trim().to_owned());
        }
        let said = last_line(&stderr).or_else(|| last_line(&stdout));
        Err(DnsChallengeError::Failed {
            command: self.shown(),
            status: status.to_string(),
            said: said.unwrap_or_else(|| "it wrote nothing".to_owned()),
        })
    }
}

/// Kills the process group of a command when dropped.
struct ProcessGroup(Option<u32>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| i32::try_from(id).ok());
        if let Some(leader) = leader.and_then(rustix::process::Pid::from_raw) {
            // Fails if all have exited meanwhile.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// Waits for the exit, and reads both outputs to their end, or for a second after the exit.
async fn outputs(child: &mut Child) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let status = {
        let reads =
            async { tokio::try_join!(read_head(out, &mut stdout), read_tail(err, &mut stderr)) };
        let mut reads = std::pin::pin!(reads);
        tokio::select! {
            read = &mut reads => {
                read?;
                child.wait().await?
            }
            status = child.wait() => {
                if let Ok(read) = timeout(READ_AFTER_EXIT, reads).await {
                    read?;
                }
                status?
            }
        }
    };
    Ok((status, stdout, stderr))
}

/// Reads everything, and keeps the beginning.
async fn read_head(output: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) -> io::Result<()> {
    if let Some(mut output) = output {
        (&mut output)
            .take(OUTPUT_MAX as u64)
            .read_to_end(kept)
            .await?;
        tokio::io::copy(&mut output, &mut tokio::io::sink()).await?;
    }
    Ok(())
}

/// Reads everything, and keeps the end.
async fn read_tail(output: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) -> io::Result<()> {
    if let Some(mut output) = output {
        while output.read_buf(kept).await? > 0 {
            let excess = kept.len().saturating_sub(OUTPUT_MAX);
            kept.drain(..excess);
        }
    }
    Ok(())
}

/// The last line that is not empty, safe to show.
fn last_line(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|it| !it.is_empty())?;
    let printable = line.chars().filter(|c| !c.is_control());
    Some(printable.take(SAID_MAX).collect())
}

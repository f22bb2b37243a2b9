//! Sources of the key-encryption keys: files, environment variables, and the output of commands.

use std::{
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use edgeseal_store::{
    Keyring,
    seal::{InvalidKeyring, KeyId},
};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
};
use zeroize::Zeroizing;

use crate::process_group::{kill_group, sanitize_output};

mod fleet;
mod live_keyring;
mod rotator;

pub(crate) use fleet::Fleet;
pub(crate) use rotator::KekRotator;

/// The setting `kek`: at least one source.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct KekSources(pub(crate) Vec<KekSource>);

/// The setting, as written. No `Debug`: a text may be a key instead of a source.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    One(WrittenSource),
    Several(Vec<WrittenSource>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSource {
    Text(String),
    Command { command: Vec<String> },
}

/// A source that is invalid, or an empty list of them.
#[derive(Debug, thiserror::Error)]
#[error("not a source of key-encryption keys")]
struct InvalidSources;

/// A source of key-encryption keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KekSource {
    /// A file, one key a line.
    File(PathBuf),
    /// An environment variable; commas may separate the keys, too.
    Variable(String),
    /// The output of a program, one key a line: program and arguments, run without a shell.
    Command(Vec<String>),
}

/// Why a source yields no keys. No message contains any part of a source's content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KekError {
    /// The file does not exist.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// The variable is not set, or not text.
    #[error("the variable {name} is not set")]
    Variable {
        /// Its name.
        name: String,
    },
    /// The command did not print keys.
    #[error("the command {program} {what}{}", stderr_suffix(stderr))]
    Command {
        /// The program.
        program: String,
        /// How it failed.
        what: String,
        /// What it wrote on standard error.
        stderr: String,
    },
    /// The content is not a valid keyring.
    #[error("{source_name}: {cause}")]
    Malformed {
        /// The source.
        source_name: String,
        /// What is wrong.
        #[source]
        cause: InvalidKeyring,
    },
}

/// Most bytes that a command may print: hundreds of keys.
const STDOUT_MAX: usize = 64 * 1024;
/// Bytes of standard error that messages show.
const STDERR_MAX: usize = 4 * 1024;
/// Long enough for a command that queries a key service over the network, with retries.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

impl TryFrom<Written> for KekSources {
    type Error = InvalidSources;

    fn try_from(written: Written) -> Result<Self, InvalidSources> {
        let written = match written {
            Written::One(source) => vec![source],
            Written::Several(sources) => sources,
        };
        let sources: Option<Vec<KekSource>> = written.into_iter().map(KekSource::of).collect();
        let sources = sources.filter(|sources| !sources.is_empty());
        sources.map(Self).ok_or(InvalidSources)
    }
}

impl KekSource {
    fn of(written: WrittenSource) -> Option<Self> {
        match written {
            WrittenSource::Text(text) => {
                let (scheme, rest) = text.split_once(':')?;
                match scheme {
                    _ if rest.is_empty() => None,
                    "file" => Some(Self::File(rest.into())),
                    "env" => Some(Self::Variable(rest.to_owned())),
                    _ => None,
                }
            }
            WrittenSource::Command { command } => {
                let named = command.first().is_some_and(|program| !program.is_empty());
                named.then_some(Self::Command(command))
            }
        }
    }

    /// The name in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => format!("the file {}", path.display()),
            Self::Variable(name) => format!("the variable {name}"),
            Self::Command(command) => {
                format!("the command {}", command.first().map_or("", |it| it))
            }
        }
    }

    /// The text of its keys, at least one.
    ///
    /// # Errors
    /// [`KekError`].
    pub(crate) async fn read(&self) -> Result<Zeroizing<String>, KekError> {
        let text = match self {
            Self::File(path) => read_file(path).await?,
            Self::Variable(name) => {
                let value = std::env::var(name).map(Zeroizing::new);
                let value = value.map_err(|_| KekError::Variable { name: name.clone() })?;
                Zeroizing::new(value.replace(',', "\n"))
            }
            Self::Command(command) => run_command(command, COMMAND_TIMEOUT).await?,
        };
        match Keyring::parse(&text) {
            Ok(_) => Ok(text),
            Err(cause) => Err(KekError::Malformed {
                source_name: self.name(),
                cause,
            }),
        }
    }

    /// Whether it contains a key with this id.
    pub(crate) async fn holds(&self, id: KeyId) -> Result<bool, KekError> {
        let keyring = Keyring::parse(&self.read().await?);
        Ok(keyring.is_ok_and(|keyring| keyring.ids().contains(&id)))
    }
}

/// The keys of all sources; the first key of the first source is the active one.
pub(crate) async fn read_all(sources: &[KekSource]) -> Result<Keyring, KekError> {
    let all = read_all_text(sources).await?;
    Keyring::parse(&all).map_err(|cause| KekError::Malformed {
        source_name: "kek".to_owned(),
        cause,
    })
}

/// The keys of all sources, in the format of a key file.
pub(crate) async fn read_all_text(sources: &[KekSource]) -> Result<Zeroizing<String>, KekError> {
    let mut all = Zeroizing::new(String::new());
    for source in sources {
        let text = source.read().await?;
        // Growing in place would leave an unwiped copy behind.
        let mut longer = Zeroizing::new(String::with_capacity(all.len() + text.len() + 1));
        longer.push_str(&all);
        longer.push_str(&text);
        longer.push('\n');
        all = longer;
    }
    Ok(all)
}

async fn read_file(path: &Path) -> Result<Zeroizing<String>, KekError> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KekError::Missing {
            path: path.to_owned(),
        }),
        Err(cause) => Err(KekError::File {
            path: path.to_owned(),
            cause,
        }),
    }
}

/// Runs a program and returns what it prints within `time`.
async fn run_command(command: &[String], time: Duration) -> Result<Zeroizing<String>, KekError> {
    let (program, arguments) = command
        .split_first()
        .map_or(("", &[][..]), |(program, rest)| (program.as_str(), rest));
    let failed = |what: String, stderr: &[u8]| KekError::Command {
        program: program.to_owned(),
        what,
        stderr: sanitize_output(stderr),
    };
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|cause| failed(format!("does not start: {cause}"), &[]))?;
    let group = child.id();
    let (mut stdout, mut stderr) = (
        Zeroizing::new(Vec::with_capacity(STDOUT_MAX + 64)),
        Vec::new(),
    );
    let ended = read_output(&mut child, &mut stdout, &mut stderr);
    let Ok(ended) = tokio::time::timeout(time, ended).await else {
        kill_group(group);
        let what = format!("did not end within {} s", time.as_secs());
        return Err(failed(what, &stderr));
    };
    let status = ended.map_err(|cause| failed(format!("cannot be read: {cause}"), &stderr))?;
    if stdout.len() > STDOUT_MAX {
        let what = format!("printed more than {STDOUT_MAX} bytes");
        return Err(failed(what, &stderr));
    }
    if !status.success() {
        return Err(failed(format!("failed ({status})"), &stderr));
    }
    let text = std::str::from_utf8(&stdout).map(|text| Zeroizing::new(text.to_owned()));
    text.map_err(|_| failed("printed something that is not text".to_owned(), &stderr))
}

/// Reads standard output and standard error up to their limits, and waits for the exit.
async fn read_output(
    child: &mut Child,
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<u8>,
) -> io::Result<ExitStatus> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let printed = async {
        // Closed once the limit is exceeded, so that the program does not block for ever.
        match out {
            Some(out) => out.take(STDOUT_MAX as u64 + 1).read_to_end(stdout).await,
            None => Ok(0),
        }
    };
    let complained = async {
        let Some(mut err) = err else { return Ok(0) };
        (&mut err)
            .take(STDERR_MAX as u64)
            .read_to_end(stderr)
            .await?;
        let mut rest = tokio::io::sink();
        let passed = tokio::io::copy(&mut err, &mut rest).await;
        rest.shutdown().await?;
        passed.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    };
    let (printed, complained) = tokio::join!(printed, complained);
    printed.and(complained)?;
    child.wait().await
}

fn stderr_suffix(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(" and said: {stderr}")
    }
}

#[cfg(test)]
mod tests;

//! A program, with the batch as JSON on its standard input. Exit code 0 means accepted.

use std::{
    io,
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    time::timeout,
};

use super::{AlarmChannel, Batch, DeliveryError};
use crate::process_group::{KillOnDrop, sanitize_output};

/// Most bytes of its output that are kept; the rest is discarded.
const OUTPUT_MAX: u64 = 4096;
/// How long the rest of its output is read after its exit.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs the program. If the future is dropped, its process group is killed.
pub(super) async fn run(config: &AlarmChannel, batch: &Batch) -> Result<(), DeliveryError> {
    let input = serde_json::to_vec(batch).map_err(|error| DeliveryError::of(&error))?;
    let Some((program, arguments)) = config.command.split_first() else {
        return Err(DeliveryError("no command is configured".to_owned()));
    };
    let mut command = Command::new(program);
    // Sources of key-encryption keys may be variables, of any name.
    command.env_clear();
    for name in ["PATH", "HOME", "LANG", "TZ"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let started = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child =
        started.map_err(|error| DeliveryError(format!("{program} does not start: {error}")))?;
    let mut group = KillOnDrop::group_of(&child);
    let exited = exchange(&mut child, &input).await;
    let exited =
        exited.map_err(|error| DeliveryError(format!("{program} cannot be read: {error}")))?;
    if !exited.has_left_a_child {
        group.disarm();
    }
    if exited.status.success() {
        return Ok(());
    }
    let (status, said) = (exited.status, sanitize_output(&exited.said));
    Err(DeliveryError::text(&format!(
        "{program} failed ({status}): {said}"
    )))
}

struct Exited {
    status: ExitStatus,
    said: Vec<u8>,
    /// Whether something that it has started still holds its standard error.
    has_left_a_child: bool,
}

/// Writes the input, reads what it says, and waits for the exit.
async fn exchange(child: &mut Child, input: &[u8]) -> io::Result<Exited> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // It may exit without reading.
            let _ = stdin.write_all(input).await;
        }
    };
    let mut said = Vec::new();
    let read = async {
        let Some(mut stderr) = stderr else {
            return Ok(());
        };
        (&mut stderr)
            .take(OUTPUT_MAX)
            .read_to_end(&mut said)
            .await?;
        tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
        Ok::<_, io::Error>(())
    };
    // A child that it leaves in the background may hold its pipes for ever.
    let (status, ended) = {
        let mut talk = pin!(async { tokio::join!(write, read).1 });
        tokio::select! {
            ended = &mut talk => (child.wait().await?, Some(ended)),
            status = child.wait() => (status?, timeout(OUTPUT_TIMEOUT, talk).await.ok()),
        }
    };
    let has_left_a_child = ended.is_none();
    ended.transpose()?;
    Ok(Exited {
        status,
        said,
        has_left_a_child,
    })
}

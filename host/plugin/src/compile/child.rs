//! The process that compiles, from the outside.
//!
//! Owns its start, its end and what is believed of it. It inherits three pipes
//! and nothing else: no environment, no other file, no working directory that
//! matters. It is killed and reaped when its time is over, when it says more
//! than it may, and when nobody waits for it any more.

use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use muster_plugin_artifact::Artifact;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::inside::{NO_MEMORY, REFUSED};
use super::{CompileOrder, CompilerCommand};
use crate::error::{CompilerError, LoadError};

/// What is kept of what it says. A panic says where first.
const SAID_BYTES: usize = 512;

/// Compiles a component in a process of its own.
pub(super) async fn compile(
    command: &CompilerCommand,
    order: CompileOrder,
    component: &Bytes,
) -> Result<Artifact, LoadError> {
    let mut child = Command::new(&command.program)
        .args(&command.arguments)
        .args(order.to_arguments())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(CompilerError::Io)
        .map_err(LoadError::Compiler)?;
    let talked = tokio::time::timeout(order.time, talk(&mut child, order, component)).await;
    let ended = match talked {
        Ok(ended) => ended,
        Err(_) => Err(LoadError::CompileTimeout(order.time)),
    };
    if ended.is_err() {
        // Reaped here, so that it is gone when the caller hears of it.
        let _ = child.kill().await;
    }
    ended
}

async fn talk(
    child: &mut Child,
    order: CompileOrder,
    component: &Bytes,
) -> Result<Artifact, LoadError> {
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(LoadError::Compiler(CompilerError::GivenUp));
    };
    let hand_in = async move {
        // It may end before it has read everything, and then says why.
        let _ = stdin.write_all(component).await;
        drop(stdin);
        Ok(())
    };
    // Machine code that does not fit into the memory of the process cannot
    // have been made there.
    let code = read(stdout, order.memory_bytes);
    let said = read_beginning(stderr);
    let ((), code, said) = tokio::try_join!(hand_in, code, said)
        .map_err(|error| LoadError::Compiler(CompilerError::Io(error)))?;
    let status = child.wait().await;
    let status = status.map_err(|error| LoadError::Compiler(CompilerError::Io(error)))?;
    match code {
        Some(code) if status.success() => Ok(Artifact::vouched(code)),
        Some(_) => Err(failure(status, said, order)),
        None => Err(LoadError::CompileMemory(order.memory_bytes)),
    }
}

/// What the process meant by its end.
fn failure(status: ExitStatus, said: String, order: CompileOrder) -> LoadError {
    use std::os::unix::process::ExitStatusExt as _;
    const SIGXCPU: i32 = 24;
    const SIGKILL: i32 = 9;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match (code, status.signal()) {
        (Some(REFUSED), _) => LoadError::Compile(wasmtime::Error::msg(said)),
        (Some(NO_MEMORY), _) => LoadError::CompileMemory(order.memory_bytes),
        // How Rust ends a process that gets no memory.
        _ if said.contains("memory allocation of") => LoadError::CompileMemory(order.memory_bytes),
        // The soft and the hard limit of computing time are the same.
        (None, Some(SIGXCPU | SIGKILL)) => LoadError::CompileTimeout(order.time),
        _ => LoadError::Compiler(CompilerError::Died { status, said }),
    }
}

/// All of it, or `None` if it is more than `limit` bytes.
async fn read(pipe: impl AsyncRead + Unpin, limit: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX);
    pipe.take(bound.saturating_add(1))
        .read_to_end(&mut bytes)
        .await?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// The beginning of it; the rest is read and let go, so that nobody waits.
async fn read_beginning(mut pipe: impl AsyncRead + Unpin) -> std::io::Result<String> {
    let mut beginning = Vec::new();
    let mut some = [0; SAID_BYTES];
    loop {
        let count = pipe.read(&mut some).await?;
        if count == 0 {
            break;
        }
        let room = SAID_BYTES.saturating_sub(beginning.len());
        beginning.extend(some.iter().take(count.min(room)));
    }
    let text = String::from_utf8_lossy(&beginning);
    let clean = text
        .split(|c: char| c.is_control())
        .filter(|part| !part.is_empty());
    Ok(clean.collect::<Vec<_>>().join(" "))
}

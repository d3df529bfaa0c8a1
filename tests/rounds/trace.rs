//! softstop's own system calls, by strace: whom it makes, whom it signals, whom it reaps. strace must be there before softstop's first
//! instruction, so a gate stands in front of it: this program, which waits until it may become softstop.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

const CALLS: &str =
    "trace=execve,fork,vfork,clone,clone3,wait4,waitid,kill,tkill,tgkill,pidfd_open,pidfd_send_signal,exit_group";

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub name: String,
    pub arguments: String,
    /// -1 for any error.
    pub result: i64,
}

/// `gate SOCKET PROGRAM ARGS...`: becomes the program once the other side says so.
pub fn gate(args: &[String]) -> ! {
    let mut stream = UnixStream::connect(&args[0]).unwrap_or_else(|e| panic!("{}: {e}", args[0]));
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("the tracer is there");
    drop(stream);
    panic!("{}: {}", args[1], Command::new(&args[1]).args(&args[2..]).exec())
}

/// strace, waiting for the gate.
pub struct Tracer(JoinHandle<Result<String, String>>);

impl Tracer {
    pub fn new(socket: &Path) -> Tracer {
        let listener = UnixListener::bind(socket).expect("the round's own directory");
        Tracer(std::thread::spawn(move || follow(&listener)))
    }

    /// Everything that was traced, once softstop has ended.
    pub fn calls(self) -> Result<Vec<Call>, String> {
        let text = self.0.join().map_err(|_| "the tracer's thread failed".to_owned())??;
        let calls: Vec<Call> = text.lines().filter_map(call).collect();
        // Up to here it was the gate.
        let begin =
            calls.iter().position(|call| call.name == "execve" && call.result == 0).ok_or("no execve was seen")?;
        Ok(calls[begin + 1..].to_vec())
    }
}

/// Through a pipe: a file would make softstop wait for a busy disk.
fn follow(listener: &UnixListener) -> Result<String, String> {
    let (mut gate, _) = listener.accept().map_err(|e| e.to_string())?;
    let peer = getsockopt(&gate, PeerCredentials).map_err(|e| e.to_string())?;
    let mut strace = Command::new("strace")
        .args(["-e", CALLS, "-p", &peer.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("strace: {e}"))?;
    let mut said = String::new();
    let mut stderr = BufReader::new(strace.stderr.take().expect("piped"));
    while !said.contains("attached") {
        if stderr.read_line(&mut said).unwrap_or(0) == 0 {
            return Err(format!("strace: {said}"));
        }
    }
    gate.write_all(b"g").map_err(|e| e.to_string())?;
    drop(gate);
    let read = stderr.read_to_string(&mut said).map_err(|e| e.to_string());
    let _ = strace.wait();
    read.map(|_| said)
}

fn call(line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest
        .rsplit_once(") = ")
        .or_else(|| rest.rsplit_once(") ").map(|(a, b)| (a, b.trim_start_matches([' ', '=']))))?;
    let result = result.split_whitespace().next()?.parse().unwrap_or(-1);
    let name = name.trim();
    let known = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    known.then(|| Call { name: name.to_owned(), arguments: arguments.trim_end().to_owned(), result })
}

impl Call {
    /// The number behind `key=` in a structure.
    pub fn field(&self, key: &str) -> Option<i32> {
        let after = self.arguments.split(&format!("{key}=")).nth(1)?;
        let digits: String = after.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
        digits.parse().ok()
    }

    /// The n-th argument, when it is a number.
    pub fn number(&self, n: usize) -> Option<i32> {
        self.arguments.split(", ").nth(n)?.trim().parse().ok()
    }
}

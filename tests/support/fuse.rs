//! A file system that hangs: whoever opens a file in it waits in the kernel, as with a network file system whose server is gone,
//! and once it has a SIGKILL to act on, uninterruptibly. The test is its server (FUSE, spoken over /dev/fuse) and answers nothing but
//! the greeting.
//!
//! The mount is in a mount namespace of the calling thread's own, and the kernel ends all waits when the server's descriptor
//! is closed: nothing stays behind, whatever becomes of the test.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};

use super::{Dir, at_once, skip};

/// The kernel wants room for its largest request.
const REQUEST: usize = 1 << 20;
const INIT: u32 = 26;

pub struct Hanging {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    server: Option<std::thread::JoinHandle<()>>,
    file: String,
}

/// Runs `test` with such a file system. Only what `test` starts itself, not what other threads do, can see it.
pub fn with_hanging_file_system(test: impl FnOnce(&mut Hanging) + Send) {
    // A thread of its own: its mount namespace ends with it.
    at_once([test], |test| {
        let dir = Dir::new();
        match Hanging::mount(&dir.path("hung")) {
            Ok(mut hanging) => test(&mut hanging),
            Err(why) => skip(&format!("no FUSE: {why}")),
        }
    });
}

impl Hanging {
    fn mount(at: &Path) -> Result<Hanging, String> {
        fs::create_dir(at).map_err(|e| e.to_string())?;
        let nothing: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS).map_err(|e| format!("no mount namespace: {e}"))?;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).map_err(|e| e.to_string())?;
        let device = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/fuse");
        let device = device.map_err(|e| format!("/dev/fuse: {e}"))?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        mount(Some("hanging"), at, Some("fuse"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options.as_str()))
            .map_err(|e| format!("mount: {e}"))?;
        let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let server = std::thread::spawn({
            let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
            move || serve(device, &over, &asked)
        });
        let file = at.join("file").to_str().expect("the target directory's path is text").to_owned();
        Ok(Hanging { over, asked, server: Some(server), file })
    }

    /// Opening it does not return.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// How many requests the server has got and not answered.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends all waits: with an error, as when the server's machine comes back without the file.
    pub fn release(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.release();
    }
}

/// Dropping `device` at the end ends all waits.
fn serve(mut device: File, over: &AtomicBool, asked: &AtomicUsize) {
    let mut request = vec![0; REQUEST];
    while !over.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(Duration::from_millis(5)).unwrap_or(PollTimeout::ZERO);
        if !matches!(poll(&mut fds, wait), Ok(n) if n > 0) {
            continue;
        }
        let Ok(n) = device.read(&mut request) else { continue };
        // fuse_in_header: u32 length, u32 opcode, u64 unique, and more that is not needed.
        let Some(opcode) = request.get(4..8).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes) else { continue };
        if opcode == INIT && n >= 16 {
            let _ = device.write_all(&greeting(&request[8..16]));
        } else {
            asked.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// `fuse_out_header` and `fuse_init_out`: protocol 7.31, nothing special.
fn greeting(unique: &[u8]) -> Vec<u8> {
    const LENGTH: u32 = 16 + 64;
    let mut answer = Vec::new();
    answer.extend(LENGTH.to_ne_bytes());
    answer.extend(0i32.to_ne_bytes());
    answer.extend(unique);
    for word in [7u32, 31, 0, 0] {
        answer.extend(word.to_ne_bytes());
    }
    // max_background and congestion_threshold, then max_write.
    answer.extend([12u16, 9].iter().flat_map(|n| n.to_ne_bytes()));
    answer.extend(4096u32.to_ne_bytes());
    answer.resize(LENGTH as usize, 0);
    answer
}

//! A root file system for a kernel to unpack: cpio's "newc" format, written by hand since it is a header and a name per file, and since
//! the tool would need root to make `/dev/console`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::libraries;

/// What `initramfs` in the kernel's documentation calls an archive, still open.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    /// What is in it. The kernel makes no folder by itself.
    paths: BTreeSet<String>,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
const DEVICE: u32 = 0o020_666;

impl Archive {
    /// An executable file at `path`, such as `bin/busybox`, and the folders above it.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        if self.paths.insert(path.to_owned()) {
            self.entry(path, PROGRAM, content, (0, 0));
        }
    }

    pub fn link(&mut self, path: &str, to: &str) {
        self.entry(path, LINK, to.as_bytes(), (0, 0));
    }

    pub fn copy(&mut self, path: &str, from: &Path) {
        let content = std::fs::read(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        self.file(path, &content);
    }

    /// A program with the libraries that the dynamic loader loads for it.
    pub fn program(&mut self, path: &str, from: &Path) {
        self.copy(path, from);
        for library in libraries(from) {
            self.copy(library.trim_start_matches('/'), Path::new(&library));
        }
    }

    pub fn folder(&mut self, path: &str) {
        if self.paths.insert(path.to_owned()) {
            if let Some((above, _)) = path.rsplit_once('/') {
                self.folder(above);
            }
            self.entry(path, FOLDER, b"", (0, 0));
        }
    }

    /// `dev/console`, from which the kernel gives the first process its standard descriptors, and `dev/null`.
    pub fn devices(&mut self) {
        self.folder("dev");
        self.entry("dev/console", DEVICE, b"", (5, 1));
        self.entry("dev/null", DEVICE, b"", (1, 3));
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, b"", (0, 0));
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8], (major, minor): (u32, u32)) {
        self.entries += 1;
        let links = 1;
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            u32::try_from(content.len()).expect("no file of gigabytes"),
            0,
            0,
            major,
            minor,
            u32::try_from(path.len()).expect("a path") + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

//! How the run before this one ended: the report that it has left where this one's will go, read once, after the start. A volume may hang, and what
//! is there may be anything, so a process of softstop's own reads it and says what it amounts to; nothing waits for it.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::files::in_words;
use super::helper;
use super::shell::Shell;
use crate::config::Control;
use crate::json;
use crate::record::{LastStop, Run};
use crate::sys::limits;
use crate::sys::spawn::place::open_to_read;
use crate::text::one_line;

/// So long it may take: no file system that works takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(5);
/// A report of the longest stop has a third of it.
const MAX_BYTES: usize = 4 << 20;
/// So much memory the process may have that reads it, whatever is in the file: what a container has is its programs'.
const MEMORY: u64 = 64 << 20;
/// There is none, or what is there is none.
const NONE: [io::ErrorKind; 3] = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::IsADirectory];
/// Characters of what is said of a file that cannot be used.
const TOLD: usize = 300;

impl Shell {
    /// If there can be such a report, and somebody who may ask for it.
    pub(super) fn begin_last_stop(&mut self) {
        let config = &self.plan.config;
        let asked = config.http.is_some() || config.control != Control::Off;
        let Some(path) = config.report.clone().filter(|path| asked && outlives_a_restart(path)) else { return };
        if self.machine.borrow().stopping() {
            return;
        }
        let words = ["__last_stop".into(), "--".into(), path.into()];
        // Not by the file's name: who writes it at the end must not wait for this one.
        let about = "the report of the run before".into();
        if let Err(why) = self.start_helper(&words, &[], about, LIMIT, |shell, _, said| shell.last_stop_read(said)) {
            tracing::info!("the report of the run before this one was not read: {why}");
        }
    }

    /// It has been read. `None`: it has not, in its time.
    fn last_stop_read(&mut self, bytes: Option<Vec<u8>>) {
        let Some(path) = self.plan.config.report.as_ref().map(|path| path.display().to_string()) else { return };
        let Some(bytes) = bytes else {
            let seconds = LIMIT.as_secs();
            tracing::warn!(
                "the report of the run before this one ({path}) was not read within {seconds} s: its file system hangs"
            );
            return;
        };
        let said = json::parse(&bytes).unwrap_or_default();
        match (said.get("last_stop").and_then(LastStop::read), said.get("unusable").and_then(Value::as_str)) {
            (Some(last), _) => self.monitor.borrow_mut().last_stop = Some(last),
            (None, Some(why)) => tracing::warn!("the report of the run before this one ({path}) cannot be used: {why}"),
            // There is none.
            (None, None) if said.is_object() => {}
            (None, None) => {
                tracing::info!("the report of the run before this one ({path}) was not read: its reader was killed")
            }
        }
    }
}

/// What is there belongs to this run alone: a device, or a descriptor by its name.
fn outlives_a_restart(path: &Path) -> bool {
    !["/dev", "/proc"].iter().any(|folder| path.starts_with(folder))
}

// === the process that reads ===

/// Its whole life: it says on standard output what the report at `path` amounts to, or why it cannot be used. It ends with softstop.
#[must_use]
pub fn read(path: &Path) -> u8 {
    helper::begin();
    limits::confine(MEMORY);
    let said = match last_stop(path) {
        Ok(None) => "{}".to_owned(),
        Ok(Some(last)) => format!(r#"{{"last_stop":{}}}"#, serde_json::to_string(&last).unwrap_or_default()),
        Err(why) => json!({ "unusable": one_line(&why).chars().take(TOLD).collect::<String>() }).to_string(),
    };
    helper::say(&said)
}

/// `None`: there is no report, or what is there is none of a run before: a FIFO, a folder, a file with nothing in it yet.
fn last_stop(path: &Path) -> Result<Option<LastStop>, String> {
    let file = match open_to_read(path) {
        Ok(file) => file,
        Err(error) if NONE.contains(&error.kind()) => return Ok(None),
        Err(error) => return Err(in_words(error).to_string()),
    };
    let is = file.metadata().map_err(|error| error.to_string())?;
    if !is.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes: that is no report of softstop's"));
    }
    let run = Run::read(&bytes)?;
    Ok(Some(LastStop::of(&run, u64::try_from(is.mtime()).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("softstop-last-stop-{name}-{}", std::process::id()))
    }

    #[test]
    fn what_is_no_report_of_a_run_before_is_passed_over_or_said_why() {
        for nothing in ["/nowhere/report.json", "/dev/null", "/", "/dev/zero"] {
            assert_eq!(last_stop(Path::new(nothing)), Ok(None), "{nothing}");
        }
        // It has as many names as folders in it, and stands where others may change it.
        let folder = place("folder");
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(last_stop(&folder), Ok(None));
        std::fs::remove_dir(&folder).unwrap();
        let fifo = place("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(last_stop(&fifo), Ok(None));
        std::fs::remove_file(&fifo).unwrap();
        let file = place("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(last_stop(&file), Ok(None), "nothing is in it");
        std::fs::write(&file, "{\"format\": 1, \"timeline\": [").unwrap();
        assert!(last_stop(&file).unwrap_err().starts_with("it is cut off"));
        // Without a byte on the disk.
        std::fs::File::options().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
        assert!(last_stop(&file).unwrap_err().contains("more than 4194304 bytes"));
        std::fs::write(&file, include_str!("../../docs/pictures/report.json")).unwrap();
        let last = last_stop(&file).unwrap().unwrap();
        assert!(last.complete && last.ended_at > 1_600_000_000, "{last:?}");
        // Root is not led to what another user may not read.
        let link = place("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(last_stop(&link).is_ok());
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(2000), Some(2000)).unwrap();
            assert!(last_stop(&link).unwrap_err().contains("another user's"));
        }
        std::fs::remove_file(&link).unwrap();
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_name_of_something_open_is_nobodys_report() {
        let own = ["/dev/stdout", "/proc/self/fd/0", "/dev/fd/3", "/dev/shm/report.json"];
        assert!(own.iter().all(|path| !outlives_a_restart(Path::new(path))));
        assert!(
            ["/data/report.json", "report.json", "/devices"].iter().all(|path| outlives_a_restart(Path::new(path)))
        );
    }
}

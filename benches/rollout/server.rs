//! A program of others that serves as long as the bench needs it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Dropped, it is killed.
pub struct Server(Child);

impl Server {
    /// Returns once it is up. What it says of itself is in the file `log`.
    pub fn start(command: &mut Command, log: &Path, is_up: impl Fn() -> bool) -> Result<Server, String> {
        let name = command.get_program().display().to_string();
        let said = std::fs::File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let server = Server(command.spawn().map_err(|e| format!("cannot start {name}: {e}"))?);
        let limit = Instant::now() + Duration::from_secs(10);
        while !is_up() {
            if Instant::now() > limit {
                return Err(format!("{name} does not start: {}", std::fs::read_to_string(log).unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

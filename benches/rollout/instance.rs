//! One instance of the application, its init being PID 1 of a PID namespace.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::app::{LISTENING, TOLD};
use crate::common::{children, unshare};
use crate::edge::{Behind, Tools};
use crate::grpc;
use crate::haproxy::Haproxy;
use crate::inits::{How, Row};
use crate::restart::INSTANCES;

/// For an instance to listen, and for one that was told to stop to end. No row needs it.
const LIMIT: Duration = Duration::from_secs(90);

/// When the application said what.
#[derive(Default)]
struct Said {
    listening: Option<Instant>,
    told: Option<Instant>,
    /// Nobody is left who could say more.
    over: bool,
}

pub struct Instance {
    unshare: Child,
    init: Pid,
    said: Arc<(Mutex<Said>, Condvar)>,
    /// Outlives it, as a mesh's does.
    _beside: Option<Haproxy>,
}

impl Instance {
    /// Returns once it can be reached at `entry`.
    pub fn start(row: &Row, tools: &Tools, entry: u16, dir: &Path) -> Result<Instance, String> {
        let (init, sidecar) = (&row.init, row.behind == Behind::Sidecar);
        // The application is at a port of its own where there is a proxy before it.
        let port = if sidecar { entry + 2 * INSTANCES as u16 } else { entry };
        let app = match (row.behind, &tools.python) {
            (Behind::Grpc, Some(python)) => grpc::service(python, port),
            _ => {
                let this = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
                vec![this.display().to_string(), "app".to_owned(), port.to_string()]
            }
        };
        let log = std::fs::File::create(dir.join(format!("{port}.log"))).map_err(|e| format!("{port}.log: {e}"))?;
        let mut unshare = unshare(&[])
            .args(init.command(&app, port, dir))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|e| format!("unshare, of util-linux: {e}"))?;
        let said = Arc::new((Mutex::new(Said::default()), Condvar::new()));
        let lines = BufReader::new(unshare.stdout.take().expect("it is a pipe")).lines();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = heard.0.lock().unwrap();
                match line.as_str() {
                    LISTENING => said.listening = Some(Instant::now()),
                    TOLD => said.told = Some(Instant::now()),
                    _ => {}
                }
                heard.1.notify_all();
            }
            heard.0.lock().unwrap().over = true;
            heard.1.notify_all();
        });
        let mut instance = Instance { unshare, init: Pid::from_raw(0), said, _beside: None };
        let (lock, changed) = (&instance.said.0, &instance.said.1);
        // Applications of others do not say that they listen.
        let limit = Instant::now() + LIMIT;
        let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        let tick = Duration::from_millis(if matches!(init.how, How::Recipe { .. }) { 20 } else { 1000 });
        while lock.lock().unwrap().listening.is_none() && !(matches!(init.how, How::Recipe { .. }) && listens()) {
            if Instant::now() > limit {
                return Err(format!("the application under {} does not listen; see {}", init.name, dir.display()));
            }
            let _ = changed.wait_timeout_while(lock.lock().unwrap(), tick, |s| s.listening.is_none()).unwrap();
        }
        let first = children(instance.unshare.id() as i32).first().copied();
        instance.init = Pid::from_raw(first.ok_or_else(|| format!("{} has ended early", init.name))?);
        if sidecar {
            instance._beside = Some(Haproxy::start(&tools.haproxy, dir, entry, &[port], "")?);
        }
        Ok(instance)
    }

    /// SIGTERM to PID 1, as a runtime sends it.
    pub fn stop(&self) -> Result<(), String> {
        kill(self.init, Signal::SIGTERM).map_err(|e| format!("SIGTERM: {e}"))
    }

    /// Waits for the end; when it came, and when the application itself was told, if it has said so.
    pub fn ended(mut self) -> Result<(Instant, Option<Instant>), String> {
        let limit = Instant::now() + LIMIT;
        while self.unshare.try_wait().map_err(|e| e.to_string())?.is_none() {
            if Instant::now() > limit {
                return Err(format!("an instance does not end within {} s of SIGTERM", LIMIT.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let now = Instant::now();
        // Its last words may not have been read yet.
        let (said, changed) = (&self.said.0, &self.said.1);
        let said = changed.wait_timeout_while(said.lock().unwrap(), Duration::from_secs(10), |s| !s.over).unwrap().0;
        Ok((now, said.told))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Its child, and with that the namespace, goes with it.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

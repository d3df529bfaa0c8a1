//! The variables that a program gets: softstop's own, its user's, those of files, and those of its configuration.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::shell::Shell;
use crate::config::{EnvFile, EnvFormat, Launch, env_file};
use crate::lifecycle::event::{SpawnError, SpawnErrorKind};
use crate::sys::users::Credentials;
use crate::variables;

/// What `clear_env` leaves: without PATH no program is found, and clients below find their softstop by the others.
const KEPT: [&str; 3] = ["PATH", variables::INSTANCE, variables::INSTANCE_HTTP];
/// More than the kernel lets one variable have.
const MAX_SECRET: usize = 128 * 1024;

/// What files with variables were found to say. A hook that runs during the stop has what its process was started with: no file is read then that
/// was read before.
#[derive(Default)]
pub(super) struct FilesRead {
    known: Vec<(PathBuf, Vec<u8>)>,
    /// Those whose format has been doubted aloud.
    doubted: Vec<PathBuf>,
}

/// One of a name.
struct Variables(Rc<Vec<(OsString, OsString)>>);

impl Variables {
    fn set(&mut self, name: &OsStr, value: &OsStr) {
        self.remove(name);
        Rc::make_mut(&mut self.0).push((name.to_os_string(), value.to_os_string()));
    }

    fn get(&self, name: &OsStr) -> Option<&OsStr> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }

    fn remove(&mut self, name: &OsStr) {
        if self.get(name).is_some() {
            Rc::make_mut(&mut self.0).retain(|(known, _)| known != name);
        }
    }
}

impl Shell {
    /// softstop's own environment, what belongs to the user switched to, and what the configuration and the place add. It is copied only where something is
    /// added or taken away.
    pub(super) fn environment_for(
        &mut self,
        credentials: Option<&Credentials>,
        launch: &Launch,
        given: &[(OsString, OsString)],
        keep_sockets: bool,
    ) -> Result<Rc<Vec<(OsString, OsString)>>, SpawnError> {
        let mut env = Variables(Rc::clone(&self.environment));
        if launch.clear_env {
            Rc::make_mut(&mut env.0).retain(|(name, _)| KEPT.iter().any(|kept| name == kept));
        }
        if let Some(c) = credentials {
            env.set("HOME".as_ref(), c.home.as_os_str());
            for key in ["USER", "LOGNAME"] {
                if let Some(name) = &c.name {
                    env.set(key.as_ref(), name.as_ref());
                }
            }
        }
        for file in &launch.env_files {
            self.add_file(&mut env, file)?;
        }
        for (key, value) in launch.env.iter().chain(given) {
            env.set(key, value);
        }
        for name in &launch.file_env {
            self.add_from_file(&mut env, name)?;
        }
        if !keep_sockets {
            // The descriptors they speak of are not handed on.
            let listen = ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"];
            listen.iter().for_each(|name| env.remove(name.as_ref()));
        }
        Ok(env.0)
    }

    fn add_file(&mut self, env: &mut Variables, file: &EnvFile) -> Result<(), SpawnError> {
        let EnvFile { path, format, optional } = file;
        let bytes = match self.read_variables(path, env_file::MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if *optional && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unread("env_file", path, &error)),
        };
        let outside = |name: &str| env.get(name.as_ref()).map(|value| value.to_string_lossy().into_owned());
        let parsed = env_file::parse(&bytes, *format, &outside)
            .map_err(|wrong| SpawnError::setup(format!("env_file {}, {wrong}", path.display())))?;
        if let (Some(line), false) = (parsed.doubts.first(), self.env_files.doubted.contains(path)) {
            let why = match format {
                EnvFormat::Foreman => "it is passed over, as foreman does: no NAME=value from its first character on",
                EnvFormat::Docker | EnvFormat::Dotenv => {
                    "its quotes or its ` #` are part of the value; format = \"dotenv\" takes them off"
                }
            };
            tracing::warn!("env_file {}, line {line}: {why}", path.display());
            self.env_files.doubted.push(path.clone());
        }
        debug_assert!(*format != EnvFormat::Dotenv || parsed.doubts.is_empty());
        for (name, value) in &parsed.variables {
            env.set(name.as_ref(), value.as_ref());
        }
        Ok(())
    }

    /// As the entrypoints of docker's official images have it: `NAME_FILE` names the file with the value of NAME.
    fn add_from_file(&mut self, env: &mut Variables, name: &OsStr) -> Result<(), SpawnError> {
        let mut file_name = name.to_os_string();
        file_name.push("_FILE");
        let Some(path) = env.get(&file_name).map(PathBuf::from) else { return Ok(()) };
        let (shown, shown_file) = (name.to_string_lossy(), file_name.to_string_lossy());
        if env.get(name).is_some() {
            return Err(SpawnError::setup(format!(
                "file_env: both {shown} and {shown_file} are set: leave one of them out"
            )));
        }
        let mut bytes = self.read_variables(&path, MAX_SECRET).map_err(|error| unread(&shown_file, &path, &error))?;
        if bytes.len() > MAX_SECRET {
            return Err(SpawnError::setup(format!(
                "file_env: {} has more than 128 KiB: is it the right file?",
                path.display()
            )));
        }
        // As a shell's $(cat …) has it.
        while bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.contains(&0) {
            return Err(SpawnError::setup(format!(
                "file_env: {} contains a NUL byte, which no variable can have",
                path.display()
            )));
        }
        env.remove(&file_name);
        env.set(name, &OsString::from_vec(bytes));
        Ok(())
    }

    fn read_variables(&mut self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let stopping = self.machine.borrow().stopping();
        if let Some((_, bytes)) = self.env_files.known.iter().find(|(known, _)| stopping && known == path) {
            return Ok(bytes.clone());
        }
        let bytes = self.read_aside(path, most)?;
        self.env_files.known.retain(|(known, _)| known != path);
        self.env_files.known.push((path.to_owned(), bytes.clone()));
        Ok(bytes)
    }
}

fn unread(what: &str, path: &Path, error: &io::Error) -> SpawnError {
    let late = matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory);
    let short = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    let kind = if late || short { SpawnErrorKind::Transient } else { SpawnErrorKind::Setup };
    SpawnError {
        kind,
        text: format!("{what} {} cannot be read: {error}", String::from_utf8_lossy(path.as_os_str().as_bytes())),
    }
}

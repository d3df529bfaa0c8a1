//! softstop as a command that is typed: a client of one that runs, a check, a plan.

use std::process::{Command, Output, Stdio};

use super::{Running, SOFTSTOP};

/// What a command came to.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Told {
    #[track_caller]
    pub fn by(command: &mut Command) -> Told {
        Told::of(command.output().unwrap_or_else(|e| panic!("{command:?}: {e}")))
    }

    pub fn of(output: Output) -> Told {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Told { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Both streams.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    #[track_caller]
    pub fn expect(self, code: i32, word: &str) -> Told {
        self.expect_all(code, &[word])
    }

    #[track_caller]
    pub fn expect_all(self, code: i32, words: &[&str]) -> Told {
        let all = self.all();
        assert_eq!(self.code, Some(code), "{all}");
        for word in words {
            assert!(all.contains(word), "{word:?} is not in:\n{all}");
        }
        self
    }
}

/// softstop with these arguments, without any setting of the tests' own and where no configuration lies.
pub fn softstop(args: &[&str]) -> Command {
    let mut command = Command::new(SOFTSTOP);
    command.args(args);
    without_settings(&mut command);
    command
}

/// The same as `kubectl exec` runs it: in the container's namespaces, without a parent in it. `nsenter` has further words for that.
pub fn inside(running: &Running, nsenter: &[&str], args: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &running.pid().to_string(), "--pid", "--mount"]).args(nsenter).arg(SOFTSTOP).args(args);
    without_settings(&mut command);
    command
}

fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SOFTSTOP_")) {
        command.env_remove(name);
    }
    command.current_dir("/").stdin(Stdio::null());
}

/// In the container, as `kubectl exec`.
pub fn exec(running: &Running, args: &[&str]) -> Told {
    Told::by(&mut inside(running, &[], args))
}

/// In the test's own namespaces.
pub fn from_here(args: &[&str]) -> Told {
    Told::by(&mut softstop(args))
}

//! Applications of `examples/connection-close`, each with the drain that has it answer with `Connection: close`, or without that step.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common;
use crate::grpc::VENV;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/connection-close");
/// What had to be compiled.
const BUILT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/rollout-recipes");

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recipe {
    /// Its folder.
    pub name: &'static str,
    needs: &'static [&'static str],
    /// With the folder as the place it is run in and this one as the last word.
    build: &'static [&'static str],
}

pub const ALL: [Recipe; 5] = [
    Recipe { name: "node", needs: &["node"], build: &[] },
    Recipe { name: "go", needs: &["go"], build: &["go", "build", "-o", "BUILT", "main.go"] },
    Recipe { name: "nginx", needs: &["nginx"], build: &[] },
    Recipe { name: "gunicorn", needs: &["python3"], build: &[] },
    Recipe { name: "java", needs: &["java", "javac"], build: &["javac", "-d", "BUILT", "Server.java"] },
];

impl Recipe {
    /// Compiles it.
    pub fn build(&self) -> Result<(), String> {
        if let Some(missing) = self.needs.iter().find(|program| common::find(program).is_none()) {
            return Err(format!("{missing} is not installed"));
        }
        if self.name == "gunicorn" && !Path::new(VENV).join("bin/gunicorn").exists() {
            return Err("there is no gunicorn".to_owned());
        }
        let built = self.built();
        std::fs::create_dir_all(&built).map_err(|e| format!("cannot make {}: {e}", built.display()))?;
        let Some((program, words)) = self.build.split_first() else { return Ok(()) };
        let to = if self.name == "go" { built.join("server") } else { built };
        let words = words.iter().map(|word| if *word == "BUILT" { to.as_os_str() } else { word.as_ref() });
        let output = Command::new(program).args(words).current_dir(Path::new(EXAMPLES).join(self.name)).output();
        let output = output.map_err(|e| format!("{program}: {e}"))?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    fn built(&self) -> PathBuf {
        Path::new(BUILT).join(self.name)
    }

    /// The command line, its files being in a folder of `dir`. Without `tells` the step that has every answer be the last of its connection is
    /// left out.
    pub fn command(&self, softstop: &Path, tells: bool, port: u16, dir: &Path) -> Vec<String> {
        let place = dir.join(port.to_string());
        std::fs::create_dir_all(&place).unwrap();
        for from in [Path::new(EXAMPLES).join(self.name), self.built()] {
            for file in std::fs::read_dir(&from).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                std::fs::copy(&file, place.join(file.file_name().expect("it has one"))).unwrap();
            }
        }
        let change = |name: &str, changes: &[(&str, &str)]| {
            if let Ok(text) = std::fs::read_to_string(place.join(name)) {
                let text = changes.iter().fold(text, |text, (from, to)| text.replace(from, to));
                std::fs::write(place.join(name), text).unwrap();
            }
        };
        let management = (port + 10_000).to_string();
        let (port_, flag) = (port.to_string(), place.join("draining").display().to_string());
        // A path may have blanks: a quoted word in the one file, already in quotes in the other.
        let word = format!("\"{flag}\"");
        change("nginx.conf", &[("8080", &port_), ("/run/draining", &word), ("daemon off;", "daemon off;\nuser root;")]);
        change("softstop.toml", &[("8080", &port_), ("8081", &management), ("/run/draining", &flag)]);
        let file = place.join("softstop.toml");
        if !tells {
            let text = std::fs::read_to_string(&file).unwrap();
            let mut steps: Vec<&str> = text.split("[[drain]]").collect();
            assert_eq!(steps.len(), 3, "the first step tells, the second waits");
            steps.remove(1);
            std::fs::write(&file, steps.join("[[drain]]")).unwrap();
        }
        let path = format!("{VENV}/bin:{}", std::env::var("PATH").unwrap_or_default());
        let variables = [
            format!("PATH={path}"),
            format!("PORT={port}"),
            format!("MANAGEMENT_PORT={management}"),
            format!("APP={}", place.display()),
        ];
        let words = [softstop.display().to_string(), "run".into(), "-c".into(), file.display().to_string()];
        [&["env".to_owned()][..], &variables, &words].concat()
    }
}

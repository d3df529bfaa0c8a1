//! The recipes of docs/recipes, each with the real program: `softstop check` has nothing to say of its files, a drill of them passes, and
//! what is under way when the stop is requested is finished.
//!
//! The files are those of examples/recipes, as they are copied into an image, but for ports, paths and what an image has and this machine
//! has not: each replacement stands in [`Rig::new`] or with its test, and each has to be found.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests look for programs, and ask in threads")]

use std::path::Path;

use serde_json::Value;

use super::{drill, examples};
use crate::support::http::free_port;
use crate::support::{Dir, Launch, skip};

/// Debian's, whatever else comes first in PATH: their packages are Debian's, too.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

fn able(program: &str) -> bool {
    let there = PATH.split(':').any(|dir| Path::new(dir).join(program).is_file());
    if !there {
        skip(&format!("{program} is not installed"));
    }
    there
}

/// A recipe's files in a place of their own.
struct Rig {
    dir: Dir,
    port: u16,
    config: String,
}

impl Rig {
    /// `CHANGES` may have DIR for the place and PORT for its port.
    fn new(recipe: &str, changes: &[(&str, &str)]) -> Rig {
        let (dir, port, probes) = (Dir::without_spaces(), free_port(), free_port().to_string());
        let (here, number) = (dir.text("."), port.to_string());
        let mut all = vec![("listen = \":9180\"".to_owned(), format!("listen = \"127.0.0.1:{probes}\""))];
        let text = std::fs::read_to_string(examples::folder(&format!("recipes/{recipe}")).join("softstop.toml")).unwrap();
        if text.contains("8080") {
            all.push(("8080".to_owned(), number.clone()));
        }
        // Time is CI's: two seconds more than the clients of a drill here go on.
        if text.contains("minimum = \"5s\"") {
            all.push(("minimum = \"5s\"".to_owned(), "minimum = \"3s\"".to_owned()));
        }
        let own = changes.iter().map(|(from, to)| ((*from).to_owned(), to.replace("DIR", &here).replace("PORT", &number)));
        all.extend(own);
        let all: Vec<(&str, &str)> = all.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        let config = examples::copy(&dir, &format!("recipes/{recipe}"), &all);
        Rig { dir, port, config }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Clients that learn late, by a second. None of them may lose a request.
    fn passes_under_load(&self, path: &str) {
        let said = self.passes(&["--load", &self.url(path), "--lag", "1s", "--patience", "30s"]);
        let load = &said["graces"][0]["drills"][0]["load"];
        assert!(load["ok"].as_u64() > Some(20) && load["failures"].as_array().is_some_and(Vec::is_empty), "{load:#}");
    }

    /// It fits, nothing is found, and nobody needed SIGKILL; what the drill said.
    fn passes(&self, flags: &[&str]) -> Value {
        let (code, said, all) = drill::drill(&self.config, flags);
        assert!(code == 0 && drill::findings(&said).is_empty(), "{all}");
        let run = &said["graces"][0]["drills"][0];
        assert_eq!(run["exit_code"], 0, "{all}");
        assert!(run["stop"]["forced"].as_array().is_some_and(Vec::is_empty), "{all}");
        said
    }
}

/// As in the image, and beside the pod's manifest.
#[test]
fn a_check_has_nothing_to_say_of_a_recipe_and_its_pod() {
    let folder = examples::folder("recipes");
    let mut found = 0;
    for recipe in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let [config, pod] = ["softstop.toml", "pod.yaml"].map(|file| recipe.join(file).to_str().unwrap().to_owned());
        Launch::new(["check", "--strict", "-c", &config, "--pod", &pod]).not_pid1().run().expect_code(0).expect("ok");
        found += 1;
    }
    assert!(found >= 2, "{found} recipes");
}

#[test]
fn nginx_by_its_recipe_loses_no_request() {
    if !able("nginx") {
        return;
    }
    let rig = Rig::new(
        "nginx",
        &[("/etc/nginx/nginx.conf", "DIR/nginx.conf"), ("/tmp/", "DIR/"), ("/usr/share/nginx/html", "DIR")],
    );
    rig.passes_under_load("/healthz");
}

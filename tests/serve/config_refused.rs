//! I11 with the real binary: of a configuration that is wrong it starts nothing, and says where it is wrong.

use softstop::config::check::{decode, read};

use crate::mistakes::edits::from_seed;
use crate::mistakes::env;
use crate::support::{Dir, Launch};

/// Some of the random ones of `tests/core/simulation_config.rs`, and the one process would leave a mark.
#[test]
fn the_binary_starts_nothing() {
    let dir = Dir::new();
    let (mark, mut tried) = (dir.text("started"), 0);
    let command = format!("command = [\"touch\", \"{mark}\"]");
    for seed in 0.. {
        let mistake = from_seed(seed);
        let text = String::from_utf8_lossy(&mistake.bytes).into_owned();
        if !mistake.refused || mistake.kind == "not UTF-8" {
            continue;
        }
        let text: String = text
            .lines()
            .map(|l| if l.starts_with("command = [") { &command } else { l })
            .fold(String::new(), |t, l| t + l + "\n");
        let at = match decode(text.as_bytes(), "f").and_then(|t| read(t, "f", &env)) {
            Ok(_) => panic!("seed {seed}: accepted once its commands are others:\n{text}"),
            Err(problems) => problems.list.iter().flat_map(|p| p.places.clone()).find_map(|p| p.position),
        };
        let file = dir.write("softstop.toml", &text);
        let ended = Launch::new(["run", "-c", &file]).env("HOST", "db").not_pid1().run();
        ended.expect_code(78).expect("help: ").expect("nothing was started");
        if let Some(at) = at {
            ended.expect(&format!("{file}:{}:{}", at.line, at.column));
        }
        assert!(!dir.path("started").exists(), "seed {seed}: something was started:\n{text}");
        tried += 1;
        if tried == 50 {
            return;
        }
    }
}

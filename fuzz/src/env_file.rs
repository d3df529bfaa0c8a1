//! A file of variables in each format: no panic, names that are names, values that a program can have, messages of one line.

use softstop::config::EnvFormat;
use softstop::config::env_file::{MAX_BYTES, parse};

pub fn target(data: &[u8]) {
    let variable = |name: &str| (name == "HOST").then(|| "db ${N} \u{e9}".to_owned());
    for format in [EnvFormat::Docker, EnvFormat::Dotenv, EnvFormat::Foreman] {
        match parse(data, format, &variable) {
            Ok(parsed) => {
                let lines = data.split(|byte| *byte == b'\n').count();
                assert!(parsed.doubts.iter().all(|line| (1..=lines).contains(line)));
                assert!(data.len() <= MAX_BYTES);
                for (name, value) in &parsed.variables {
                    assert!(!name.is_empty() && !name.contains(['=', '\0']), "{name:?}");
                    assert!(!value.contains('\0'), "{value:?}");
                }
            }
            Err(wrong) => {
                super::assert_one_line(&wrong.to_string());
                assert!(wrong.line >= 1);
            }
        }
    }
}

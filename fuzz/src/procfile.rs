//! A Procfile: no panic, a process or a mistake for each line that says something, and lines for a shell that are the file's own but for
//! one `exec`.

use softstop::config::procfile::{form, read};

pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match read(text, "dir/Procfile", &super::variable) {
        Ok((mut config, warnings)) => {
            assert!(!config.processes.is_empty());
            warnings.iter().for_each(|warning| super::assert_one_line(&warning.sentence));
            for process in &config.processes {
                let script = process.command.last().and_then(|script| script.to_str()).expect("a script");
                let own = [script.to_owned(), script.replacen("exec ", "", 1)];
                assert!(
                    own.iter().any(|script| text.contains(script.as_str())) || script.contains("exec "),
                    "{script:?}"
                );
                assert!(!script.contains('\0'));
            }
            let count = config.processes.len();
            match form(&mut config, 60_000, &[("all".to_owned(), 2)]) {
                Ok(()) => assert_eq!(config.processes.len(), 2 * count),
                Err(why) => super::assert_one_line(&why),
            }
        }
        Err(problems) => {
            assert!(!problems.list.is_empty());
            for problem in &problems.list {
                super::assert_one_line(&problem.sentence);
                assert!(!problem.places.is_empty() && !problem.help.is_empty());
            }
            let _shown = problems.to_string();
        }
    }
}

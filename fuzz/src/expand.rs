//! `${VAR}` in a string.

use softstop::config::expand::{MOST, expand};

pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match expand(text, &super::variable, &mut Some(MOST)) {
        Ok(expanded) => assert!(text.contains('$') || expanded == text, "changed without a dollar sign"),
        Err(wrong) => {
            assert!(!wrong.is_empty(), "refused for nothing");
            for problem in wrong {
                assert!(text.contains(&problem.piece), "{problem:?} is not in {text:?}");
                assert!(!problem.sentence.is_empty() && !problem.help.is_empty(), "{problem:?}");
            }
        }
    }
    // Doubled dollar signs mean the text itself, whatever follows them.
    let quoted = text.replace('$', "$$");
    assert_eq!(expand(&quoted, &|_| None, &mut Some(MOST)).as_deref(), Ok(text));
}

//! For CI: a test case for each grace, which fails with what was found. Pure.

use std::fmt::Write;

use super::{Drilled, found, sentence};

impl Drilled<'_> {
    pub fn junit(&self) -> String {
        let failed = self.all.iter().filter(|(verdict, _)| !verdict.fits).count();
        let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
        let _ = writeln!(xml, "<testsuite name=\"softstop drill\" tests=\"{}\" failures=\"{failed}\">", self.all.len());
        for (verdict, _) in self.all {
            let name = escaped(&format!("{} stops within {:?}", self.setup.command, verdict.grace.0));
            let took = verdict.took.map_or(0.0, |took| took.slowest.0.as_secs_f64());
            let _ = writeln!(xml, "  <testcase classname=\"softstop.drill\" name=\"{name}\" time=\"{took:.3}\">");
            if !verdict.fits {
                let each = verdict.findings.iter();
                let text: String =
                    each.map(|one| format!("{}\nhelp: {}\n", found(one, verdict.runs), one.finding.help)).collect();
                let (message, text) = (escaped(&sentence(verdict)), escaped(&text));
                let _ = writeln!(xml, "    <failure message=\"{message}\">{text}</failure>");
            }
            xml.push_str("  </testcase>\n");
        }
        xml + "</testsuite>\n"
    }
}

/// What XML 1.0 does not know has no place in it, not even escaped.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || ['\u{fffe}', '\u{ffff}'].contains(&c) => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_name_is_it_stays_text(text in any::<String>()) {
            let escaped = escaped(&text);
            prop_assert!(!escaped.contains(['<', '>', '"']));
            prop_assert!(escaped.chars().all(|c| !c.is_control() || ['\n', '\t'].contains(&c)));
        }
    }
}

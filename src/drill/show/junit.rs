//! For CI: a test case for each grace, which fails with what was found. Pure.

use std::fmt::Write;

use super::{Drilled, found, sentence};
use crate::text::xml as xml_text;

impl Drilled<'_> {
    pub fn junit(&self) -> String {
        let failed = self.all.iter().filter(|(result, _)| !result.fits).count();
        let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
        let _ = writeln!(xml, "<testsuite name=\"softstop drill\" tests=\"{}\" failures=\"{failed}\">", self.all.len());
        for (result, _) in self.all {
            let name = xml_text(&format!("{} stops within {:?}", self.setup.command, result.grace.0));
            let took = result.took.map_or(0.0, |took| took.slowest.0.as_secs_f64());
            let _ = writeln!(xml, "  <testcase classname=\"softstop.drill\" name=\"{name}\" time=\"{took:.3}\">");
            if !result.fits {
                let each = result.findings.iter();
                let text: String =
                    each.map(|one| format!("{}\nhelp: {}\n", found(one, result.runs), one.finding.help)).collect();
                let (message, text) = (xml_text(&sentence(result)), xml_text(&text));
                let _ = writeln!(xml, "    <failure message=\"{message}\">{text}</failure>");
            }
            xml.push_str("  </testcase>\n");
        }
        xml + "</testsuite>\n"
    }
}

//! In the place of `explain`, where that is not built in: what the keys mean takes more bytes than the init of a container has use for.

use super::reading::UsageText;
use crate::exit;

/// # Errors
/// Always.
pub fn schema() -> Result<&'static str, UsageText> {
    Err(without())
}

/// # Errors
/// Always.
pub fn key(_: Option<&str>, _: usize) -> Result<String, UsageText> {
    Err(without())
}

fn without() -> UsageText {
    let why = "this softstop was built without the meanings of keys, as those of images are; a whole one has them, and docs/configuration.md";
    UsageText { text: format!("error: {why}\n"), code: exit::FAILED }
}

//! `wait_file`: until a file is there, is gone, or has a text in it. Pure.

use std::path::PathBuf;

use super::super::declare::table;
use super::super::kinds::{Bool, FilePath, strings};
use super::super::reader::{Field, Reader};
use super::super::task::Site;
use super::super::values::Wrong;
use super::{Handler, beside};

/// Of the text to look for in a file.
const MOST_TEXT: usize = 1024;

/// `wait_file`: until a file is there, or is not, or has a text in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitFile {
    pub path: PathBuf,
    /// What is waited for: that it is there, or that it is gone.
    pub exists: bool,
    pub contains: Option<String>,
}

table! {
    pub struct WaitFileKeys in "wait_file" {
        path: FilePath { required: true };
        /// `false`: wait until it is gone.
        exists: Bool = true;
        /// A text in its first 1 MiB, at most 1024 bytes.
        contains: FileText { unset: "none" };
    }
}

strings! {
    FileText String, "string", r"[\s\S]+", ["\"done\""],
        |reader, field, _| reader.parsed(field, "write the text in quotes", text);
}

pub fn read(reader: &mut Reader<'_>, field: &Field<'_>, _: Option<&Site<'_>>) -> Option<Handler> {
    let example = "write wait_file = { path = \"/run/done\" }";
    let keys = reader.table::<WaitFileKeys<'_>>(field, example)?;
    let path = keys.path.required(reader, &keys.table, example);
    let exists = keys.exists.read_or(reader, WaitFileKeys::exists);
    let contains = keys.contains.read(reader);
    if contains.is_none() && keys.contains.is_given() {
        return None;
    }
    if let (Some(false), Some(one), Some(other)) = (exists, &keys.contains.field, &keys.exists.field) {
        beside(reader, one, other, " = false: a file that is gone has no text", "keep one");
        return None;
    }
    Some(Handler::WaitFile(WaitFile { path: path?, exists: exists?, contains }))
}

fn text(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.len() > MOST_TEXT {
        let help = format!("write 1 to {MOST_TEXT} bytes, or leave it out: that the file is there is enough then");
        return Err(Wrong::new(format!("`contains` has {} bytes", text.len()), help));
    }
    Ok(text.to_owned())
}

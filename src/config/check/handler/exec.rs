//! `exec`, and the `command` of a process: a program and its arguments. Pure.

use std::ffi::OsString;

use super::super::declare::{Form, Shape};
use super::super::kinds::{Kind, kind};
use super::super::reader::{Field, Reader};
use super::super::task::Site;
use super::super::{shell_syntax, values};
use super::Handler;

kind! {
    /// A program and its arguments.
    Command: Vec<OsString> = read_command, &Shape::Array(&Shape::Text(Form {
        name: "string",
        pattern: "",
        examples: &["\"true\"", "'echo $HOME'", "\"${HOST}\""],
    }))
}

fn read_command(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<Vec<OsString>> {
    let name = field.name;
    if let Some(text) = field.value.get_ref().as_str() {
        let sentence = format!("`{name}` must be an array: nothing splits it, and no shell runs it");
        reader.error(&field.span(), sentence, format!("write {name} = {}", values::command_as_array(text)));
        return None;
    }
    let elements = reader.elements(field, "an array of strings", "write {name} = [\"program\", \"argument\"]")?;
    let words: Vec<Option<String>> = elements.iter().map(|e| reader.text(e, "write each element in quotes")).collect();
    match words.first() {
        None => {
            let help = format!("write {name} = [\"program\", \"argument\"]");
            reader.error(&field.span(), format!("`{name}` is empty"), help);
        }
        Some(Some(program)) if program.trim().is_empty() => {
            let help = "write the program to run, such as \"/app/server\"";
            reader.error(&elements[0].span(), "the program's name is empty", help);
            return None;
        }
        Some(Some(line)) if words.len() == 1 && shell_syntax::is_command_line(line) => {
            let help = format!("write {name} = {}", values::for_a_shell(line));
            reader.error(&elements[0].span(), "a shell's command line in one element: no shell runs it", help);
            return None;
        }
        Some(Some(program)) if words.len() == 1 && program.contains(char::is_whitespace) => {
            let help =
                format!("write each argument as an element of its own: {name} = {}", values::command_as_array(program));
            reader.warn(&elements[0].span(), "the program's name contains a space", help);
        }
        Some(_) => shell_syntax::check(reader, name, &elements, &words),
    }
    let words: Vec<OsString> = words.into_iter().collect::<Option<Vec<_>>>()?.into_iter().map(OsString::from).collect();
    if let (Some(element), Some(program)) = (elements.first(), words.first()) {
        reader.expect_program(&element.span(), program);
    }
    (!words.is_empty()).then_some(words)
}

pub fn read(reader: &mut Reader<'_>, field: &Field<'_>, _: Option<&Site<'_>>) -> Option<Handler> {
    Command::read(reader, field, "").map(Handler::Exec)
}

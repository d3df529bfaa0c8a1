//! `env_file`: files of variables, read when the program starts. Pure.

use std::path::PathBuf;

use super::declare::{Declared, Shape, table};
use super::kinds::{Bool, FilePath, Kind, Shaped, Word, kind};
use super::reader::{Field, Reader};
use crate::config::env_file::EnvFormat;

/// A file of variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFile {
    pub path: PathBuf,
    pub format: EnvFormat,
    /// It need not be there.
    pub optional: bool,
}

table! {
    pub struct EnvFileKeys in "env_file" {
        /// A relative one from where softstop was started.
        path: FilePath { required: true };
        /// `docker`: as `docker run --env-file` reads it, what stands behind the equals sign is the value. `dotenv`: as Compose reads it, with quotes,
        /// comments, `export` and `${NAME}`. `foreman`: as foreman reads the `.env` beside a [Procfile](local.md).
        format: Word<EnvFormat> = EnvFormat::Docker;
        /// Without the file it starts all the same.
        optional: Bool = false;
    }
}

pub const HELP: &str = "write env_file = \"/etc/app.env\", or env_file = { path = \".env\", format = \"dotenv\" }";

const ONE: &Shape = &Shape::Any(&[FilePath::SHAPE, &Shape::Table(EnvFileKeys::DESCRIBED)]);

kind! {
    /// A path, a table, or an array of both.
    EnvFiles: Vec<EnvFile> = |reader, field, help| {
        let files = field.elements().unwrap_or_else(|| vec![field.clone()]);
        Some(files.iter().filter_map(|file| one(reader, file, help)).collect())
    }, &Shape::Any(&[FilePath::SHAPE, &Shape::Table(EnvFileKeys::DESCRIBED), &Shape::Array(ONE)])
}

fn one(reader: &mut Reader<'_>, file: &Field<'_>, help: &str) -> Option<EnvFile> {
    if file.value.get_ref().is_str() {
        let path = FilePath::read(reader, file, "")?;
        return Some(EnvFile { path, format: EnvFormat::Docker, optional: false });
    }
    let keys = reader.table::<EnvFileKeys<'_>>(file, help)?;
    let path = keys.path.required(reader, &keys.table, help);
    let format = keys.format.read(reader).unwrap_or(EnvFileKeys::format);
    let optional = keys.optional.read(reader).unwrap_or(EnvFileKeys::optional);
    path.map(|path| EnvFile { path, format, optional })
}

//! What a program may: `umask`, `rlimits`, `nice`, `oom_score_adj` and their like. Pure.

use toml::de::DeValue;

use super::capabilities::Capabilities;
use super::declare::{Declared, Form, Shape, table};
use super::kinds::{Kind, kind};
use super::reader::{Field, Reader};
use crate::nearest::nearest;

/// What is not said stays as it is with softstop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub umask: Option<u16>,
    /// Each resource once.
    pub rlimits: Vec<Rlimit>,
    /// -20 to 19.
    pub nice: Option<i8>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i16>,
    /// What it executes can give it no more rights.
    pub no_new_privs: bool,
    pub capabilities: Option<Capabilities>,
}

impl Limits {
    /// A hook's own, and its process's where it says nothing.
    #[must_use]
    pub fn within(&self, process: &Limits) -> Limits {
        let others = process.rlimits.iter().filter(|r| !self.rlimits.iter().any(|own| own.resource == r.resource));
        Limits {
            umask: self.umask.or(process.umask),
            rlimits: others.chain(&self.rlimits).copied().collect(),
            nice: self.nice.or(process.nice),
            oom_score_adj: self.oom_score_adj.or(process.oom_score_adj),
            no_new_privs: self.no_new_privs || process.no_new_privs,
            capabilities: self.capabilities.or(process.capabilities),
        }
    }
}

/// A limit of resources. `None`: as it is with softstop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    pub resource: Resource,
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

/// No limit, as the kernel has it.
pub const UNLIMITED: u64 = u64::MAX;

/// One of the resources that have a limit: its place in [`Resource::NAMES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resource(pub usize);

impl Resource {
    /// As docker's `--ulimit` calls them.
    pub const NAMES: [&'static str; 16] = [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];

    pub fn named(name: &str) -> Option<Resource> {
        Resource::NAMES.iter().position(|known| *known == name).map(Resource)
    }

    pub fn name(self) -> &'static str {
        Resource::NAMES.get(self.0).copied().unwrap_or_default()
    }
}

// === umask ===

kind! {
    /// Octal, as umask(1) has it.
    Umask: u16 = read_umask, &Shape::Text(Form {
        name: "octal number as a string",
        pattern: "[0-7]{1,4}",
        examples: &["\"022\"", "\"0077\""],
    })
}

fn read_umask(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<u16> {
    const HELP: &str = "write it in octal and in quotes: umask = \"027\"";
    // `umask = 22` would be decimal: 026.
    if field.value.get_ref().is_integer() {
        reader.error(&field.span(), "`umask` is octal, and this number is not", HELP);
        return None;
    }
    let text = reader.text(field, HELP)?;
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mask = u16::from_str_radix(&text, 8).ok().filter(|mask| digits && *mask <= 0o777);
    if mask.is_none() {
        reader.error(&field.span(), format!("{text:?} is no umask"), HELP);
    }
    mask
}

// === nice, oom_score_adj ===

kind! {
    Nice: i8 = |reader, field, help| reader.integer(field, -20, 19, help), &Shape::Integer(-20, 19)
}

kind! {
    OomScoreAdj: i16 = |reader, field, help| reader.integer(field, -1000, 1000, help), &Shape::Integer(-1000, 1000)
}

// === rlimits ===

table! {
    pub struct RlimitKeys in "rlimits" {
        /// What holds.
        soft: Bound { unset: "softstop's own, or `hard` if that is less", words: "number or `\"unlimited\"`" };
        /// Up to where it may raise that itself.
        hard: Bound { unset: "softstop's own", words: "number or `\"unlimited\"`" };
    }
}

kind! {
    /// A number, or none.
    Bound: u64 = read_bound, &Shape::Any(&[&Shape::Integer(0, i64::MAX), &Shape::Words(|| &["unlimited"])])
}

fn read_bound(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<u64> {
    const HELP: &str = "write a number such as 65536, or \"unlimited\"";
    match field.value.get_ref() {
        DeValue::String(text) if text.trim() == "unlimited" => Some(UNLIMITED),
        DeValue::String(text) if !text.contains("${") => {
            reader.error(&field.span(), format!("{text:?} is no limit"), HELP);
            None
        }
        _ => reader.integer(field, 0, i64::MAX, HELP),
    }
}

kind! {
    /// `{ nofile = 65536, core = "unlimited", nproc = { soft = 100, hard = 200 } }`.
    Rlimits: Vec<Rlimit> = read_rlimits, &Shape::Map(
        Form { name: "", pattern: "[a-z]+", examples: &["nofile"] },
        &Shape::Any(&[Bound::SHAPE, &Shape::Table(RlimitKeys::DESCRIBED)]),
    )
}

fn read_rlimits(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Vec<Rlimit>> {
    let entries = reader.map(field, help)?;
    let mut list = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let Some(resource) = Resource::named(name) else {
            let help = match nearest(name, Resource::NAMES) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", super::keys::list(&Resource::NAMES)),
            };
            reader.error(&key.span(), format!("there is no resource `{name}` with a limit"), help);
            continue;
        };
        let field = Field::new(key, value);
        let (soft, hard) = if value.get_ref().is_table() {
            let Some(keys) = reader.table::<RlimitKeys<'_>>(&field, help) else { continue };
            (keys.soft.read(reader), keys.hard.read(reader))
        } else {
            let both = Bound::read(reader, &field, "");
            (both, both)
        };
        if let (Some(soft), Some(hard)) = (soft, hard)
            && soft > hard
        {
            reader.error(&field.span(), "the soft limit is above the hard one", "raise `hard`, or lower `soft`");
        }
        list.push(Rlimit { resource, soft, hard });
    }
    Some(list)
}

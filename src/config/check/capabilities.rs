//! `capabilities`: what a program keeps and gets of softstop's rights, in the words of Kubernetes. Pure.

use std::fmt;

use super::declare::{Form, Shape, table};
use super::kinds::kind;
use super::reader::{Field, Reader};
use crate::nearest::nearest;

/// A set of capabilities: a bit for each, by its number.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    pub const ALL: CapabilitySet = CapabilitySet(u64::MAX);
    /// By number, as Kubernetes and docker call them.
    pub const NAMES: [&'static str; 41] = [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ];

    /// `"NET_BIND_SERVICE"`, `"CAP_KILL"`, `"ALL"`, in any case.
    pub fn named(name: &str) -> Option<CapabilitySet> {
        let upper = name.trim().to_ascii_uppercase();
        if bare(&upper) == "ALL" {
            return Some(CapabilitySet::ALL);
        }
        CapabilitySet::NAMES.iter().position(|known| *known == bare(&upper)).map(|number| CapabilitySet(1 << number))
    }

    #[must_use]
    pub fn with(self, other: CapabilitySet) -> CapabilitySet {
        CapabilitySet(self.0 | other.0)
    }

    #[must_use]
    pub fn without(self, other: CapabilitySet) -> CapabilitySet {
        CapabilitySet(self.0 & !other.0)
    }

    #[must_use]
    pub fn and(self, other: CapabilitySet) -> CapabilitySet {
        CapabilitySet(self.0 & other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers of those in it, from the lowest on. Neither allocates nor panics.
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        (0..u64::BITS).filter(move |number| self.0 >> number & 1 == 1)
    }

    /// What number `n` is called.
    pub fn name(n: u32) -> String {
        let known = usize::try_from(n).ok().and_then(|n| CapabilitySet::NAMES.get(n));
        known.map_or_else(|| format!("number {n}"), |name| (*name).to_owned())
    }
}

fn bare(name: &str) -> &str {
    name.strip_prefix("CAP_").unwrap_or(name)
}

/// Their names.
impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = || self.numbers().map(CapabilitySet::name).collect::<Vec<_>>().join(", ");
        f.write_str(&if *self == CapabilitySet::ALL { "ALL".to_owned() } else { names() })
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// What a program keeps and gets of softstop's capabilities, in the words of Kubernetes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Taken away for good, from it and all that it starts; but what is in `add`.
    pub drop: CapabilitySet,
    /// Kept whoever it runs as.
    pub add: CapabilitySet,
}

table! {
    pub struct CapabilityKeys in "capabilities" {
        /// Taken away for good, from it and from all that it starts: names such as `"NET_RAW"`, or `"ALL"`. But not what is in `add`.
        drop: Names { unset: "none", words: "array of names" };
        /// What it has whoever it runs as, of those that softstop has itself: names, or `"ALL"`. For another user than root in its ambient set, too, so
        /// that what it executes has them.
        add: Names { unset: "none", words: "array of names" };
    }
}

pub const HELP: &str = "write capabilities = { drop = [\"ALL\"], add = [\"NET_BIND_SERVICE\"] }";

kind! {
    /// Names of capabilities.
    Names: CapabilitySet = read_names, &Shape::Array(&Shape::Text(Form {
        name: "string",
        pattern: r"\s*[A-Za-z_]+\s*",
        examples: &["\"NET_BIND_SERVICE\"", "\"CAP_KILL\"", "\"ALL\""],
    }))
}

fn read_names(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<CapabilitySet> {
    let elements = reader.elements(field, "an array of capabilities", "write {name} = [\"NET_BIND_SERVICE\"]")?;
    let mut set = CapabilitySet::default();
    for element in &elements {
        let Some(name) = reader.text(element, "write a name in quotes, such as \"NET_BIND_SERVICE\"") else {
            continue;
        };
        match CapabilitySet::named(&name) {
            Some(one) => set = set.with(one),
            None => {
                let near = nearest(bare(&name.trim().to_ascii_uppercase()), CapabilitySet::NAMES);
                let help = near.map(|near| format!("did you mean \"{near}\"?"));
                let help = help.unwrap_or("capabilities(7) lists them; without CAP_ or with it, or \"ALL\"".to_owned());
                reader.error(&element.span(), format!("there is no capability {name:?}"), help);
            }
        }
    }
    Some(set)
}

pub fn capabilities(reader: &mut Reader<'_>, keys: &CapabilityKeys<'_>) -> Capabilities {
    Capabilities { drop: keys.drop.read(reader).unwrap_or_default(), add: keys.add.read(reader).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_known_as_people_write_them() {
        let bind = CapabilitySet(1 << 10);
        for name in ["NET_BIND_SERVICE", "CAP_NET_BIND_SERVICE", "net_bind_service", " cap_net_bind_service "] {
            assert_eq!(CapabilitySet::named(name), Some(bind), "{name}");
        }
        assert_eq!(CapabilitySet::named("all"), Some(CapabilitySet::ALL));
        assert_eq!(CapabilitySet::named("NET_BIND"), None);
        assert_eq!(bind.with(CapabilitySet(1)).to_string(), "CHOWN, NET_BIND_SERVICE");
        assert_eq!(CapabilitySet::ALL.without(CapabilitySet(u64::MAX - 1)).numbers().collect::<Vec<_>>(), [0]);
        assert_eq!(CapabilitySet::name(50), "number 50");
        // The last that the kernel's header has.
        assert_eq!(CapabilitySet::named("CHECKPOINT_RESTORE"), Some(CapabilitySet(1 << 40)));
    }
}

//! Which program softstop is called as: by the name that it was started under, or `softstop as NAME`. Pure.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::text::one_line;

/// One of the programs that softstop can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    Tini,
    DumbInit,
    Catatonit,
}

/// Every name there is. Docker mounts its init as `docker-init`, and that is tini; podman mounts its own as `podman-init`, and that is catatonit.
pub const NAMES: [(&str, Name); 6] = [
    ("tini", Name::Tini),
    ("tini-static", Name::Tini),
    ("docker-init", Name::Tini),
    ("dumb-init", Name::DumbInit),
    ("catatonit", Name::Catatonit),
    ("podman-init", Name::Catatonit),
];

/// What a command line is to be read as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Called {
    /// That program, with its own command line: the name it was given, and what follows.
    As(Name, Vec<OsString>),
    /// `softstop as`, and no program of ours behind it. The whole command line is softstop's to refuse.
    Unknown(Option<OsString>),
    /// softstop itself.
    Softstop,
}

impl Called {
    pub fn of(args: &[OsString]) -> Called {
        if let Some(name) = args.first().and_then(name) {
            return Called::As(name, args.to_vec());
        }
        match args.get(1..) {
            Some([word, rest @ ..]) if word == "as" => match rest.first().and_then(name) {
                Some(name) => Called::As(name, rest.to_vec()),
                None => Called::Unknown(rest.first().cloned()),
            },
            _ => Called::Softstop,
        }
    }
}

/// What is wrong with `softstop as` and another name.
pub fn unknown(name: Option<&OsStr>) -> String {
    let what = match name {
        Some(name) => format!("softstop as {}: softstop is none of that name", one_line(&name.to_string_lossy())),
        None => "softstop as: which program?".to_owned(),
    };
    format!("{what}; it can be tini, dumb-init or catatonit: softstop as tini -- CMD")
}

/// By the last part of a path.
fn name(path: &OsString) -> Option<Name> {
    let last = Path::new(path).file_name()?;
    NAMES.iter().find(|(name, _)| last == *name).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(line: &str) -> Called {
        Called::of(&words(line))
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_last_part_of_the_name_decides() {
        for (path, name) in [
            ("tini", Name::Tini),
            ("/sbin/tini", Name::Tini),
            ("/usr/bin/tini-static", Name::Tini),
            ("/sbin/docker-init", Name::Tini),
            ("/usr/local/bin/dumb-init", Name::DumbInit),
            ("./catatonit", Name::Catatonit),
            ("/catatonit", Name::Catatonit),
            ("/run/podman-init", Name::Catatonit),
        ] {
            assert_eq!(called(&format!("{path} -- as tini")), Called::As(name, words(&format!("{path} -- as tini"))));
        }
        for softstop in
            ["softstop -- tini", "/softstop run", "", "softstop", "my-tini -- x", "tini/softstop -- x", "init x"]
        {
            assert_eq!(called(softstop), Called::Softstop, "{softstop:?}");
        }
    }

    #[test]
    fn softstop_as_has_the_programs_own_command_line_behind_it() {
        assert_eq!(called("/softstop as dumb-init -c x"), Called::As(Name::DumbInit, words("dumb-init -c x")));
        assert_eq!(called("softstop as /usr/bin/tini"), Called::As(Name::Tini, words("/usr/bin/tini")));
        assert_eq!(called("softstop as runit x"), Called::Unknown(Some("runit".into())));
        assert_eq!(called("softstop as"), Called::Unknown(None));
    }
}

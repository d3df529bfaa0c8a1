//! The `SOFTSTOP_` variables, as the flags declare them: which are settings of a softstop that runs something, and which are none at all.

use std::ffi::{OsStr, OsString};

use super::commands::ConfigFile;
use super::declare::Group;
use super::flags::{Common, Own};
use crate::nearest::nearest;
use crate::sorted;
use crate::text::one_line;
use crate::variables;

const PREFIX: &str = "SOFTSTOP_";
/// So many are warned of one by one.
const NAMED: usize = 10;

/// Who runs something, and so has settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Wrapper,
    Run,
}

/// The variables of a group of flags.
fn names<G: Group>() -> impl Iterator<Item = &'static str> {
    G::ROWS.iter().map(|row| row.flag.variable).filter(|name| !name.is_empty())
}

impl Who {
    /// What it reads.
    fn reads(self, name: &str) -> bool {
        let own = match self {
            Who::Wrapper => is_of_the_wrapper_alone(name),
            Who::Run => names::<ConfigFile>().any(|known| known == name),
        };
        own || names::<Common>().any(|known| known == name)
    }
}

/// Every variable that softstop reads. Clients and other commands read some of the same.
fn all() -> impl Iterator<Item = &'static str> {
    names::<Common>().chain(names::<Own>()).chain(names::<ConfigFile>())
}

/// The flag for which it stands, without its dashes.
pub fn flag(name: &str) -> Option<&'static str> {
    let common = Common::ROWS.iter().map(|row| &row.flag);
    common.chain(Own::ROWS.iter().map(|row| &row.flag)).find(|flag| flag.variable == name).map(|flag| flag.long)
}

/// It means something to the wrapper and nothing to `run`.
pub fn is_of_the_wrapper_alone(name: &str) -> bool {
    names::<Own>().any(|known| known == name)
}

/// A setting of this softstop, or of one like it: not handed down to what it runs. What the wrapper does not read itself it passes
/// on: `softstop run` behind it may have nothing else to find its configuration by.
fn is_own(who: Who, name: &str) -> bool {
    who.reads(name) || who == Who::Run && is_of_the_wrapper_alone(name)
}

/// What is wrong with a variable of that name, and what to do, each without a full stop; `None`: nothing, or it is none of ours.
pub fn wrong(who: Who, name: &str) -> Option<(String, String)> {
    let bare = name.strip_prefix(PREFIX)?;
    if variables::ALL.iter().any(|(known, _)| *known == name) || who.reads(name) || is_service_link(bare) {
        return None;
    }
    if all().any(|known| known == name) {
        // Clients of the wrapper read others.
        return (who == Who::Run).then(|| {
            let sentence = format!("{name} is a setting of the wrapper alone: softstop run does not read it");
            (sentence, "write it into the configuration".to_owned())
        });
    }
    let mut known: Vec<&str> = all().filter_map(|known| known.strip_prefix(PREFIX)).collect();
    sorted::sort(&mut known);
    let help = match nearest(bare, known) {
        Some(near) => format!("did you mean {PREFIX}{near}?"),
        None => {
            "softstop --help has those that there are; a variable of your own is better called otherwise".to_owned()
        }
    };
    Some((format!("{} is no variable of softstop", one_line(name)), help))
}

/// What Kubernetes sets for a Service whose name begins with `softstop`.
fn is_service_link(bare: &str) -> bool {
    let ends = ["SERVICE_HOST", "SERVICE_PORT", "PORT"];
    let parts: Vec<&str> = bare.split('_').collect();
    let port = parts.iter().rposition(|part| *part == "PORT");
    // NAME_PORT_80_TCP, NAME_PORT_80_TCP_ADDR, NAME_SERVICE_PORT_HTTP.
    let of_port = port.is_some_and(|at| parts.get(at + 1).is_some_and(|n| n.parse::<u16>().is_ok()));
    let named = bare.contains("SERVICE_PORT_");
    of_port || named || ends.iter().any(|end| bare == *end || bare.ends_with(&format!("_{end}")))
}

/// Whether any variable is a setting of a softstop that runs something: its value is not empty.
pub fn any_setting(mut all: impl Iterator<Item = (OsString, OsString)>) -> bool {
    all.any(|(name, value)| !value.is_empty() && name.to_str().is_some_and(|name| is_own(Who::Run, name)))
}

/// What softstop hands down of its environment, and what is to be said of it.
#[derive(Default, Debug)]
pub struct Environment {
    /// Without its own settings.
    pub handed_down: Vec<(OsString, OsString)>,
    /// Of variables that nobody reads: a line each.
    pub warnings: Vec<String>,
}

impl Environment {
    /// `used`: what the configuration refers to as `${NAME}`, which is the user's own by that.
    pub fn new(all: Vec<(OsString, OsString)>, who: Who, used: &dyn Fn(&str) -> bool) -> Environment {
        // Most environments have nothing of it.
        if !all.iter().any(|(name, _)| is_ours(name)) {
            return Environment { handed_down: all, warnings: Vec::new() };
        }
        let mut warnings: Vec<String> = Vec::new();
        let mut more = 0;
        for name in all.iter().filter_map(|(name, _)| name.to_str()).filter(|name| !used(name)) {
            let Some((sentence, help)) = wrong(who, name) else { continue };
            if warnings.len() < NAMED {
                warnings.push(format!("{sentence}; {help}"));
            } else {
                more += 1;
            }
        }
        if more > 0 {
            warnings.push(format!("{more} more variables begin with {PREFIX} and are none of softstop's"));
        }
        let is_own = |name: &OsStr| name.to_str().is_some_and(|name| is_own(who, name));
        let handed_down = all.into_iter().filter(|(name, _)| !is_own(name)).collect();
        Environment { handed_down, warnings }
    }
}

/// It begins as softstop's do.
pub(super) fn is_ours(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(who: Who, names: &[&str]) -> Environment {
        let all = names.iter().map(|name| (OsString::from(name), OsString::from("1")));
        Environment::new(all.collect(), who, &|name| name == "SOFTSTOP_OF_MINE")
    }

    fn handed_down(who: Who, names: &[&str]) -> Vec<String> {
        environment(who, names).handed_down.into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
    }

    #[test]
    fn settings_are_not_handed_down_and_everything_else_is() {
        let all =
            ["PATH", "SOFTSTOP_GRACE", "SOFTSTOP_DRAIN_SLEEP", "SOFTSTOP_CONFIG", "SOFTSTOP_TEAM", "SOFTSTOP_REASON"];
        // The wrapper reads no configuration: whoever does may be behind it.
        let wrapper = handed_down(Who::Wrapper, &all);
        assert_eq!(wrapper, ["PATH", "SOFTSTOP_CONFIG", "SOFTSTOP_TEAM", "SOFTSTOP_REASON"]);
        assert_eq!(handed_down(Who::Run, &all), ["PATH", "SOFTSTOP_TEAM", "SOFTSTOP_REASON"]);
        super::all().for_each(|name| assert_eq!(handed_down(Who::Run, &[name]), [""; 0]));
        assert!(super::all().count() > 25);
    }

    /// Commands have variables of their own, and no other ones.
    #[test]
    fn every_variable_of_a_command_is_known() {
        let flags = crate::cli::commands::all()
            .flat_map(|command| command.args())
            .chain(crate::cli::flags::WRAPPER.iter().copied());
        let of_commands = flags.map(|flag| flag.variable).filter(|name| !name.is_empty());
        let of_commands: std::collections::BTreeSet<&str> = of_commands.collect();
        assert_eq!(of_commands, all().collect());
    }

    #[test]
    fn a_setting_is_one_that_is_declared_and_not_empty() {
        let any = |name: &str, value: &str| any_setting([(OsString::from(name), OsString::from(value))].into_iter());
        for name in ["SOFTSTOP_GRACE", "SOFTSTOP_CONFIG", "SOFTSTOP_DRAIN", "SOFTSTOP_LOG_LEVEL"] {
            assert!(any(name, "x") && !any(name, ""), "{name}");
        }
        for name in ["SOFTSTOP_INSTANCE", "SOFTSTOP_REASON", "SOFTSTOP_GARCE", "SOFTSTOP_PORT", "PATH"] {
            assert!(!any(name, "x"), "{name}");
        }
    }

    #[test]
    fn a_misspelt_variable_is_warned_of_with_the_nearest_name() {
        let warned = |who, name| environment(who, &[name]).warnings.concat();
        let garce = warned(Who::Wrapper, "SOFTSTOP_GARCE");
        assert_eq!(garce, "SOFTSTOP_GARCE is no variable of softstop; did you mean SOFTSTOP_GRACE?");
        assert!(warned(Who::Run, "SOFTSTOP_DRAINSLEEP").contains("did you mean SOFTSTOP_DRAIN_SLEEP?"));
        assert!(warned(Who::Wrapper, "SOFTSTOP_TEAM_COLOUR").contains("softstop --help"));
        assert!(warned(Who::Run, "SOFTSTOP_READINESS").contains("softstop run does not read it"));
        assert_eq!(warned(Who::Wrapper, "SOFTSTOP_OF_MINE"), "", "the configuration uses it");
        for fine in [
            "SOFTSTOP_GRACE",
            "SOFTSTOP_CONFIG",
            "SOFTSTOP_INSTANCE",
            "SOFTSTOP_SERVICE_HOST",
            "SOFTSTOP_PORT",
            "SOFTSTOP_PORT_80_TCP_ADDR",
            "SOFTSTOP_WEB_SERVICE_PORT_HTTP",
            "softstop_grace",
            "GRACE",
        ] {
            assert_eq!(warned(Who::Wrapper, fine), "", "{fine}");
        }
        let many: Vec<String> = (0..30).map(|n| format!("SOFTSTOP_X{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(environment(Who::Wrapper, &many).warnings.len(), NAMED + 1);
    }
}

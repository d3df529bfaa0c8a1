//! Compose files: softstop in front of a service. Pure.

use super::edit::Item;
use super::{BINARY, Change, FOLDER, Wanted, is_recorded, quoted};
use crate::config::problem::Problem;
use crate::pod::launch::is_softstop;
use crate::pod::tree::Node;

const ENTRY: &str = "entrypoint";
const GRACE: &str = "stop_grace_period";
/// As softstop's own default; Docker's is 10 s.
const DEFAULT_GRACE: &str = "30s";
/// What was written into a service that does not show by its name whose it is. Compose leaves keys with `x-` alone.
const RECORD: &str = "x-softstop-injected";
const VARIABLES: [&str; 2] = ["SOFTSTOP_GRACE", "SOFTSTOP_DRAIN"];

/// The services, where this document is a Compose file.
pub(super) fn services(document: Node<'_>) -> Option<Node<'_>> {
    document.get("services").filter(|services| services.is_mapping() && document.get("kind").is_none())
}

fn one<'a>(change: &Change<'_>, services: Node<'a>, wanted: &Wanted<'_>) -> Result<(&'a str, Node<'a>), Problem> {
    let all: Vec<(&str, Node<'_>)> = services.pairs().filter(|(_, service)| service.is_mapping()).collect();
    let (found, sentence) = match (wanted.container, all.as_slice()) {
        (Some(name), all) => (all.iter().find(|(own, _)| *own == name), format!("there is no service {name}")),
        (None, [one]) => (Some(one), String::new()),
        (None, several) => (None, format!("there are {} services", several.len())),
    };
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    found.copied().ok_or_else(|| change.which_one(&sentence, Some(services), &names))
}

/// Of its entrypoint.
fn first_word(service: Node<'_>) -> Option<&str> {
    service.get(ENTRY)?.elements().next()?.text()
}

pub(super) fn put(change: &mut Change<'_>, services: Node<'_>, wanted: &Wanted<'_>) -> Result<(), Problem> {
    let (name, service) = one(change, services, wanted)?;
    match first_word(service) {
        Some(BINARY) => return Ok(()),
        Some(program) if is_softstop(program) => {
            change.notes.push(format!("{name}: left as it is, as it runs softstop already ({program})"));
            return Ok(());
        }
        _ => {}
    }
    let image = change.image(wanted)?;
    if let Some(entry) = service.get(ENTRY).filter(|entry| entry.text().is_some()) {
        let help = r#"write it as a list of words: entrypoint: ["/entrypoint.sh", "--flag"]"#;
        return Err(change.problem("an entrypoint in one string is split by Compose", Some(entry), help));
    }
    change.put_in_front(service, [ENTRY, "command"], &format!("the service {name}"), "$", wanted)?;
    let grace = service.text_of(GRACE);
    if grace.is_none() {
        change.edits.put_key(service, GRACE, DEFAULT_GRACE)?;
        change.recorded.push(GRACE);
    }
    put_variables(change, service, [grace.unwrap_or(DEFAULT_GRACE), "auto"])?;
    let volume = Item::Mapping(vec![
        ("type", "image".to_owned()),
        ("source", quoted(image)),
        ("target", FOLDER.to_owned()),
        ("read_only", "true".to_owned()),
    ]);
    change.edits.put_items(service, "volumes", &[volume], change.edits.dashes(service, "ports").unwrap_or(2))?;
    if change.recorded.is_empty() {
        return Ok(());
    }
    change.edits.put_key(service, RECORD, &quoted(&change.recorded.join(" ")))
}

fn put_variables(change: &mut Change<'_>, service: Node<'_>, values: [&str; 2]) -> Result<(), Problem> {
    let variables = VARIABLES.into_iter().zip(values);
    match service.get("environment") {
        Some(list) if !list.is_mapping() => {
            let has = |name: &str| list.texts().iter().any(|word| word.split('=').next() == Some(name));
            let missing = variables.filter(|(name, _)| !has(name));
            let words: Vec<_> = missing.map(|(name, value)| Item::Word(quoted(&format!("{name}={value}")))).collect();
            change.edits.put_items(service, "environment", &words, 2)
        }
        _ => change.edits.put_pairs(service, "environment", &variables.collect::<Vec<_>>()),
    }
}

pub(super) fn take(change: &mut Change<'_>, services: Node<'_>) -> Result<(), Problem> {
    for (_, service) in services.pairs().filter(|(_, service)| first_word(*service) == Some(BINARY)) {
        let recorded = service.text_of(RECORD);
        change.take_from_front(service, ENTRY, recorded)?;
        if is_recorded(recorded, GRACE) {
            change.edits.take_key(service, GRACE)?;
        }
        let is_ours = |word: &str| VARIABLES.iter().any(|name| word.split('=').next() == Some(name));
        match service.get("environment") {
            Some(mapping) if mapping.is_mapping() => {
                if mapping.pairs().all(|(name, _)| is_ours(name)) {
                    change.edits.take_key(service, "environment")?;
                } else {
                    VARIABLES.iter().try_for_each(|name| change.edits.take_key(mapping, name))?;
                }
            }
            _ => change.edits.take_items(service, "environment", &|_, item| item.text().is_some_and(is_ours))?,
        }
        change.edits.take_items(service, "volumes", &|_, item| item.has("target", FOLDER))?;
        change.edits.take_key(service, RECORD)?;
    }
    Ok(())
}

//! `[sidecar]`. Pure.

use std::time::Duration;

use super::reader::{Field, Reader};
use super::{keys, values, wait};
use crate::config::{Follow, Sidecar};

/// An image of the main container that is still to be pulled takes minutes.
const APPEAR_WITHIN: Duration = Duration::from_secs(5 * 60);

pub fn sidecar(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Sidecar> {
    let table =
        reader.table(field, &keys::SIDECAR, "write `[sidecar]`, and below it follow = \"worker\" if need be")?;
    let command = table
        .get("follow")
        .and_then(|f| reader.parsed(&f, "write a program's name, such as follow = \"worker\"", wait::command));
    let appear_within = table.get("appear_within").and_then(|f| reader.duration(&f, values::LIMIT));
    if let (Some(own), None) = (table.get("appear_within"), table.get("follow"))
        && reader.can_miss(&table, &["follow"])
    {
        reader.error(
            &own.key,
            "`appear_within` without `follow`: there is nothing to appear",
            "add follow, or leave it out",
        );
    }
    let follow = command.map(|command| Follow::new(command, appear_within.unwrap_or(APPEAR_WITHIN)));
    Some(Sidecar { follow })
}

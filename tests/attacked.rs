//! What children, other users and strangers have done to softstop: each test is named by its situation. The control socket's are in
//! `control.rs` and `control_hostile.rs`, the probe port's in `hostile_http.rs`.

#![allow(clippy::unwrap_used)]

mod support;

use support::{Dir, Launch};

/// Everybody without a mapping is uid 65534 there; that softstop already is it says nothing.
#[test]
fn a_user_that_has_no_mapping_cannot_be_become() {
    if !support::namespaces() {
        return;
    }
    let dir = Dir::new();
    let text = "[[process]]\nname = \"who\"\nuser = \"65534\"\ngroup = \"65534\"\ncommand = [\"true\"]\n";
    let launch = Launch::new(["run", "-c", &dir.write("softstop.toml", text)]).through(&["unshare", "--user"]);
    launch.run().expect_code(126).expect("not mapped in this user namespace");
}

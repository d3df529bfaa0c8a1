//! What children, other users and strangers have done to softstop: each test is named by its situation. The control socket's are in
//! `control.rs` and `control_hostile.rs`, the probe port's in `hostile_http.rs`.

#![allow(clippy::unwrap_used)]

mod support;

use support::{Dir, Launch};

/// A megabyte of text that names a variable of 100 kB two hundred thousand times would be 26 GB.
#[test]
fn a_configuration_that_grows_without_bound_by_its_variables_is_refused() {
    let dir = Dir::new();
    let long = "x".repeat(100_000);
    let one = format!("[[process]]\nname = \"a\"\ncommand = [\"true\", \"{}\"]\n", "${V}".repeat(250_000));
    let many = format!("[[process]]\nname = \"a\"\ncommand = [\"true\", {}]\n", "\"${V}\", ".repeat(100_000));
    for text in [one, many] {
        let file = dir.write("softstop.toml", &text);
        for command in ["check", "run"] {
            // 600 MB of address space: without a bound the allocation fails and aborts.
            let limited = ["sh", "-c", "ulimit -v 600000; exec \"$@\"", "sh"];
            let ended = Launch::new([command, "-c", &file]).not_pid1().through(&limited).env("V", &long).run();
            ended
                .expect_code(78)
                .expect("`${V}`, 100000 bytes long")
                .expect("softstop.toml:3:")
                .expect("help: leave long");
            assert_eq!(ended.all().matches("100000 bytes long").count(), 1, "{}", ended.all());
        }
    }
    // What is no more than programs can take is no matter.
    let few = format!("[[process]]\nname = \"a\"\ncommand = [\"true\", \"{}\"]\n", "${V}");
    Launch::new(["run", "-c", &dir.write("softstop.toml", &few)]).not_pid1().env("V", &long).run().expect_code(0);
}

/// Errors quote the lines that they are about, and end up in logs that more people read than the file.
#[test]
fn a_literal_token_shows_in_no_error() {
    let dir = Dir::new();
    let process = "[[process]]\nname = \"a\"\ncommand = [\"true\"]\n";
    let mistakes = [
        "[http]\nlisten = \"0.0.0.0:9180\"\nprestop = { token = \"hunter2-hunter2-hunter2\", frm = \"10.0.0.0/8\" }\n",
        "[http]\nlisten = \"0.0.0.0:9180\"\nprestop = { token = \"hunter2\" }\n",
        "[http]\nlisten = \"0.0.0.0:9180\"\n[http.prestop]\ntoken = \"hunter2-hunter2-hunter2\n",
        "[http]\nlisten = \"0.0.0.0:9180\"\n[http.prestop]\ntoken = [\"hunter2-hunter2-hunter2\"]\n",
        "[http]\nlisten = \"0.0.0.0:9180\"\n[http.prestop]\ntoken = \"hunter2-hunter2-${NOBODY_SET_IT}\"\n",
        "[[drain]]\nhttp_post = { host = \"a\", port = 80, headers = { Authorization = \"Bearer hunter2\" }, pth = \"/\" }\n",
        "[[drain]]\nexec = \"deregister --token=hunter2\"\n",
        "[[drain]]\nexec = [\"deregister\", \"--password\", \"hunter2\", 5]\n",
        "[process.env]\nDB_PASSWORD = \"\"\"\nhunter2 ${NOBODY_SET_IT}\"\"\"\n",
        "[[drain]]\nwait_http = { host = \"a\", port = 80, path = \"x?token=hunter2\" }\n",
    ];
    for mistake in mistakes {
        let file = dir.write("softstop.toml", &format!("{process}{mistake}"));
        for command in ["check", "run"] {
            let ended = Launch::new([command, "-c", &file]).not_pid1().run();
            ended.expect_code(78).expect_not("hunter2").expect(" --> ");
        }
    }
}

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

//! `softstop install DIR`: the whole binary or none of it, whatever is there before.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use crate::support::client::Told;
use crate::support::{Dir, SOFTSTOP, namespaces};

/// With a umask that would keep others from running it.
fn install(folder: &str) -> Told {
    let script = r#"umask 077; exec "$0" install "$1""#;
    Told::by(Command::new("sh").args(["-c", script, SOFTSTOP, folder]))
}

/// In a mount namespace, by a script of which `$0` is softstop and `$1` the folder.
fn install_by(script: &str, dir: &Dir) -> Told {
    Told::by(Command::new("unshare").args(["--mount", "sh", "-c", script, SOFTSTOP, &dir.text("")]))
}

fn names(folder: &str) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_init_container_puts_it_into_a_volume_and_again_after_a_restart() {
    let dir = Dir::new();
    let folder = dir.text("vol ume");
    fs::create_dir(&folder).unwrap();
    let place = format!("{folder}/softstop");
    let bytes = fs::read(SOFTSTOP).unwrap();

    assert_eq!(install(&folder).expect(0, "").all(), format!("{place}: installed ({} bytes)\n", bytes.len()));
    let first = fs::metadata(&place).unwrap();
    assert_eq!(first.permissions().mode() & 0o7777, 0o755);
    assert!(fs::read(&place).unwrap() == bytes, "other bytes");

    assert_eq!(install(&folder).expect(0, "").all(), format!("{place}: these bytes are there already\n"));
    assert_eq!(fs::metadata(&place).unwrap().ino(), first.ino());

    // Half of it, and of an older one that runs.
    for wrong in [&bytes[..bytes.len() / 2], &[&bytes[1..], b"x"].concat()] {
        fs::remove_file(&place).unwrap();
        fs::write(&place, wrong).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        install(&folder).expect(0, "");
        assert!(fs::read(&place).unwrap() == bytes, "other bytes");
    }

    // Whom a link points to keeps what it has.
    let other = dir.write("other", "mine");
    fs::remove_file(&place).unwrap();
    symlink(&other, &place).unwrap();
    install(&folder).expect(0, "");
    assert!(fs::symlink_metadata(&place).unwrap().is_file());
    assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
    assert_eq!(names(&folder), ["softstop"]);
}

#[test]
fn where_it_cannot_be_put_nothing_of_it_stays_and_it_says_why() {
    let dir = Dir::new();
    let missing = dir.text("missing");
    let refused = |folder: &str, why: &str| {
        let Told { code, out, err } = install(folder);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert_eq!(err, format!("{folder}: softstop could not be installed there: {why}\n"));
    };
    refused(&missing, "No such file or directory (os error 2): make the folder first, or mount a volume there");
    let file = dir.write("file", "");
    refused(&file, "Not a directory (os error 20): it is a file, and softstop is to be put into a folder");
    let taken = dir.text("taken");
    fs::create_dir_all(format!("{taken}/softstop")).unwrap();
    refused(&taken, "Is a directory (os error 21): there is a folder of that name");
    assert_eq!(names(&taken), ["softstop"]);
}

#[test]
fn a_volume_that_is_too_small_gets_none_of_it() {
    needs!(namespaces());
    let dir = Dir::new();
    let script = r#"mount -t tmpfs -o size=64k none "$1"; "$0" install "$1"; code=$?; ls -A "$1"; exit $code"#;
    let Told { code, out, err } = install_by(script, &dir);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.ends_with(
        ": softstop could not be installed there: No space left on device (os error 28): the volume is too small for softstop\n"
    ), "{err}");
}

#[test]
fn without_a_proc_it_takes_the_path_that_it_was_started_by() {
    needs!(namespaces());
    let dir = Dir::new();
    // As a container whose runtime mounts none: nothing is below /proc.
    let script = r#"mount -t tmpfs none /proc; "$0" install "$1""#;
    assert_eq!(install_by(script, &dir).expect(0, "").err, "");
    assert!(fs::read(dir.path("softstop")).unwrap() == fs::read(SOFTSTOP).unwrap(), "other bytes");
}

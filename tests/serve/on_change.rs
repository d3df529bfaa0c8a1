//! `[[on_change]]`: files that change under a running softstop, in each way that files do.

use std::fs::{create_dir, rename, write};
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::support::faults::{self, Fault};
use crate::support::{Dir, Running, may_enter_namespaces, process};

const GRACE: Duration = Duration::from_secs(30);

/// A process that notes SIGHUP, and these rules.
fn start(dir: &Dir, rules: &str, faults: &[Fault]) -> Running {
    let web = process("web", &["exit-on:TERM:0", "on:HUP", "say:web up", "wait"]);
    let api = process("api", &["exit-on:TERM:0", "say:api up", "wait"]);
    let launch = dir.launch(&format!("grace = '30s'\n{web}{api}{rules}"));
    let mut running = faults::launch(faults, launch).start();
    running.wait_for("web up").wait_for("api up");
    running
}

/// It was seen as it was at first: what was changed after that is a change. A process that runs has not said so yet, so each way is tried anew
/// until it is noticed.
fn until_noticed(running: &mut Running, line: &str, count: usize, mut change: impl FnMut(usize)) {
    let seen = |r: &Running| r.printed().matches(line).count();
    let mut tries = 0;
    let mut next = std::time::Instant::now();
    running.wait_until(line, |r| {
        let noticed = seen(r) >= count;
        if !noticed && std::time::Instant::now() >= next {
            tries += 1;
            change(tries);
            next = std::time::Instant::now() + Duration::from_secs(8);
        }
        noticed
    });
}

#[test]
fn each_way_to_change_a_file_is_noticed_and_acted_upon() {
    needs!(may_enter_namespaces());
    let dir = Dir::without_spaces();
    for folder in ["tls", "mount", "mount/..1", "conf.d", "own"] {
        create_dir(dir.path(folder)).unwrap();
    }
    dir.write("tls/tls.crt", "one");
    dir.write("mount/..1/key", "key");
    symlink("..1", dir.path("mount/..data")).unwrap();
    symlink("..data/key", dir.path("mount/key")).unwrap();
    let at = |name: &str| dir.text(name);
    let rules = format!(
        "[[on_change]]\nname = 'hang up'\npaths = ['{}']\nsettle = '100ms'\nsignal = {{ process = 'web', signal = 'SIGHUP' }}\n\
         [[on_change]]\npaths = ['{}']\nsettle = '100ms'\nrestart = 'api'\n\
         [[on_change]]\nname = 'tell'\npaths = ['{}']\nsettle = '100ms'\nexec = ['sh', '-c', 'echo told $SOFTSTOP_REASON']\n\
         [[on_change]]\npaths = ['{}']\nsettle = '100ms'\nreload = true\n",
        at("tls/tls.crt"),
        at("mount/key"),
        at("conf.d"),
        at("own"),
    );
    let mut running = start(&dir, &rules, &[]);
    // Written in place, and replaced by a rename.
    until_noticed(&mut running, "HUP received", 1, |n| write(dir.path("tls/tls.crt"), "in place".repeat(n)).unwrap());
    until_noticed(&mut running, "HUP received", 2, |n| {
        write(dir.path("tls/new"), "renamed".repeat(n + 9)).unwrap();
        rename(dir.path("tls/new"), dir.path("tls/tls.crt")).unwrap();
    });
    // As the kubelet does it.
    until_noticed(&mut running, "api up", 2, |n| {
        let folder = format!("..{}", n + 1);
        create_dir(dir.path(&format!("mount/{folder}"))).unwrap();
        write(dir.path(&format!("mount/{folder}/key")), "key").unwrap();
        symlink(&folder, dir.path("mount/..data_tmp")).unwrap();
        rename(dir.path("mount/..data_tmp"), dir.path("mount/..data")).unwrap();
    });
    until_noticed(&mut running, "told start", 1, |n| write(dir.path(&format!("conf.d/{n}.conf")), "new").unwrap());
    until_noticed(&mut running, "reloaded: nothing has changed", 1, |n| {
        write(dir.path(&format!("own/{n}.toml")), "").unwrap();
    });
    let printed = running.printed();
    for line in [
        format!("{} has changed: hang up", at("tls/tls.crt")),
        format!("{} has changed: restarting api", at("mount/key")),
        format!("{} has changed: tell", at("conf.d")),
        "on_change: tell: done after".to_owned(),
        format!("{} has changed: reading the configuration again", at("own")),
    ] {
        assert!(printed.contains(&line), "{line}\n{printed}");
    }
    assert!(!printed.contains("instead of being watched") && !printed.contains("warning"), "{printed}");
    assert_eq!(printed.matches("web up").count(), 1, "{printed}");
    let (ended, _) = running.stop_within(GRACE);
    ended.expect_code(0);
}

#[test]
fn a_storm_of_writes_is_few_acts() {
    needs!(may_enter_namespaces());
    let dir = Dir::without_spaces();
    let file = dir.write("file", "0");
    let rules =
        format!("[[on_change]]\nname = 'act'\npaths = ['{file}']\nsettle = '500ms'\nexec = ['echo', 'acted']\n");
    let mut running = start(&dir, &rules, &[]);
    // It has been seen as it was, which shows in the first act.
    until_noticed(&mut running, "on_change: act: done", 1, |n| write(&file, "first".repeat(n)).unwrap());
    let before = running.printed().matches("has changed: act").count();
    let began = std::time::Instant::now();
    for n in 0..400 {
        write(&file, format!("{n}")).unwrap();
    }
    write(&file, "the last of them").unwrap();
    let took = began.elapsed();
    until_noticed(&mut running, "has changed: act", before + 1, |_| {});
    let (ended, _) = running.stop_within(GRACE);
    ended.expect_code(0);
    // One when it is over, and before that no more than one in each half a second.
    let acts = ended.all().matches("has changed: act").count() - before;
    let most = 3 + usize::try_from(took.as_millis() / 500).unwrap();
    assert!(acts >= 1 && acts <= most, "{acts} acts in {took:?}:\n{}", ended.all());
}

#[test]
fn without_inotify_a_change_is_still_noticed() {
    needs!(faults::possible());
    let dir = Dir::without_spaces();
    let file = dir.write("file", "0");
    let rules = format!("[[on_change]]\npaths = ['{file}']\nsettle = '100ms'\nrestart = 'api'\n");
    let mut running = start(&dir, &rules, &[Fault::Refused("ENOSYS", "inotify_init1")]);
    running.wait_for("the files are looked at every 3 s instead of being watched");
    write(&file, "changed").unwrap();
    running.wait_for_count("api up", 2);
    let (ended, _) = running.stop_within(GRACE);
    ended.expect_code(0);
    ended.expect("has changed: restarting api");
    assert_eq!(ended.all().matches("instead of being watched").count(), 1, "{}", ended.all());
}

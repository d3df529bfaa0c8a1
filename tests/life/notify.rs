//! Processes that say themselves when they are ready: NOTIFY_SOCKET as systemd has it, with Debian's own `systemd-notify` and by hand, and
//! s6's notification descriptor.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::support::client::from_here;
use crate::support::http::{free_port, status_of};
use crate::support::{Dir, Running, installed};

const GRACE: Duration = Duration::from_secs(30);

/// Says something over NOTIFY_SOCKET, as a program does that goes on. perl-base knows sockets, and abstract ones by their NUL.
const SAY: &str = r#"#!/usr/bin/perl
use Socket;
$| = 1;
my $a = $ENV{NOTIFY_SOCKET};
$a =~ s/^@/\0/;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
connect($s, pack('S a*', AF_UNIX, $a)) or die $!;
sub say_it { send($s, join("\n", @_), 0) or die $! }
sub await { select(undef, undef, undef, 0.02) until -e $_[0] }
sub go_on { select(undef, undef, undef, 1000) while 1 }
"#;

/// A program that can say things, and does them in `dir`.
fn program(dir: &Dir, perl: &str) -> String {
    dir.program("db", &format!("{SAY}chdir '{}';\n{perl}\n", dir.text("")))
}

/// `db`, which is this program, and `web` after it.
fn start(dir: &Dir, notify: &str, program: &str, more: &str) -> (Running, u16) {
    let port = free_port();
    let text = format!(
        "grace = '30s'\n[http]\nlisten = '127.0.0.1:{port}'\n[control]\nsocket = '{}'\n{more}\n\
         [[process]]\nname = 'db'\ncommand = ['{program}']\nnotify = {notify}\nmain = true\n\
         backoff = {{ initial = '10ms', max = '10ms' }}\n\
         [[process]]\nname = 'web'\ncommand = ['sh', '-c', 'echo web-runs; exec sleep 1000']\nafter = {{ db = 'ready' }}\n",
        dir.text("control")
    );
    (dir.launch(&text).start(), port)
}

fn status(dir: &Dir) -> serde_json::Value {
    serde_json::from_str(&from_here(&["status", "--json", "--control", &dir.text("control")]).out).unwrap_or_default()
}

fn db(dir: &Dir) -> serde_json::Value {
    status(dir)["processes"][0].clone()
}

#[test]
fn what_waits_for_it_starts_when_it_says_that_it_is_ready_and_its_words_are_shown() {
    let dir = Dir::new();
    let db_is = r#"print "up\n"; say_it("STATUS=3 of 5 \e[31mtables"); await('go'); say_it('READY=1', 'STATUS=');
        await('reload'); say_it('RELOADING=1', 'MONOTONIC_USEC=1'); await('stop'); say_it('STOPPING=1'); go_on();"#;
    let (mut running, port) = start(&dir, "true", &program(&dir, db_is), "");
    running.wait_for("up").wait_until("its words are shown", |_| db(&dir)["status"] == "3 of 5  [31mtables");
    assert_eq!((status_of(port, "/readyz"), status_of(port, "/startupz")), (Some(503), Some(503)));
    assert_eq!(db(&dir)["message"], "not notified as ready yet");
    assert!(!running.printed().contains("web: started"), "{}", running.printed());
    dir.write("go", "");
    running.wait_for("db: notified as ready after").wait_for("web-runs");
    running.wait_until("all is ready", |_| status_of(port, "/readyz") == Some(200));
    dir.write("reload", "");
    running.wait_until("it reloads", |_| db(&dir)["reloading"] == true);
    assert_eq!(status_of(port, "/readyz"), Some(200), "it goes on serving");
    dir.write("stop", "");
    running.wait_for("it has sent STOPPING=1").wait_until("not ready", |_| status_of(port, "/readyz") == Some(503));
    running.stop_within(GRACE);
}

#[test]
fn debians_systemd_notify_is_heard_and_does_not_wait_for_ever() {
    needs!(installed(&["systemd-notify"]));
    let dir = Dir::new();
    // Its barrier is a descriptor that softstop has to close.
    let script = dir.script("db", "systemd-notify --ready --status=serving && echo heard; exec sleep 1000");
    let (mut running, _) = start(&dir, "true", &script, "");
    running.wait_for("heard").wait_for("web-runs").wait_until("its words", |_| db(&dir)["status"] == "serving");
    running.stop_within(GRACE);
}

#[test]
fn a_line_to_the_descriptor_means_ready_and_a_file_can_be_the_socket() {
    let dir = Dir::new();
    let script = "[ -z \"$NOTIFY_SOCKET\" ] && echo unset; printf x >&5; printf 'y\\n' >&5; exec sleep 1000";
    let (mut running, port) = start(&dir, "{ fd = 5 }", &dir.script("s6", script), "");
    running.wait_for("unset").wait_for("web-runs");
    running.wait_until("all is ready", |_| status_of(port, "/readyz") == Some(200));
    running.stop_within(GRACE);
    let more = format!("[notify]\nsocket = '{}'\n", dir.text("notify.sock"));
    let db_is = r#"print "at $ENV{NOTIFY_SOCKET}\n"; say_it('READY=1'); go_on();"#;
    let (mut running, _) = start(&dir, "{ access = 'main' }", &program(&dir, db_is), &more);
    running.wait_for(&format!("at {}", dir.text("notify.sock"))).wait_for("web-runs");
    running.stop_within(GRACE);
    assert!(!dir.path("notify.sock").exists());
}

#[test]
fn a_watchdog_that_is_late_is_a_failed_liveness_probe() {
    let dir = Dir::new();
    // The first run says once that it is alive; the second has no watchdog any more.
    let db_is = r#"if (-e 'second') { say_it('READY=1', 'WATCHDOG_USEC=0'); print "second-runs\n" }
        else { open(my $f, '>', 'second'); print "within $ENV{WATCHDOG_USEC}\n"; say_it('READY=1'); say_it('WATCHDOG=1') }
        go_on();"#;
    let (mut running, _) = start(&dir, "{ watchdog = '3s' }", &program(&dir, db_is), "");
    running.wait_for("within 3000000").wait_for("no WATCHDOG=1 within 3.0s").wait_for("second-runs");
    running.wait_until("it is ready again", |_| db(&dir)["ready"] == true);
    running.stop_within(GRACE);
}

/// It asks for as much as there is, again and again, and ends only by SIGKILL.
#[test]
fn more_time_moves_the_rung_and_never_the_end_of_the_budget() {
    let dir = Dir::new();
    let db_is = r#"$SIG{TERM} = sub { print "told\n" }; $SIG{INT} = sub { print "interrupted\n" };
        say_it('READY=1'); print "up\n";
        while (1) { say_it('EXTEND_TIMEOUT_USEC=3600000000'); select(undef, undef, undef, 0.1) }"#;
    let text = format!(
        "grace = '6s'\n[[process]]\nname = 'db'\ncommand = ['{}']\nnotify = true\n\
         stop = [{{ signal = 'SIGTERM', wait = '500ms' }}, {{ signal = 'SIGINT', wait = '500ms' }}]\n",
        program(&dir, db_is)
    );
    let mut running = dir.launch(&text).up();
    running.wait_for("notified as ready");
    let (ended, took) = running.stop_within(Duration::from_secs(6));
    ended.expect("told").expect("SIGKILL").expect_within_the_grace();
    // By its ladder alone it would have been killed after a second.
    assert!(took >= Duration::from_secs(2), "{took:?}\n{}", ended.all());
}

/// With `access = "main"`, where by default whoever it has started may speak for it.
#[test]
fn a_child_of_a_process_speaks_for_it_only_where_it_may() {
    let db_is = r#"if (!fork) { say_it('READY=1'); go_on() } await('go'); say_it('READY=1'); go_on();"#;
    let dir = Dir::new();
    let (mut running, _) = start(&dir, "true", &program(&dir, db_is), "");
    running.wait_for("web-runs");
    running.stop_within(GRACE);
    let dir = Dir::new();
    let (mut running, port) = start(&dir, "{ access = 'main' }", &program(&dir, db_is), "");
    running.wait_for("is ignored: db has started it, and with access = \"main\" only db itself is heard");
    assert_eq!(status_of(port, "/startupz"), Some(503));
    dir.write("go", "");
    running.wait_for("web-runs");
    running.stop_within(GRACE);
}

/// Messages of strangers, far too long ones, and a storm: nothing of it is believed or holds anything up.
#[test]
fn strangers_are_not_believed_and_a_storm_holds_nobody_up() {
    let dir = Dir::new();
    let db_is = r#"open(my $f, '>', 'address'); print $f $ENV{NOTIFY_SOCKET}; close $f; rename('address', 'there'); await('go');
        say_it("STATUS=$_") for 1 .. 20000; say_it('READY=1', ('') x 5000); say_it('X=' . 'y' x 3000);
        print "stormed\n"; await('end'); say_it('READY=1'); go_on();"#;
    let (mut running, port) = start(&dir, "true", &program(&dir, db_is), "");
    running.wait_until("its address is known", |_| dir.path("there").exists());
    let address = dir.read("there");
    let name = SocketAddr::from_abstract_name(address.strip_prefix('@').unwrap()).unwrap();
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.send_to_addr(b"READY=1", &name).unwrap();
    running.wait_for("is ignored: it is not of a process with `notify`");
    dir.write("go", "");
    running.wait_for("stormed");
    assert_eq!(status_of(port, "/livez"), Some(200));
    running.wait_until("all of it was read", |_| db(&dir)["status"] == "20000");
    assert_eq!(db(&dir)["ready"], false, "neither the stranger's nor the one that is too long");
    dir.write("end", "");
    running.wait_for("web-runs");
    running.stop_within(GRACE);
}

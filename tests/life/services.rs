//! A process with probes is a service: its end is never expected, whatever its exit code.

use crate::support::http::{free_port, status_json, status_of};
use crate::support::{Dir, Running, SOON, http, namespaces, process};

/// Goes on, whatever the other does.
fn side() -> String {
    process("side", &["exit-on:TERM:0", "wait"])
}

/// `web`, probed, ends with 0 once the file `end` is there; `side` goes on.
fn start(dir: &Dir, port: u16, web: &str) -> Running {
    let server = dir.script("web", &format!("echo up; while [ ! -e '{}' ]; do sleep 0.02; done", dir.text("end")));
    let side = side();
    let config = format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n\
         {side}[[process]]\nname = \"web\"\ncommand = [{server:?}]\n{web}\n\
         readiness = {{ exec = [\"true\"], period = \"100ms\", timeout = \"20s\" }}\n\
         liveness = {{ exec = [\"true\"], period = \"100ms\", timeout = \"20s\" }}\n"
    );
    let mut running = dir.launch(&config).up();
    answers(&mut running, port, "/readyz", 200);
    running
}

fn answers(running: &mut Running, port: u16, path: &str, status: u16) {
    running.wait_until(&format!("{status} on {path}"), |_| status_of(port, path) == Some(status));
}

fn web(port: u16) -> serde_json::Value {
    status_json(port)["processes"].as_array().unwrap().iter().find(|p| p["name"] == "web").unwrap().clone()
}

/// README's own snippet was ready after its period of ten seconds; with an hour nothing but an attempt between two periods comes in time.
#[test]
fn a_server_that_is_up_after_a_second_is_ready_then_and_not_with_the_next_period() {
    needs!(namespaces());
    let (dir, port) = (Dir::new(), free_port());
    let server = dir.script("web", &format!("sleep 1; touch '{}'; echo up; exec sleep 1000", dir.text("up")));
    let probe = format!("{{ exec = [\"test\", \"-e\", {:?}], period = \"1h\" }}", dir.text("up"));
    let config = format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n[[process]]\nname = \"web\"\ncommand = [{server:?}]\n\
         startup = {probe}\nreadiness = {probe}\n"
    );
    let mut running = dir.launch(&config).up();
    answers(&mut running, port, "/readyz", 200);
    running.stop().expect("web: startup probe succeeded after");
}

#[test]
fn a_probed_process_that_ends_with_0_is_not_ready_and_started_again() {
    needs!(namespaces());
    let (dir, port) = (Dir::new(), free_port());
    let mut running = start(&dir, port, "backoff = { initial = \"1s\" }");
    dir.write("end", "");
    running.wait_for("web: ended with exit code 0");
    running.wait_for("web: it has probes, so it is a service");
    answers(&mut running, port, "/readyz", 503);
    // softstop brings it back: nothing that a restart of the container would do better.
    assert_eq!(status_of(port, "/livez"), Some(200));
    std::fs::remove_file(dir.path("end")).unwrap();
    running.wait_for("web: started again");
    answers(&mut running, port, "/readyz", 200);
    running.stop().expect_code(0);
}

#[test]
fn a_probed_process_that_has_ended_for_good_is_neither_ready_nor_alive() {
    needs!(namespaces());
    let (dir, port) = (Dir::new(), free_port());
    let mut running = start(&dir, port, "restart = \"never\"\non_exit = \"continue\"");
    dir.write("end", "");
    running.wait_for("web: ended with exit code 0");
    answers(&mut running, port, "/readyz", 503);
    answers(&mut running, port, "/livez", 503);
    let web = web(port);
    assert_eq!((&web["ready"], &web["live"]), (&false.into(), &false.into()), "{web:#}");
    let why = http::get(port, "/readyz").unwrap().body;
    assert!(why.contains("[-]web failed: ended with exit code 0; it is a service"), "{why}");
    // Neither does it stand for an end of the container by order.
    running.stop().expect_code(0);
}

#[test]
fn a_probed_process_that_ends_with_0_stops_the_container_where_its_policy_says_so() {
    needs!(namespaces());
    let (dir, port) = (Dir::new(), free_port());
    let running = start(&dir, port, "restart = \"never\"\non_exit = \"stop_on_failure\"");
    dir.write("end", "");
    running.wait(SOON).expect_code(0).expect("stopping: web ended with exit code 0");
}

/// A migration that is said to be a task holds `/readyz` back until it has completed, by a code of its own; a declared service that ends with 0 has failed.
#[test]
fn a_task_holds_readiness_back_until_it_has_completed_and_a_declared_service_is_started_again() {
    needs!(namespaces());
    let (dir, port) = (Dir::new(), free_port());
    let migrate = dir.script("migrate", &format!("while [ ! -e '{}' ]; do sleep 0.02; done; exit 3", dir.text("go")));
    let once = dir.script("once", &format!("[ -e '{0}' ] && exec sleep 1000; touch '{0}'", dir.text("ran")));
    let config = format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n\
         [[process]]\nname = \"migrate\"\ncommand = [{migrate:?}]\nkind = \"task\"\nsuccess_codes = [3]\n\
         [[process]]\nname = \"web\"\ncommand = [{once:?}]\nkind = \"service\"\n\
         backoff = {{ initial = \"10ms\", jitter = \"100%\" }}\nafter = {{ migrate = \"started\" }}\n"
    );
    let mut running = dir.launch(&config).start();
    running.wait_for("web: it is a service");
    running.wait_for("web: started again");
    assert_eq!(status_of(port, "/readyz"), Some(503));
    dir.write("go", "");
    running.wait_for("migrate: ended with exit code 3");
    answers(&mut running, port, "/readyz", 200);
    let kinds: Vec<_> = status_json(port)["processes"].as_array().unwrap().iter().map(|p| p["kind"].clone()).collect();
    assert_eq!(kinds, ["task", "service"]);
    running.stop().expect_code(0);
}

/// nginx without `daemon off;`: what softstop started ends with 0 at once, and the server goes on where nobody sees it.
#[test]
fn nginx_without_daemon_off_is_told_to_run_in_the_foreground() {
    needs!(namespaces());
    let (dir, port) = (Dir::new(), free_port());
    let nginx = dir.script("nginx", "(trap '' HUP; while :; do sleep 0.1; done) >/dev/null 2>&1 &\nsleep 0.2; exit 0");
    let side = side();
    let config = format!(
        "grace = \"4s\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
         {side}[[process]]\nname = \"web\"\ncommand = [{nginx:?}]\nreadiness = {{ exec = [\"true\"], period = \"100ms\" }}\n"
    );
    let mut running = dir.launch(&config).start();
    running.wait_for("web: nginx goes on in the background (pid ");
    running.wait_for("run it in the foreground, nginx -g 'daemon off;'");
    answers(&mut running, port, "/readyz", 503);
    running.stop();
}

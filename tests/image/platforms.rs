//! The recipes of docs/platforms.md that podman can play: stop timeouts, health checks by `softstop probe`, stop signals as systemd
//! expects them, an init outside of softstop.

use std::time::Duration;

use crate::podman::*;
use crate::support::Dir;

/// Says that it is up and, when told to stop, that it was; whether it then ends is `on_term`.
fn shell(on_term: &str) -> String {
    format!("trap 'echo told to stop; {on_term}' TERM; echo up; while :; do sleep 1 & wait $!; done")
}

/// What `podman healthcheck run` comes to: whether it was healthy, and what Docker's `inspect` would show of the last one.
fn health(container: &Container) -> (bool, String) {
    let output = podman().args(["healthcheck", "run", &container.id]).output().unwrap();
    let log = done(podman().args(["inspect", "--format", "{{json .State.Health.Log}}", &container.id]));
    let log: serde_json::Value = serde_json::from_str(&log).unwrap();
    let last = log.as_array().and_then(|l| l.last()).map(|l| l["Output"].to_string()).unwrap_or_default();
    (output.status.success(), last)
}

/// The service in an image with nothing else in it. On a busy machine the answer may take longer than the second that the recipe gives it.
fn healthcheck_image() -> String {
    let text = format!(
        "FROM {}\nENV SOFTSTOP_READINESS=tcp:8080 SOFTSTOP_GRACE=5s\n\
         HEALTHCHECK --interval=10s --timeout=60s CMD [\"/softstop\", \"probe\", \"--timeout\", \"50s\", \"ready\"]\n\
         ENTRYPOINT [\"/softstop\", \"--\"]\nCMD [\"/web\"]\n",
        scratch_image()
    );
    let tag = "localhost/softstop-test-healthcheck";
    // The other format knows no HEALTHCHECK.
    build(tag, &Dir::new(), &text, &["--format", "docker"]);
    tag.to_owned()
}

/// A container of it that is ready. There is no systemd here whose timers would ask: that is done by hand.
fn healthy(options: &[&str]) -> Container {
    let options = [options, &["--health-interval", "disable"]].concat();
    let container = Container::run(&options, &healthcheck_image(), &[]);
    container.wait_until("it is ready", || health(&container).0);
    container
}

#[test]
fn a_grace_below_the_stop_timeout_ends_with_an_account() {
    needs!(able());
    let image = wrapper_image("grace", "ENV SOFTSTOP_GRACE=2s\n");
    let container = Container::run(&["--stop-timeout", "60"], &image, &["sh", "-c", &shell("")]);
    container.wait_until("it is up", || container.said("up"));
    let (code, took) = container.stop_as_configured();
    assert_eq!(code, 137, "{}", container.logs());
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(container.logs().contains("needed SIGKILL: sh"), "{}", container.logs());
}

/// softstop cannot know what the runtime was told: this is what the page warns of.
#[test]
fn a_grace_above_the_stop_timeout_is_cut_without_a_word() {
    needs!(able());
    let image = wrapper_image("no-grace", "ENV SOFTSTOP_GRACE=60s\n");
    let container = Container::run(&["--stop-timeout", "4"], &image, &["sh", "-c", &shell("")]);
    container.wait_until("it is up", || container.said("up"));
    let (code, took) = container.stop_as_configured();
    assert_eq!(code, 137, "{}", container.logs());
    assert!(took < Duration::from_secs(20), "{took:?}");
    let logs = container.logs();
    assert!(logs.contains("told to stop") && !logs.contains("stopped in"), "{logs}");
}

#[test]
fn a_healthcheck_needs_no_port_shell_or_curl() {
    needs!(able());
    let options = ["--read-only", "--user", "10001:10001"];
    let container = healthy(&options);
    assert_eq!(health(&container), (true, "\"ok\"".to_owned()));
    done(podman().args(["exec", &container.id, "/softstop", "unready"]));
    let (healthy, said) = health(&container);
    assert!(!healthy && said.contains("not ready: softstop unready"), "{said}");
    done(podman().args(["exec", &container.id, "/softstop", "ready"]));
    assert!(health(&container).0);
    assert_eq!(container.stop(20).0, 0, "{}", container.logs());
}

/// `docker run --init`, `init: true` in Compose, `initProcessEnabled` in ECS.
#[test]
fn an_init_outside_of_softstop_changes_nothing() {
    needs!(able());
    let container = healthy(&["--init"]);
    let (code, took) = container.stop(60);
    assert_eq!(code, 0, "{}", container.logs());
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(container.logs().contains("stopped in"), "{}", container.logs());
}

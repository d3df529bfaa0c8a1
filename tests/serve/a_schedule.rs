//! Tasks that are started at their times, by the clock on the wall.

use std::time::Duration;

use crate::support::http::{free_port, get, status_json, status_of};
use crate::support::{Dir, SOON, namespaces};

/// Every minute; whoever waits for it may wait a minute longer than for anything else.
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_task_is_started_when_its_minute_begins_and_gets_its_time_at_the_stop() {
    needs!(namespaces());
    let (dir, port) = (Dir::new(), free_port());
    let job = dir.script(
        "job",
        "trap 'echo leaving; sleep 0.2; echo left; exit 0' TERM; echo running; while :; do sleep 0.05; done",
    );
    let config = format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n\
         [[process]]\nname = \"web\"\ncommand = [\"sleep\", \"100000\"]\nmain = true\n\
         [[process]]\nname = \"job\"\ncommand = [{job:?}]\nschedule = \"* * * * *\"\n\
         [[process]]\nname = \"yearly\"\ncommand = [\"true\"]\nschedule = \"@yearly\"\n"
    );
    let mut running = dir.launch(&config).start();
    running.wait_until("ready", |_| status_of(port, "/readyz") == Some(200));
    let shown = |name: &str| {
        let status = status_json(port);
        status["processes"].as_array().unwrap().iter().find(|p| p["name"] == name).unwrap().clone()
    };
    running.wait_until("the next time", |_| shown("yearly")["schedule"]["next_in_seconds"].as_f64().is_some());
    let yearly = shown("yearly");
    assert_eq!((yearly["state"].as_str(), yearly["reason"].as_str()), (Some("Waiting"), Some("Scheduled")), "{yearly}");
    assert_eq!(yearly["schedule"]["cron"], "@yearly");
    assert!(yearly["schedule"]["next_in_seconds"].as_f64().unwrap() < 366.0 * 86_400.0, "{yearly}");
    running.wait_for_count_within("running", 1, MINUTE + SOON);
    // It runs, and still nobody waits for it.
    assert_eq!(status_of(port, "/readyz"), Some(200));
    let metrics = get(port, "/metrics").unwrap().body;
    for line in [
        "softstop_process_scheduled_runs_total{process=\"job\",result=\"failed\"} 0",
        "softstop_process_next_run_seconds{process=\"yearly\"} ",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let ended = running.stop();
    ended.expect("left").expect("job: stopped after").expect_within_the_grace();
    ended.expect_not("yearly: started");
}

#[test]
fn a_time_zone_that_is_not_there_is_said_before_anything_is_started() {
    needs!(namespaces());
    let dir = Dir::new();
    let config = "[[process]]\nname = \"job\"\ncommand = [\"true\"]\nschedule = { cron = \"@daily\", time_zone = \"Nowhere/There\" }\n";
    let ended = dir.launch(config).run();
    ended.expect_code(78).expect("job: time zone Nowhere/There: /usr/share/zoneinfo/Nowhere/There: ");
    ended.expect("install tzdata or mount its file, or leave `time_zone` out for UTC; nothing was started");
}

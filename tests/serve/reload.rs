//! The configuration is read again while everything runs: by order, by SIGHUP, refused, with what it includes.

use std::time::Duration;

use crate::support::client::exec;
use crate::support::{self, Dir, Launch, PROMPT, may_enter_namespaces};

fn process(name: &str, more: &str) -> String {
    let up = format!("say:{name} up");
    let words = ["exit-on:TERM:0", "environ:LEVEL", "environ:LISTEN_FDNAMES", &up, "wait"];
    support::process(name, &words) + more + "\n"
}

#[test]
fn a_reload_applies_what_has_changed_and_nothing_else() {
    needs!(may_enter_namespaces());
    let dir = Dir::without_spaces();
    std::fs::create_dir(dir.path("conf.d")).unwrap();
    let main = |more: &str| {
        let text = format!("include = ['conf.d/*.toml']\ngrace = '30s'\n{}{more}", process("web", ""));
        dir.write("softstop.toml", &text)
    };
    dir.write("conf.d/api.toml", &process("api", "env = { LEVEL = 'info' }\nafter = { web = 'started' }"));
    dir.write("conf.d/cache.toml", &process("cache", ""));
    let file = main("");
    let mut running = Launch::new(["run", &file]).start();
    running.wait_for("web up").wait_for("api up").wait_for("cache up");
    exec(&running, &["reload"]).expect(0, "nothing has changed");

    // The same words, whether it is done or only asked for.
    dir.write("conf.d/api.toml", &process("api", "env = { LEVEL = 'debug' }\nafter = { web = 'started' }"));
    std::fs::remove_file(dir.path("conf.d/cache.toml")).unwrap();
    dir.write("conf.d/extra.toml", &process("extra", "sockets = ['s']"));
    main(
        "restart_on = []\nmax_restarts = 7\n[[socket]]\nname = 's'\nunix = '@softstop-test-reload-${LEVEL:-x}'\n[http]\nlisten = ':9180'\n",
    );
    let difference = "added: extra; removed: cache; restarted: api (env); changed without a restart: web (max_restarts); \
                      takes effect at the next start: http";
    exec(&running, &["reload", "--dry-run"]).expect(0, &format!("a reload would do this: {difference}"));
    assert!(!running.printed().contains("extra up"), "{}", running.printed());
    exec(&running, &["reload"]).expect(0, &format!("reloaded: {difference}"));
    running.wait_for("LEVEL=debug").wait_for_count("api up", 2).wait_for("extra up").wait_for("LISTEN_FDNAMES=s");
    let status = exec(&running, &["status"]);
    assert!(status.out.contains("extra") && !status.out.contains("cache"), "{status:?}");

    // What is wrong has its own file's place, and everything goes on.
    dir.write("conf.d/api.toml", &process("api", "envv = { LEVEL = 'trace' }"));
    let refused = exec(&running, &["reload"]).expect(1, "everything goes on as before");
    assert!(refused.err.contains("conf.d/api.toml:4:1") && refused.err.contains("did you mean `env`?"), "{refused:?}");
    assert!(refused.err.contains("nothing was changed"), "{refused:?}");
    running.wait_for("unknown key `envv`");

    // SIGHUP does the same; how much the log says changes without any restart.
    dir.write("conf.d/api.toml", &process("api", "env = { LEVEL = 'debug' }\nafter = { web = 'started' }"));
    main("[[socket]]\nname = 's'\nunix = '@softstop-test-reload-y'\n[log]\nlevel = 'debug'\n");
    running.signal(libc::SIGHUP);
    running.wait_for(
        "changed without a restart: web (max_restarts); settings: log.level; takes effect at the next start: socket s",
    );
    let printed = running.printed();
    let started = |name: &str| printed.matches(&format!("{name} up")).count();
    assert_eq!(["web", "api", "cache", "extra"].map(started), [1, 2, 1, 1], "{printed}");
    exec(&running, &["restart", "web"]).expect(0, "web: started");
    running.wait_for("debug: web: ready").wait_for_count("web up", 2);
    let (ended, _) = running.stop_within(Duration::from_secs(30));
    ended.expect_code(0);
}

#[test]
fn the_main_process_gets_sighup_where_it_says_so_and_by_order() {
    needs!(may_enter_namespaces());
    let dir = Dir::new();
    let config = |more: &str| {
        let web = support::process("web", &["exit-on:TERM:0", "on:HUP", "say:up", "wait"]);
        dir.write("softstop.toml", &(web + more))
    };
    let mut running = Launch::new(["run", &config("")]).up();
    running.signal(libc::SIGHUP).wait_for("reloaded: nothing has changed");
    exec(&running, &["signal", "web", "HUP"]).expect(0, "SIGHUP sent");
    running.wait_for("HUP received");
    config("rewrite = { SIGHUP = 'SIGHUP' }\n");
    exec(&running, &["reload"]).expect(0, "changed without a restart: web (rewrite)");
    running.signal(libc::SIGHUP).wait_for_count("HUP received", 2);
    running.stop().expect_code(0);
}

#[test]
fn the_wrapper_has_nothing_to_reload() {
    needs!(may_enter_namespaces());
    let running = Launch::child(&[], PROMPT).up();
    exec(&running, &["reload"]).expect(1, "it was started without a configuration");
    running.stop().expect_code(0);
}

//! Where each table may stand in a file.

use std::sync::LazyLock;

/// A table, what stands above its keys, the keys it needs, and what stands below.
pub type Site = (&'static str, String, Keys, &'static str);
type Keys = &'static [(&'static str, &'static str)];

const PROCESS: &str = "[[process]]\nname='web'\ncommand=['x']\n";
const TAKES_S: &str = "[[process]]\nname='web'\ncommand=['x']\nsockets=['s']\n";
const EXEC: Keys = &[("exec", "['x']")];
const PORT: Keys = &[("port", "80")];

/// Where a key may stand: the table, its header, and what it needs besides. That of a process stands below one, any other above.
const HEADERS: &[(&str, &str, Keys)] = &[
    ("the top level", "", &[]),
    ("[http]", "[http]\n", &[("listen", "9180")]),
    ("[http.prestop]", "[http]\nlisten = 9180\n[http.prestop]\n", &[("from", "'10.0.0.0/8'")]),
    ("[control]", "[control]\n", &[("socket", "'off'")]),
    ("[sidecar]", "[sidecar]\n", &[("follow", "'web'")]),
    ("stragglers", "[stragglers]\n", &[]),
    ("stragglers", "[process.stragglers]\n", &[]),
    ("[log]", "[log]\n", &[]),
    ("[logs]", "[logs]\n", &[]),
    ("[process.logs]", "output='json'\n[process.logs]\n", &[("stdout", "'/var/log/web.log'")]),
    ("[[socket]]", "[[socket]]\n", &[("name", "'s'"), ("unix", "'/run/s.sock'")]),
    ("[[process]]", "[[process]]\n", &[("name", "'web'"), ("command", "['x']")]),
    ("[[process]]", "[[process]]\nname='db'\ncommand=['x']\n[[process]]\n", &[("name", "'web'"), ("command", "['x']")]),
    ("capabilities", "[process.capabilities]\n", &[]),
    ("env_file", "[process.env_file]\n", &[("path", "'/x'")]),
    ("rlimits", "[process.rlimits.nofile]\n", &[]),
    ("notify of a process", "[process.notify]\n", &[]),
    ("[notify]", "[notify]\n", &[("socket", "'@x'")]),
    ("schedule", "[process.schedule]\n", &[("cron", "'@daily'")]),
    ("backoff", "[process.backoff]\n", &[]),
    ("restart_on", "[[process.restart_on]]\n", &[("exit_codes", "{ operator = 'in', values = [42] }")]),
    (
        "restart_on.exit_codes",
        "[[process.restart_on]]\n[process.restart_on.exit_codes]\n",
        &[("operator", "'in'"), ("values", "[42]")],
    ),
    ("diagnose", "[process.diagnose]\n", &[("signal", "'QUIT'")]),
    ("stop", "[[process.stop]]\n", &[("signal", "'INT'")]),
    ("a probe", "[process.startup]\n", EXEC),
    ("a probe", "[process.readiness]\n", EXEC),
    ("a probe", "[process.liveness]\n", EXEC),
    ("a task", "[[process.post_start]]\n", EXEC),
    ("a task", "[process.pre_stop]\n", EXEC),
    ("a task", "[[process.post_exit]]\n", EXEC),
    ("a task", "[[init]]\n", EXEC),
    ("a step", "[[drain]]\n", EXEC),
    ("a step", "[[post_stop]]\n", EXEC),
    ("[[on_change]]", "[[on_change]]\n", &[("paths", "['/x']"), ("exec", "['x']")]),
    ("a task", "[[drain]]\n[[drain.parallel]]\n", EXEC),
    ("http_get", "[[init]]\n[init.http_get]\n", PORT),
    ("http_get", "[process.liveness.http_get]\n", PORT),
    ("http_post", "[[drain]]\n[drain.http_post]\n", PORT),
    ("tcp_socket", "[[init]]\n[init.tcp_socket]\n", PORT),
    ("grpc", "[[init]]\n[init.grpc]\n", PORT),
    ("grpc", "[process.readiness.grpc]\n", PORT),
    ("signal", "[[drain]]\n[drain.signal]\n", &[("process", "'web'"), ("signal", "'HUP'")]),
    ("signal", "[[init]]\n[init.signal]\n", &[("command", "'web'"), ("signal", "'HUP'")]),
    ("wait_idle", "[[drain]]\n[drain.wait_idle]\n", PORT),
    ("wait_http", "[[init]]\n[init.wait_http]\n", PORT),
    (
        "json",
        "[[drain]]\n[drain.wait_http]\nport = 80\n[drain.wait_http.json]\n",
        &[("pointer", "'/x'"), ("equals", "0")],
    ),
    (
        "metric",
        "[[drain]]\n[drain.wait_http]\nport = 80\n[drain.wait_http.metric]\n",
        &[("name", "'x'"), ("at_most", "0")],
    ),
    ("wait_file", "[[init]]\n[init.wait_file]\n", &[("path", "'/x'")]),
    ("wait_process", "[[drain]]\n[drain.wait_process]\n", &[("name", "'web'")]),
];

pub static SITES: LazyLock<Vec<Site>> = LazyLock::new(|| {
    let site = |&(title, header, needed): &(&'static str, &str, Keys)| {
        let above = if header.contains("[process.") { PROCESS } else { "" };
        let below = match title {
            "[[socket]]" => TAKES_S,
            _ if header.contains("[process") => "",
            _ => PROCESS,
        };
        (title, format!("{above}{header}"), needed, below)
    };
    HEADERS.iter().map(site).collect()
});

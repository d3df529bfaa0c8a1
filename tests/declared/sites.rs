//! Where each table may stand in a file.

/// A table, what stands above its keys, the keys it needs, and what stands below.
pub type Site = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// Where a key may stand: what is above it, and what its table needs besides.
pub const SITES: &[Site] = &[
    ("the top level", "", &[], PROCESS),
    ("[http]", "[http]\n", &[("listen", "9180")], PROCESS),
    ("[http.prestop]", "[http]\nlisten = 9180\n[http.prestop]\n", &[("from", "'10.0.0.0/8'")], PROCESS),
    ("[control]", "[control]\n", &[("socket", "'off'")], PROCESS),
    ("[sidecar]", "[sidecar]\n", &[("follow", "'web'")], PROCESS),
    ("stragglers", "[stragglers]\n", &[], PROCESS),
    ("stragglers", "[[process]]\nname='web'\ncommand=['x']\n[process.stragglers]\n", &[], ""),
    ("[log]", "[log]\n", &[], PROCESS),
    ("[logs]", "[logs]\n", &[], PROCESS),
    (
        "[process.logs]",
        "[[process]]\nname='web'\ncommand=['x']\noutput='json'\n[process.logs]\n",
        &[("stdout", "'/var/log/web.log'")],
        "",
    ),
    ("[[socket]]", "[[socket]]\n", &[("name", "'s'"), ("unix", "'/run/s.sock'")], TAKES_S),
    ("[[process]]", "[[process]]\n", &[("name", "'web'"), ("command", "['x']")], ""),
    (
        "[[process]]",
        "[[process]]\nname='db'\ncommand=['x']\n[[process]]\n",
        &[("name", "'web'"), ("command", "['x']")],
        "",
    ),
    ("capabilities", "[[process]]\nname='web'\ncommand=['x']\n[process.capabilities]\n", &[], ""),
    ("env_file", "[[process]]\nname='web'\ncommand=['x']\n[process.env_file]\n", &[("path", "'/x'")], ""),
    ("rlimits", "[[process]]\nname='web'\ncommand=['x']\n[process.rlimits.nofile]\n", &[], ""),
    ("notify of a process", "[[process]]\nname='web'\ncommand=['x']\n[process.notify]\n", &[], ""),
    ("[notify]", "[notify]\n", &[("socket", "'@x'")], PROCESS),
    ("schedule", "[[process]]\nname='web'\ncommand=['x']\n[process.schedule]\n", &[("cron", "'@daily'")], ""),
    ("backoff", "[[process]]\nname='web'\ncommand=['x']\n[process.backoff]\n", &[], ""),
    (
        "restart_on",
        "[[process]]\nname='web'\ncommand=['x']\n[[process.restart_on]]\n",
        &[("exit_codes", "{ operator = 'in', values = [42] }")],
        "",
    ),
    (
        "restart_on.exit_codes",
        "[[process]]\nname='web'\ncommand=['x']\n[[process.restart_on]]\n[process.restart_on.exit_codes]\n",
        &[("operator", "'in'"), ("values", "[42]")],
        "",
    ),
    ("diagnose", "[[process]]\nname='web'\ncommand=['x']\n[process.diagnose]\n", &[("signal", "'QUIT'")], ""),
    ("stop", "[[process]]\nname='web'\ncommand=['x']\n[[process.stop]]\n", &[("signal", "'INT'")], ""),
    ("a probe", "[[process]]\nname='web'\ncommand=['x']\n[process.startup]\n", EXEC, ""),
    ("a probe", "[[process]]\nname='web'\ncommand=['x']\n[process.readiness]\n", EXEC, ""),
    ("a probe", "[[process]]\nname='web'\ncommand=['x']\n[process.liveness]\n", EXEC, ""),
    ("a task", "[[process]]\nname='web'\ncommand=['x']\n[[process.post_start]]\n", EXEC, ""),
    ("a task", "[[process]]\nname='web'\ncommand=['x']\n[process.pre_stop]\n", EXEC, ""),
    ("a task", "[[process]]\nname='web'\ncommand=['x']\n[[process.post_exit]]\n", EXEC, ""),
    ("a task", "[[init]]\n", EXEC, PROCESS),
    ("a step", "[[drain]]\n", EXEC, PROCESS),
    ("a step", "[[post_stop]]\n", EXEC, PROCESS),
    ("[[on_change]]", "[[on_change]]\n", &[("paths", "['/x']"), ("exec", "['x']")], PROCESS),
    ("a task", "[[drain]]\n[[drain.parallel]]\n", EXEC, PROCESS),
    ("http_get", "[[init]]\n[init.http_get]\n", PORT, PROCESS),
    ("http_get", "[[process]]\nname='web'\ncommand=['x']\n[process.liveness.http_get]\n", PORT, ""),
    ("http_post", "[[drain]]\n[drain.http_post]\n", PORT, PROCESS),
    ("tcp_socket", "[[init]]\n[init.tcp_socket]\n", PORT, PROCESS),
    ("grpc", "[[init]]\n[init.grpc]\n", PORT, PROCESS),
    ("grpc", "[[process]]\nname='web'\ncommand=['x']\n[process.readiness.grpc]\n", PORT, ""),
    ("signal", "[[drain]]\n[drain.signal]\n", &[("process", "'web'"), ("signal", "'HUP'")], PROCESS),
    ("signal", "[[init]]\n[init.signal]\n", &[("command", "'web'"), ("signal", "'HUP'")], PROCESS),
    ("wait_idle", "[[drain]]\n[drain.wait_idle]\n", PORT, PROCESS),
    ("wait_http", "[[init]]\n[init.wait_http]\n", PORT, PROCESS),
    (
        "json",
        "[[drain]]\n[drain.wait_http]\nport = 80\n[drain.wait_http.json]\n",
        &[("pointer", "'/x'"), ("equals", "0")],
        PROCESS,
    ),
    (
        "metric",
        "[[drain]]\n[drain.wait_http]\nport = 80\n[drain.wait_http.metric]\n",
        &[("name", "'x'"), ("at_most", "0")],
        PROCESS,
    ),
    ("wait_file", "[[init]]\n[init.wait_file]\n", &[("path", "'/x'")], PROCESS),
    ("wait_process", "[[drain]]\n[drain.wait_process]\n", &[("name", "'web'")], PROCESS),
];
const TAKES_S: &str = "[[process]]\nname='web'\ncommand=['x']\nsockets=['s']\n";
const PROCESS: &str = "[[process]]\nname='web'\ncommand=['x']\n";
const EXEC: &[(&str, &str)] = &[("exec", "['x']")];
const PORT: &[(&str, &str)] = &[("port", "80")];

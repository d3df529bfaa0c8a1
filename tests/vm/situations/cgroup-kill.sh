# Somebody kills the group of one process: an end like any other, and no want of memory. Then the group of the container.
group cgroup-kill
mkdir "$G/below"
cat >/tmp/config.toml <<'C'
grace = "4s"
[[process]]
name = "web"
restart = "on_failure"
backoff = { initial = "100ms" }
command = ["sh", "-c", "echo 0 >/sys/fs/cgroup/cgroup-kill/below/cgroup.procs; echo web up; sleep 1000 & wait"]
[[process]]
name = "other"
command = ["sleep", "1000"]
C
start run -c /tmp/config.toml
wait_for web up
echo 1 >"$G/below/cgroup.kill"
wait_for 'web: started again'
echo 1 >"$G/cgroup.kill"
ended
echo "left: $(wc -l <"$G/cgroup.procs")"

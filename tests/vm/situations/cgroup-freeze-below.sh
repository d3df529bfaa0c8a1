# One process is frozen, by its own supervisor perhaps, when the stop comes. The other has a group of its own, too.
group cgroup-freeze-below
mkdir "$G/frozen"
cat >/tmp/config.toml <<'C'
grace = "4s"
report = "/tmp/report.json"
[[process]]
name = "web"
main = true
command = ["sh", "-c", "trap 'echo web told; exit 3' TERM; echo up; while :; do sleep 0.1; done"]
[[process]]
name = "held"
command = ["sh", "-c", "echo 0 >/sys/fs/cgroup/cgroup-freeze-below/frozen/cgroup.procs; trap 'echo held told; exit 0' TERM; echo held up; while :; do read _ <>/tmp/pipe; done"]
C
start run -c /tmp/config.toml
wait_for up
wait_for held up
echo 1 >"$G/frozen/cgroup.freeze"
until grep -q 'frozen 1' "$G/frozen/cgroup.events"; do sleep 0.05; done
T=$(now)
kill -TERM "$P"
ended
ms took "$T"
cat /tmp/report.json

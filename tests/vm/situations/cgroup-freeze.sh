# The container is paused: SIGTERM comes meanwhile, and is acted on after the thaw.
group cgroup-freeze
start --grace 8s -- sh -c 'trap "echo told; exit 3" TERM; echo up; while :; do sleep 0.1; done'
wait_for up
echo 1 >"$G/cgroup.freeze"
until grep -q 'frozen 1' "$G/cgroup.events"; do sleep 0.05; done
kill -TERM "$P"
sleep 1
if over; then echo 'it ended while frozen'; fi
echo 0 >"$G/cgroup.freeze"
ended

# It is paused in the middle of its stop, and goes on with what is left.
start --grace 8s -- sh -c 'trap "echo told again; sleep 1; exit 4" TERM; echo up; while :; do sleep 0.1; done'
wait_for up
kill -TERM "$P"
wait_for 'told again'
echo 1 >"$G/cgroup.freeze"
sleep 2
echo 0 >"$G/cgroup.freeze"
ended

# The runtime's SIGKILL ends a paused container.
start -- sh -c 'echo up; sleep 1000'
wait_for up
echo 1 >"$G/cgroup.freeze"
until grep -q 'frozen 1' "$G/cgroup.events"; do sleep 0.05; done
kill -KILL "$P"
ended
echo "left: $(wc -l <"$G/cgroup.procs")"
echo 0 >"$G/cgroup.freeze"

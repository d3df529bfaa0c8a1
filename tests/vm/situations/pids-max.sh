# The container's processes are used up: the stop goes on all the same.
group pids-max pids.max=24
start --grace 5s -- sh -c 'trap "echo told; exit 3" TERM; sh -c "for i in \$(seq 40); do sleep 1000 & done"; echo full; read _ <>/tmp/pipe'
wait_for full
kill -TERM "$P"
ended
echo "left: $(wc -l <"$G/cgroup.procs")"

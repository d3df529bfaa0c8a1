# A twentieth of a processor, in pieces with a second between them, used up by the container's workers, half of which ignore SIGTERM.
group cpu-max
start --grace 10s --kill-reserve 4s -- sh -c 'trap "exit 3" TERM; for i in 1 2 3 4; do sh -c "trap : TERM; while :; do :; done" & sh -c "while :; do :; done" & done; echo up; while :; do :; done'
wait_for up
echo '50000 1000000' >"$G/cpu.max"
until grep -q 'nr_throttled [1-9]' "$G/cpu.stat"; do sleep 0.1; done
kill -TERM "$P"
wait_for 'stopped in'
echo 'max 100000' >"$G/cpu.max"
ended
echo "left: $(wc -l <"$G/cgroup.procs")"

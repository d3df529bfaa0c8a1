# 64 MiB for softstop, its probe port, and a hundred orphans.
group memory-64m memory.max=64M memory.swap.max=0
start --grace 5s --http 127.0.0.1:9180 -- sh -c 'trap "exit 3" TERM; for i in $(seq 100); do (sleep 0 &); done; echo up; read _ <>/tmp/pipe'
wait_for up
echo "readyz: $(wget -q -O - http://127.0.0.1:9180/readyz)"
kill -TERM "$P"
ended
grep oom_kill "$G/memory.events"
echo "peak: $(($(cat "$G/memory.peak") >> 20))"

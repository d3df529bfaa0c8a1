# A fork bomb that ignores SIGTERM, each of its processes in a session of its own, as many as may be.
group fork-bomb pids.max=200
cat >/tmp/bomb <<'B'
#!/bin/sh
trap '' TERM
exec 2>/dev/null awk 'BEGIN { while (1) system("setsid /tmp/bomb &") }'
B
chmod +x /tmp/bomb
start --grace 8s -- sh -c 'echo up; exec /tmp/bomb'
wait_for up
until [ "$(cat "$G/pids.current")" -ge 199 ]; do sleep 0.1; done
T=$(now)
kill -TERM "$P"
until over; do sleep 0.05; done
ms took "$T"
cat $L
echo "left: $(cat "$G/pids.current")"

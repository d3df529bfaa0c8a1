# The one process wants more than memory.max.
group memory-max memory.max=16M memory.swap.max=0
start --report /tmp/report.json -- sh -c 'echo up; exec tail /dev/zero'
ended
cat /tmp/report.json

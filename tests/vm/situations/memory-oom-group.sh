# A kubelet sets memory.oom.group: the kernel kills the whole container, softstop included.
group memory-oom-group memory.max=16M memory.swap.max=0 memory.oom.group=1
start -- sh -c 'sleep 1000 & echo up; exec tail /dev/zero'
ended
echo "left: $(wc -l <"$G/cgroup.procs")"
grep oom_group_kill "$G/memory.events.local" "$G/memory.events" | head -1

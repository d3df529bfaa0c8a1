# Who is killed is named in a cgroup namespace of its own, as all runtimes make one: /sys/fs/cgroup is read-only, or writable (delegated),
# or not there.
mkdir -p /tmp/mount
for how in ro rw; do
    printf '#!/bin/busybox sh\numount /sys/fs/cgroup && mount -t cgroup2 -o %s cgroup /sys/fs/cgroup && exec "$@"\n' $how >/tmp/mount/$how
done
printf '#!/bin/busybox sh\numount /sys/fs/cgroup && exec "$@"\n' >/tmp/mount/none
chmod +x /tmp/mount/*
group cgroup-namespace memory.max=16M memory.swap.max=0
for how in ro rw none; do
    echo "== $how"
    inside="/files/unshare --cgroup --mount /tmp/mount/$how"
    start --grace 4s -- sh -c 'cat /proc/self/cgroup; mkdir /sys/fs/cgroup/below && rmdir /sys/fs/cgroup/below && echo writable; exec tail /dev/zero'
    ended
done
# A namespace, but the mount is the machine's: nothing in it says which group is the container's.
echo "== outer"
inside="/files/unshare --cgroup"
start --grace 4s -- sh -c 'cat /proc/self/cgroup; exec tail /dev/zero'
ended
echo "== end"

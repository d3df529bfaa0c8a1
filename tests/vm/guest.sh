#!/bin/busybox sh
# The first program of a machine: plays the situations one after the other, each in a shell of its own with the functions below, and
# prints what each printed between two lines of its own.

# === for situations ===

L=/tmp/log
inside=

# group NAME [FILE=VALUE…]: a control group $G with these limits, as a runtime makes one for a container.
group() {
    G=/sys/fs/cgroup/$1
    shift
    mkdir "$G"
    for limit in "$@"; do echo "${limit#*=}" >"$G/${limit%%=*}"; done
}

# start [ARGUMENT…]: softstop with these in $G, as PID 1 of namespaces of its own; $P is its pid, $L all that the container prints. As
# with a runtime, who waits for the container is not in its group, and its output is a pipe. $inside goes before softstop.
start() {
    : >$L
    {
        code=0
        unshare --pid -f --mount-proc -- sh -c 'echo 0 >"$0/cgroup.procs"; exec "$@"' "$G" $inside softstop "$@" || code=$?
        echo "container: exit code $code"
    } 2>&1 | cat >>$L &
    until P=$(pid_of_softstop) || over; do sleep 0.05; done
}

pid_of_softstop() {
    for pid in $(cat "$G/cgroup.procs"); do
        if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = softstop ]; then echo "$pid"; return 0; fi
    done
    return 1
}

# Waits until this has been printed, on one line; fails after half a minute.
wait_for() {
    tries=0
    until grep -qF -- "$*" $L; do
        tries=$((tries + 1))
        if [ $tries -gt 150 ]; then echo "never printed: $*"; cat $L; exit 1; fi
        sleep 0.2
    done
}

over() { grep -q '^container: exit code' $L; }

# What the container's program waits with where it cannot fork: `read _ <>/tmp/pipe`.
mkfifo /tmp/pipe 2>/dev/null || true

# Waits for the container's end, and prints what it had printed.
ended() {
    wait_for 'container: exit code'
    cat $L
}

# Hundredths of a second.
now() {
    read -r up _ </proc/uptime
    echo "${up%.*}${up#*.}"
}

# ms NAME SINCE: how long that was.
ms() { echo "$1: $((($(now) - $2) * 10))"; }

# === the machine ===

if [ $$ -eq 1 ]; then
    /bin/busybox --install -s /bin
    export PATH=/bin
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    mount -t devtmpfs dev /dev
    mount -t cgroup2 cgroup /sys/fs/cgroup
    mount -t tmpfs tmp /tmp
    echo '+memory +pids +cpu' >/sys/fs/cgroup/cgroup.subtree_control
    ip link set lo up
    uname -r
    for file in /situations/*; do
        name=${file#/situations/}
        begun=$(now)
        timeout 90 sh -c '. /init; set -eu; . "$0"' "$file" >/tmp/printed 2>&1
        code=$?
        for group in /sys/fs/cgroup/*/; do echo 1 >"$group/cgroup.kill"; done
        echo "vm: begin $name"
        cat /tmp/printed
        echo "vm: end $name, exit code $code"
        ms "vm: $name" "$begun"
    done
    poweroff -f
fi

#!/bin/sh
# Stands for any queue worker: jobs of ten seconds; SIGTERM lets the current one finish, SIGINT puts it back.
stop=no
trap 'stop=yes; echo "worker: finishing job $job first"' TERM
trap 'echo "worker: job $job put back"; exit 1' INT

job=0
while [ "$stop" = no ]; do
    job=$((job + 1))
    echo "worker: job $job begun"
    second=0
    while [ "$second" -lt 10 ]; do
        # In the background, so that a signal is handled at once and not after the sleep.
        sleep 1 &
        wait $!
        second=$((second + 1))
    done
    echo "worker: job $job done"
done
echo "worker: no further job"

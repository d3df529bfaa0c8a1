#!/bin/sh
# Counts to ten, a step a second, into the directory it is given. JOB_FAILS=yes lets it fail half way.
set -eu
for step in 1 2 3 4 5 6 7 8 9 10; do
    echo "job: step $step"
    echo "$step" >>"$1/steps"
    if [ "$step" = 5 ] && [ "${JOB_FAILS:-no}" = yes ]; then
        echo "job: failed at step 5" >&2
        exit 3
    fi
    sleep 1
done
echo "job: done"

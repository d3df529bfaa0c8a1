#!/bin/sh
# Stands for a program: `once` ends with 3, else it goes on until SIGTERM.
trap 'echo "$1: bye"; exit 0' TERM
echo "$1: up"
[ "$2" = once ] && exit 3
while :; do
    sleep 0.1
done

# /proc as containers may have it: none, one that hides others' processes; a root that is read-only. A daemon has gone its own way.
cat >/tmp/no-proc <<'C'
#!/bin/busybox sh
umount /proc && umount /proc && exec "$@"
C
cat >/tmp/hidepid <<'C'
#!/bin/busybox sh
mount -t proc -o hidepid=2 proc /proc && exec /files/setpriv --reuid 10001 --regid 10001 --clear-groups "$@"
C
cat >/tmp/read-only <<'C'
#!/bin/busybox sh
mkdir -p /tmp/root && mount --rbind / /tmp/root && mount -o remount,ro,bind /tmp/root && mount --rbind /proc /tmp/root/proc
exec chroot /tmp/root "$@"
C
chmod +x /tmp/no-proc /tmp/hidepid /tmp/read-only
group proc
for how in no-proc hidepid read-only; do
    echo "== $how"
    inside="/files/unshare --mount /tmp/$how"
    start --grace 4s -- sh -c 'id; trap "echo told; exit 3" TERM; setsid sh -c "trap \"echo daemon told; exit 0\" TERM; echo up; while :; do sleep 0.1; done" & touch /x 2>&1; while :; do sleep 0.1; done'
    wait_for up
    kill -TERM "$P"
    ended
    rm -f /x
done
echo "== end"

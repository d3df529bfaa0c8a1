#!/usr/bin/python3
"""Takes jobs from a queue in redis, one at a time. What a killed worker had in hand is put back by the next one: none is lost, but a job may be
begun again. SIGTERM: the job in hand is finished, no other is taken."""

import os
import signal
import time

import redis

stopping = False


def stop(*_):
    global stopping
    stopping = True


signal.signal(signal.SIGTERM, stop)
log = open("/srv/state/jobs", "a", buffering=1)
log.write(f"start {os.environ['GREETING']}\n")
queue = redis.Redis(host="127.0.0.1", socket_connect_timeout=1)
while queue.rpoplpush("processing", "jobs"):
    pass
while not stopping:
    job = queue.brpoplpush("jobs", "processing", timeout=1)
    if job is None:
        continue
    log.write(f"begin {job.decode()}\n")
    time.sleep(1)
    log.write(f"done {job.decode()}\n")
    queue.lrem("processing", 1, job)
log.write("end\n")

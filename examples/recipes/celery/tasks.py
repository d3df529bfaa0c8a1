import os
import socket
import time

from celery import Celery, signals

app = Celery("tasks", broker=os.environ.get("BROKER", "redis://redis:6379/0"))
app.conf.update(
    task_acks_late=True,             # a task that is given up, or lost with its node, comes back: it has to bear that
    worker_prefetch_multiplier=1,    # take no task that nobody works on yet
)


@app.task
def work(seconds):
    time.sleep(seconds)
    return "done"


def notify(state):
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        address = "\0" + address[1:] if address.startswith("@") else address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as softstop:
            softstop.sendto(state.encode(), address)


@signals.worker_ready.connect        # it is connected to the broker
def ready(**_):
    notify("READY=1")


@signals.heartbeat_sent.connect      # every other second, by the loop that takes the tasks
def alive(**_):
    notify("WATCHDOG=1")

import os
import signal

bind = ":" + os.environ.get("PORT", "8080")
worker_class = "gthread"
workers = 2
threads = 8
keepalive = 60

draining = False


# The master passes SIGUSR1 on to its workers, which would reopen their logs.
def post_worker_init(worker):
    def drain(*_):
        global draining
        draining = True

    signal.signal(signal.SIGUSR1, drain)


# An application cannot say it: gunicorn drops its Connection header.
def pre_request(worker, request):
    if draining:
        request.should_close = lambda: True

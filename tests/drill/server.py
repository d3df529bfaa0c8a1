#!/usr/bin/env python3
"""A small HTTP server that stops well, or in one of the ways in which servers do not: server.py PORT [WORD...]

deaf           ignores SIGTERM
flush=SECONDS  works for so long before it ends
slow=SECONDS   takes so long for an answer
daemon         goes on in the background
workers        serves in a child, which SIGTERM ends at once and SIGUSR1 when it has answered; SIGTERM to the master has it told SIGUSR1
helper         has started a helper that keeps the listening socket and ignores SIGTERM
tidy           has started a helper that does neither
cron           has started a job in a session of its own, which needs half a second once the server has gone
"""

import os
import signal
import socket
import sys
import threading
import time

PORT = int(sys.argv[1])
WORDS = dict((word + "=").split("=")[:2] for word in sys.argv[2:])
STOPPING = threading.Event()
BUSY = set()


def client(connection):
    buffer = b""
    try:
        last = False
        while not last:
            while b"\r\n\r\n" not in buffer:
                more = connection.recv(4096)
                if not more:
                    return
                BUSY.add(connection)
                buffer += more
            head, buffer = buffer.split(b"\r\n\r\n", 1)
            time.sleep(float(WORDS.get("slow", 0)))
            last = STOPPING.is_set() or b"connection: close" in head.lower()
            close = b"Connection: close\r\n" if last else b""
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + close + b"\r\nok\n")
            BUSY.discard(connection)
    except OSError:
        pass
    finally:
        BUSY.discard(connection)
        connection.close()


def serve(ends):
    """Answers until the signal comes, then finishes what it has."""
    signal.signal(ends, lambda *_: STOPPING.set())
    LISTENER.settimeout(0.05)
    while not STOPPING.is_set():
        try:
            connection, _ = LISTENER.accept()
        except TimeoutError:
            continue
        connection.settimeout(None)
        threading.Thread(target=client, args=(connection,), daemon=True).start()
    LISTENER.close()
    while BUSY:
        time.sleep(0.01)
    time.sleep(float(WORDS.get("flush", 0)))
    os._exit(0)


def beside(work):
    """A child that does this and nothing else."""
    if os.fork() == 0:
        work()
        os._exit(0)


def helper():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def tidy():
    LISTENER.close()
    time.sleep(600)


def job():
    os.setsid()
    LISTENER.close()
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.02)
    time.sleep(0.5)


def master():
    worker = os.fork()
    if worker == 0:
        serve(signal.SIGUSR1)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(worker, signal.SIGUSR1))
    os.waitpid(worker, 0)
    os._exit(0)


if "daemon" in WORDS and os.fork() != 0:
    os._exit(0)
LISTENER = socket.socket()
LISTENER.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
LISTENER.bind(("127.0.0.1", PORT))
LISTENER.listen(512)
if "deaf" in WORDS:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for word, work in (("helper", helper), ("tidy", tidy), ("cron", job)):
    if word in WORDS:
        beside(work)
if "workers" in WORDS:
    master()
serve(signal.SIGUSR2 if "deaf" in WORDS else signal.SIGTERM)

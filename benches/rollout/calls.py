"""The gRPC service and its clients. `calls.py server PORT` is an ordinary service: SIGTERM stops it with three seconds for what is in flight.
`calls.py clients` keeps a channel to each server and reads orders: `add PORT`, `remove PORT` (nothing new goes there, the channel stays open, as
it does behind whatever balances connections and not calls), `begin 1` (with streams) or `begin 0`, `end`. Each is answered by a line; `end` with
what failed, and how many seconds before."""

import json
import random
import signal
import sys
import threading
import time
from concurrent import futures

import grpc

SHUTDOWN = 3
ECHO, STREAM = "/bench.Bench/Echo", "/bench.Bench/Stream"


def server(port):
    def echo(request, context):
        return request

    # A message every quarter of a second, as many as the request says.
    def stream(request, context):
        for _ in range(int(request)):
            yield b"tick"
            time.sleep(0.25)

    service = grpc.server(futures.ThreadPoolExecutor(32))
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
    }
    service.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Bench", handlers),))
    if service.add_insecure_port(f"127.0.0.1:{port}") != port:
        sys.exit(f"cannot listen on {port}")
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    service.start()
    print("listening", flush=True)
    told.wait()
    print("told to stop", flush=True)
    service.stop(SHUTDOWN).wait()


class Clients:
    UNARY, STREAMS, EVERY, PATIENCE = 4, 3, 0.1, 5

    def __init__(self):
        self.lock, self.channels, self.serving = threading.Lock(), {}, []
        self.enough, self.threads = threading.Event(), []
        self.total, self.failed = [0, 0], [[], []]

    def add(self, port):
        if port not in self.channels:
            # One connection per server, not one for all of this process's channels to it.
            self.channels[port] = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
            grpc.channel_ready_future(self.channels[port]).result(timeout=30)
        with self.lock:
            self.serving.append(port)

    def remove(self, port):
        with self.lock:
            self.serving.remove(port)

    def begin(self, streams):
        for number in range(self.UNARY + (self.STREAMS if streams else 0)):
            self.threads.append(threading.Thread(target=self.client, args=(number,)))
            self.threads[-1].start()

    def client(self, number):
        stream = number >= self.UNARY
        chance = random.Random(number)
        turn = number
        while not self.enough.is_set():
            with self.lock:
                turn += 1
                channel = self.channels[self.serving[turn % len(self.serving)]]
            wanted = chance.randint(4, 12)
            failure = None
            try:
                if stream:
                    call = channel.unary_stream(STREAM)
                    got = list(call(str(wanted).encode(), timeout=wanted / 4 + self.PATIENCE))
                    failure = None if len(got) == wanted else "stream cut short"
                elif channel.unary_unary(ECHO)(b"hello", timeout=self.PATIENCE) != b"hello":
                    failure = "another answer"
            except grpc.RpcError as error:
                failure = error.code().name.lower()
            with self.lock:
                self.total[stream] += 1
                if failure:
                    self.failed[stream].append((time.monotonic(), failure))
            self.enough.wait(self.EVERY if not stream else 1 if failure else 0)

    def end(self):
        self.enough.set()
        for thread in self.threads:
            thread.join()
        now = time.monotonic()
        failed = [[(now - at, why) for at, why in kind] for kind in self.failed]
        return json.dumps({"total": self.total, "failed": failed})


def clients():
    all_of_them = Clients()
    for line in sys.stdin:
        order, *port = line.split()
        said = getattr(all_of_them, order)(*map(int, port))
        print(said or "ok", flush=True)
        if order == "end":
            break


if __name__ == "__main__":
    server(int(sys.argv[2])) if sys.argv[1] == "server" else clients()

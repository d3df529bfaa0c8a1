import time


def app(environ, start_response):
    if environ["PATH_INFO"] != "/healthz":
        time.sleep(0.3)         # stands for work
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\n"]

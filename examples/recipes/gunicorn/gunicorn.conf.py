bind = "0.0.0.0:8080"
worker_class = "gthread"        # sync workers would be held by a client that never sends
workers = 2
threads = 8
graceful_timeout = 10           # less than what SIGTERM has: 75 % of what the drain leaves
keepalive = 65                  # longer than a load balancer's, so that it is the one who closes
accesslog = "-"
worker_tmp_dir = "/dev/shm"

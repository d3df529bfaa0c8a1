#!/bin/sh
# Stands for any script that somebody has run from cron.
echo "cleanup: begun"
sleep 3
echo "cleanup: done"

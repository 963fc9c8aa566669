# Exit 0 if the worker in this container has touched its heartbeat file in the last 30 seconds.
# A shell script, since a Python process every ten seconds would cost more than the worker does when it is idle.
age=$(($(date +%s) - $(stat -c %Y "$SPARRING_HEARTBEAT_FILE"))) || exit 1
[ "$age" -le 30 ]

# Become a Celery worker: one child process, which computes, and a parent, which replaces it if it dies.
# SPARRING_LANE says which queue it listens on.
exec celery --app workers.app worker --queues "$SPARRING_LANE" --loglevel INFO \
    --without-gossip --without-mingle --without-heartbeat

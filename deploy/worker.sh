# Become a Celery worker: one child process, which computes, and a parent, which replaces it if it dies.
# SPARRING_LANE says which queue it listens on; SPARRING_GPU_SLOTS, where it is set, has it take one GPU for itself first.
set -- celery --app workers.app worker --pool prefork --concurrency 1 --queues "$SPARRING_LANE" \
    --without-gossip --without-mingle --without-heartbeat --loglevel INFO
if [ -n "${SPARRING_GPU_SLOTS:-}" ]; then
    set -- python /opt/sparring/deploy/gpu_slot.py "$SPARRING_GPU_SLOTS" "$@"
fi
exec "$@"

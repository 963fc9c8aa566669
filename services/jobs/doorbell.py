"""The bell: a Celery message that says "something may be ready" and carries nothing.

It is written by Celery and kombu themselves, once, and pushed by the Redis functions, so a submit and its bell are one
call. What a worker does with a bell that is lost, repeated or late is described in `workers.lease`.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

TASK = "sparring.bell"
LANES = ("cpu", "gpu")
KEY_PREFIX = "sparring:cel:"
# Stands for the id of one bell until it is pushed.
PLACEHOLDER = "@bell@"


def queue_key(lane: str) -> str:
    """The Redis list that Celery reads for a lane."""
    return f"{KEY_PREFIX}{lane}"


@cache
def envelope(lane: str) -> str:
    """The message on a lane's queue as kombu's Redis transport would write it, its ids replaced by the placeholder."""
    # Imported here: Celery takes a third of a second, and only who loads the functions needs it.
    from celery import Celery
    from kombu import Connection, Queue

    app = Celery("sparring", set_as_current=False)
    app.conf.update(task_ignore_result=True, task_serializer="json", result_backend=None)
    queue = Queue(lane, routing_key=lane)
    with Connection("memory://") as connection, connection.channel() as channel:
        task = app.amqp.as_task_v2(PLACEHOLDER, TASK, origin="sparring", ignore_result=True)
        with app.amqp.Producer(channel) as producer:
            app.amqp.send_task_message(producer, TASK, task, queue=queue)
        message: dict[str, Any] = channel._get(lane)  # noqa: SLF001 - the raw message, as the transport keeps it
    message["properties"]["delivery_tag"] = PLACEHOLDER
    return json.dumps(message)

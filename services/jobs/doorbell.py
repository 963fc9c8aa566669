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

    app = Celery("sparring", broker="memory://", set_as_current=False)
    app.conf.update(task_ignore_result=True, task_serializer="json", result_backend=None)
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        task = app.amqp.as_task_v2(PLACEHOLDER, TASK, origin="sparring", ignore_result=True)
        app.amqp.send_task_message(producer, TASK, task, queue=app.amqp.queues[lane])
        message: dict[str, Any] = producer.channel._get(lane)  # noqa: SLF001 - raw, as the transport keeps it
    message["properties"]["delivery_tag"] = PLACEHOLDER
    return json.dumps(message)

"""The bell is a message that Celery and kombu take for their own."""

import json

import pytest
from celery import Celery
from kombu import Connection, Consumer, Queue

from services.jobs import doorbell
from services.jobs.record import NewJob


@pytest.fixture
def transport(redis_url):
    with Connection(redis_url, transport_options={"global_keyprefix": doorbell.KEY_PREFIX}) as connection:
        yield connection


@pytest.mark.parametrize("lane", doorbell.LANES)
def test_kombu_reads_our_bell(lane, transport, job_store):
    job_store.submit(NewJob(id="a", kind="attack", lane=lane, spec=b"", spec_hash="h", units=1))
    received = []
    with Consumer(transport, [Queue(lane, routing_key=lane)], accept=["json"]) as consumer:
        consumer.register_callback(lambda body, message: (received.append((body, message)), message.ack()))
        transport.drain_events(timeout=5)
    (body, message), *others = received
    assert others == []
    assert body[:2] == [[], {}]
    assert message.headers["task"] == doorbell.TASK
    assert message.headers["id"] == message.properties["correlation_id"]
    assert doorbell.PLACEHOLDER not in json.dumps(message.headers)


def test_it_is_what_celery_itself_would_send(transport, redis_url, redis):
    app = Celery("test", broker=redis_url, set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": doorbell.KEY_PREFIX}
    app.send_task(doorbell.TASK, queue=Queue("cpu", routing_key="cpu"), ignore_result=True)
    theirs, ours = json.loads(redis.rpop(doorbell.queue_key("cpu"))), json.loads(doorbell.envelope("cpu"))
    assert theirs.keys() == ours.keys()
    assert theirs["body"] == ours["body"]
    for part, ids in (("headers", {"id", "root_id", "origin"}), ("properties", {"correlation_id", "delivery_tag"})):
        for name in theirs[part].keys() - ids - {"reply_to"}:
            assert ours[part][name] == theirs[part][name], name

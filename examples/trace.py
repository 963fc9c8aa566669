"""One attack as one trace, from this program through gateway, queue and worker to the commit, shown as a tree.

    python examples/trace.py [--out out/trace]

Starts the embedded stack with one worker and SPARRING_TRACES, trains a small net and attacks it. The spans stand in
`spans.jsonl` and the logs, one JSON object a line, below `stack/logs`; nothing is asked of a collector.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import sparring
from opentelemetry import trace

from services.local import LocalStack
from services.telemetry import tracing, tree
from services.telemetry.settings import TelemetrySettings


def main() -> None:
    """Run one training and one attack, and print the attack's trace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/trace"), help="where spans and logs are kept")
    out: Path = parser.parse_args().out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    where = f"file:{out}/spans.jsonl"
    # An application of your own sets OpenTelemetry up as it likes: the client finds it by itself.
    tracing.configure("experiment", TelemetrySettings(traces=where), everywhere=True)
    telling = {"SPARRING_TRACES": where, "SPARRING_LOG_FORMAT": "json"}
    with LocalStack(1, out / "stack", environment=telling) as stack, sparring.connect(stack.target) as client:
        trained = client.train("mnist10k", "standard", architecture="wong_cnn", model_id="net", count=2000, epochs=1)
        client.jobs.wait(trained, check=True)
        with trace.get_tracer("experiment").start_as_current_span("experiment"):
            job = client.attack("net", "mnist10k", "pgd:epsilon=0.2,steps=10", count=500, shard_size=256)
            client.jobs.wait(job, check=True)
        print(f"jobs show their trace: {job.name} {job.trace}")
    tracing.close()
    spans = [span for span in tree.read(out / "spans.jsonl") if span["trace"] == job.trace]
    print(f"\n{'span':<42}{'at ms':>9}{'took ms':>9}")
    print("\n".join(tree.tree(spans)))


if __name__ == "__main__":
    main()

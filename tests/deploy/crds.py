"""Schemas for the fields of other people's resources that the chart uses, written from their documentation.

The packages of schemas have Kubernetes' own kinds only. These are stricter than the operators are: a field that is not
here is refused, since the chart does not set it.

    ScaledObject    keda.sh, "ScaledObject specification" and the scaler "Prometheus"
    PodMonitor      prometheus-operator.dev, API reference, monitoring.coreos.com/v1
"""

from typing import Any

Schema = dict[str, Any]


def record(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


TEXT: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
SECONDS: Schema = {"type": "integer", "minimum": 0}
NAMED = record(["name"], name=TEXT)
METADATA = record(["name"], name=TEXT, labels=TEXTS)

# autoscaling/v2, HPAScalingRules.
RULES = record(
    ["policies"],
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    selectPolicy={"enum": ["Max", "Min", "Disabled"]},
    policies={
        "type": "array",
        "minItems": 1,
        "items": record(
            ["type", "value", "periodSeconds"],
            type={"enum": ["Pods", "Percent"]},
            value={"type": "integer", "minimum": 1},
            periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
        ),
    },
)
TRIGGER = record(
    ["type", "metadata"],
    type={"const": "prometheus"},
    metricType={"enum": ["AverageValue", "Value"]},
    authenticationRef=NAMED,
    # Whatever a trigger is told is a string.
    metadata=record(
        ["serverAddress", "query", "threshold"],
        serverAddress={"type": "string", "pattern": "^https?://"},
        query=TEXT,
        threshold={"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
        activationThreshold={"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
        ignoreNullValues={"enum": ["true", "false"]},
    ),
)
SCALED_OBJECT = record(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "keda.sh/v1alpha1"},
    kind={"const": "ScaledObject"},
    metadata=METADATA,
    spec=record(
        ["scaleTargetRef", "triggers"],
        scaleTargetRef=NAMED,
        minReplicaCount=SECONDS,
        maxReplicaCount={"type": "integer", "minimum": 1},
        pollingInterval={"type": "integer", "minimum": 1},
        cooldownPeriod=SECONDS,
        fallback=record(
            ["failureThreshold", "replicas"],
            failureThreshold={"type": "integer", "minimum": 1},
            replicas=SECONDS,
            behavior={
                "enum": [
                    "static",
                    "currentReplicas",
                    "currentReplicasIfHigher",
                    "currentReplicasIfLower",
                    "triggerAverage",
                ]
            },
        ),
        advanced=record(
            ["horizontalPodAutoscalerConfig"],
            horizontalPodAutoscalerConfig=record(["behavior"], behavior=record([], scaleUp=RULES, scaleDown=RULES)),
        ),
        triggers={"type": "array", "minItems": 1, "items": TRIGGER},
    ),
)
POD_MONITOR = record(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "monitoring.coreos.com/v1"},
    kind={"const": "PodMonitor"},
    metadata=METADATA,
    spec=record(
        ["selector", "podMetricsEndpoints"],
        selector=record(["matchLabels"], matchLabels=TEXTS),
        podTargetLabels={"type": "array", "items": TEXT},
        podMetricsEndpoints={
            "type": "array",
            "minItems": 1,
            "items": record(
                ["port"],
                port=TEXT,
                path={"type": "string", "pattern": "^/"},
                interval={"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
            ),
        },
    ),
)
SCHEMAS = {"ScaledObject": SCALED_OBJECT, "PodMonitor": POD_MONITOR}

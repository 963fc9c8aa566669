{{/* What the exporter is told: it reads the store as the gateways' user does. */}}
{{- define "sparring.exporterEnv" -}}
{{- include "sparring.storeEnv" (list . "gateway" "/var/lib/sparring/secrets") }}
{{- include "sparring.variable" (list "SPARRING_METRICS_LISTEN" "0.0.0.0:9464") }}
{{- include "sparring.variable" (list "SPARRING_METRICS_TENANTS" .Values.exporter.tenants) }}
{{- include "sparring.variable" (list "SPARRING_LOG_FORMAT" .Values.telemetry.logFormat) }}
{{- include "sparring.extraEnv" .Values.exporter.extraEnv }}
{{- end }}

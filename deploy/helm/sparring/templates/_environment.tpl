{{/* Variables of the containers. */}}

{{/* One variable from (list NAME VALUE), unless there is no value; whole numbers stay whole. */}}
{{- define "sparring.variable" -}}
{{- $value := index . 1 -}}
{{- if kindIs "float64" $value }}{{ if eq (floor $value) $value }}{{ $value = int64 $value }}{{ end }}{{ end -}}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- {name: {{ index . 0 }}, value: {{ toString $value | quote }}}
{{- end }}
{{- end }}

{{/* Where the store is for (list $ USER), a user of files/users.acl. */}}
{{- define "sparring.redisUrl" -}}
{{- $root := index . 0 -}}
{{- $user := index . 1 -}}
{{- if $root.Values.redis.enabled -}}
redis://{{ $user }}@{{ include "sparring.part" (list $root "redis") }}:6379/0
{{- else -}}
{{- required "redis.external.url is needed where redis.enabled is false" $root.Values.redis.external.url | replace "{user}" $user -}}
{{- end -}}
{{- end }}

{{/* The folder in which (list $ USER FOLDER) finds its password; empty for a Redis that asks for none. */}}
{{- define "sparring.passwordFile" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.redis.enabled -}}
{{ index . 1 }}/redis-password
{{- else if $root.Values.redis.external.passwordSecret -}}
/var/lib/sparring/redis-password/redis-password
{{- end -}}
{{- end }}

{{- define "sparring.externalPasswordMount" -}}
{{- if and (not .Values.redis.enabled) .Values.redis.external.passwordSecret }}
- {name: redis-password, mountPath: /var/lib/sparring/redis-password, readOnly: true}
{{- end }}
{{- end }}

{{/* The volume of that mount for (list $ USER VOLUME). */}}
{{- define "sparring.externalPasswordVolume" -}}
{{- $root := index . 0 -}}
{{- if and (not $root.Values.redis.enabled) $root.Values.redis.external.passwordSecret }}
- name: {{ index . 2 }}
  secret:
    secretName: {{ $root.Values.redis.external.passwordSecret }}
    defaultMode: 0440
    items: [{key: {{ index . 1 }}, path: redis-password}]
{{- end }}
{{- end }}

{{/* What every client of the store is told: (list $ USER FOLDER). */}}
{{- define "sparring.storeEnv" -}}
{{- $root := index . 0 -}}
{{- include "sparring.variable" (list "SPARRING_REDIS_URL" (include "sparring.redisUrl" (list $root (index . 1)))) }}
{{- include "sparring.variable" (list "SPARRING_REDIS_PASSWORD_FILE" (include "sparring.passwordFile" (list $root (index . 2)))) }}
{{- include "sparring.variable" (list "SPARRING_MAX_ARTIFACT_BYTES" $root.Values.store.maxArtifactBytes) }}
{{- include "sparring.variable" (list "SPARRING_ARTIFACT_TTL_S" $root.Values.store.artifactTtlSeconds) }}
{{- include "sparring.variable" (list "SPARRING_EVENT_TTL_S" $root.Values.store.eventTtlSeconds) }}
{{- end }}

{{/* Of (list $ WORKER), a class of workers. */}}
{{- define "sparring.workerEnv" -}}
{{- $worker := index . 1 -}}
{{- include "sparring.storeEnv" (list (index . 0) "worker" "/var/lib/sparring/secrets") }}
{{- include "sparring.artifactsEnv" (index . 0) }}
{{- include "sparring.telemetryEnv" (index . 0) }}
{{- include "sparring.variable" (list "SPARRING_LANE" $worker.lane) }}
{{- include "sparring.variable" (list "SPARRING_DEVICE_CLASS" $worker.deviceClass) }}
{{- include "sparring.variable" (list "SPARRING_THREADS" $worker.threads) }}
{{- include "sparring.variable" (list "SPARRING_PROCESSES" $worker.processes) }}
{{- include "sparring.extraEnv" $worker.extraEnv }}
{{- end }}

{{- define "sparring.telemetryEnv" -}}
{{- if .Values.metrics.enabled }}
{{- include "sparring.variable" (list "SPARRING_METRICS_LISTEN" "0.0.0.0:9464") }}
{{- end }}
{{- include "sparring.variable" (list "SPARRING_LOG_FORMAT" .Values.telemetry.logFormat) }}
{{- include "sparring.variable" (list "SPARRING_TRACES" .Values.telemetry.traces) }}
{{- include "sparring.variable" (list "SPARRING_TRACES_RATIO" .Values.telemetry.tracesRatio) }}
{{- end }}

{{- define "sparring.extraEnv" -}}
{{- range $name, $value := . }}
{{- include "sparring.variable" (list $name $value) }}
{{- end }}
{{- end }}

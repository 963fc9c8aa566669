{{/* Rules that several policies share. */}}

{{- define "sparring.toRedis" -}}
{{- if .Values.redis.enabled -}}
- ports: [{port: 6379}]
  to:
    - podSelector:
        matchLabels: {{- include "sparring.selects" (list . "redis") | nindent 10 }}
{{- else -}}
- ports: [{port: {{ .Values.networkPolicy.externalRedis.port }}}]
  to: [{ipBlock: {cidr: {{ .Values.networkPolicy.externalRedis.cidr }}}}]
{{- end }}
{{- end }}

{{- define "sparring.fromMonitoring" -}}
{{- if and .Values.metrics.enabled .Values.networkPolicy.monitoring -}}
- ports: [{port: 9464}]
  from: {{- toYaml .Values.networkPolicy.monitoring | nindent 4 }}
{{- end }}
{{- end }}

{{/* What is not in this namespace: a store of artifacts, a collector of traces. */}}
{{- define "sparring.toOthers" -}}
{{- if regexMatch "^(s3|rediss?):" .Values.artifacts.url -}}
- ports: [{port: {{ .Values.networkPolicy.artifacts.port }}}]
  to: [{ipBlock: {cidr: {{ .Values.networkPolicy.artifacts.cidr }}}}]
{{- end }}
{{- if .Values.telemetry.traces }}
- ports: [{port: {{ .Values.networkPolicy.traces.port }}}]
  to: [{ipBlock: {cidr: {{ .Values.networkPolicy.traces.cidr }}}}]
{{- end }}
{{- end }}

{{- define "sparring.toNames" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  to: {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
{{- end }}

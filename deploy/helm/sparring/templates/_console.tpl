{{/* What the console is told: where the gateway is, what browsers call it, and what cookies are sealed with. */}}
{{- define "sparring.consoleEnv" -}}
{{- $console := .Values.console -}}
{{- $service := include "sparring.part" (list . "console") -}}
{{- $own := list $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) -}}
{{- include "sparring.variable" (list "SPARRING_CONSOLE_LISTEN" "0.0.0.0:50080") }}
{{- include "sparring.variable" (list "SPARRING_CONSOLE_HOSTS" (concat $own $console.hosts | join ",")) }}
{{- include "sparring.variable" (list "SPARRING_CONSOLE_SECRET_FILE" "/var/lib/sparring/secrets/cookie-secret") }}
{{- include "sparring.variable" (list "SPARRING_CONSOLE_UPLOAD_BYTES" $console.uploadBytes) }}
{{- include "sparring.variable" (list "SPARRING_SERVER" (printf "%s:%d" (include "sparring.part" (list . "gateway")) (int .Values.gateway.service.port))) }}
{{- include "sparring.variable" (list "SPARRING_CA_FILE" "/var/lib/sparring/secrets/ca.pem") }}
{{- if $console.plainText }}
{{- include "sparring.variable" (list "SPARRING_INSECURE" "1") }}
{{- else if $console.tlsSecret }}
{{- include "sparring.variable" (list "SPARRING_TLS_CERT_FILE" "/var/lib/sparring/tls/tls.crt") }}
{{- include "sparring.variable" (list "SPARRING_TLS_KEY_FILE" "/var/lib/sparring/tls/tls.key") }}
{{- else }}
{{- include "sparring.variable" (list "SPARRING_TLS_CERT_FILE" "/var/lib/sparring/secrets/server.pem") }}
{{- include "sparring.variable" (list "SPARRING_TLS_KEY_FILE" "/var/lib/sparring/secrets/server-key.pem") }}
{{- end }}
{{- include "sparring.variable" (list "SPARRING_LOG_FORMAT" .Values.telemetry.logFormat) }}
{{- include "sparring.variable" (list "SPARRING_TRACES" .Values.telemetry.traces) }}
{{- include "sparring.variable" (list "SPARRING_TRACES_RATIO" .Values.telemetry.tracesRatio) }}
{{- include "sparring.extraEnv" $console.extraEnv }}
{{- end }}

{{/* What a gateway is told, beside where its store is. */}}
{{- define "sparring.gatewayEnv" -}}
{{- $gateway := .Values.gateway -}}
{{- $secrets := "/var/lib/sparring/secrets" -}}
{{- $tls := ternary "/var/lib/sparring/tls/tls.crt" (printf "%s/server.pem" $secrets) (ne $gateway.tlsSecret "") -}}
{{- $key := ternary "/var/lib/sparring/tls/tls.key" (printf "%s/server-key.pem" $secrets) (ne $gateway.tlsSecret "") -}}
{{- $ca := ternary "/var/lib/sparring/tls/ca.crt" (printf "%s/ca.pem" $secrets) (ne $gateway.tlsSecret "") -}}
{{- $tenants := ternary "/var/lib/sparring/tenants" $secrets (ne $gateway.tenantsSecret "") -}}
{{- include "sparring.storeEnv" (list . "gateway" $secrets) }}
{{- include "sparring.variable" (list "SPARRING_PAGE_TOKEN_KEY_FILE" (printf "%s/page-token-key" $secrets)) }}
{{- include "sparring.variable" (list "SPARRING_TENANTS_FILE" (printf "%s/tenants.toml" $tenants)) }}
{{- include "sparring.variable" (list "SPARRING_TLS_CERT_FILE" $tls) }}
{{- include "sparring.variable" (list "SPARRING_TLS_KEY_FILE" $key) }}
{{- include "sparring.variable" (list "SPARRING_CA_FILE" $ca) }}
{{- if not $gateway.tenantsSecret }}
{{- include "sparring.variable" (list "SPARRING_KEY_FILE" (printf "%s/first-key" $secrets)) }}
{{- end }}
{{- /* The kubelet asks at the pod's address. */}}
{{- include "sparring.variable" (list "SPARRING_HEALTH_LISTEN" "0.0.0.0:50052") }}
{{- include "sparring.artifactsEnv" . }}
{{- include "sparring.telemetryEnv" . }}
{{- include "sparring.variable" (list "SPARRING_DRAIN_S" $gateway.drainSeconds) }}
{{- include "sparring.variable" (list "SPARRING_MAX_SAMPLES" $gateway.maxSamples) }}
{{- include "sparring.variable" (list "SPARRING_MAX_STREAMS" $gateway.maxStreams) }}
{{- include "sparring.variable" (list "SPARRING_MAX_PREVIEWS" $gateway.maxPreviews) }}
{{- include "sparring.extraEnv" $gateway.extraEnv }}
{{- end }}

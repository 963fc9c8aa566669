{{- define "sparring.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* Every name that clients may call the gateways and the console by, separated by spaces: those of their Services, and
     `hosts`. The console's certificate is a copy of the gateways'. */}}
{{- define "sparring.gatewayNames" -}}
{{- $names := list -}}
{{- range $suffix := list "gateway" "gateway-headless" "console" -}}
{{- $short := include "sparring.part" (list $ $suffix) -}}
{{- $inside := printf "%s.%s" $short $.Release.Namespace -}}
{{- $names = concat $names (list $short $inside (printf "%s.svc" $inside) (printf "%s.svc.cluster.local" $inside)) -}}
{{- end -}}
{{- concat $names .Values.gateway.hosts .Values.console.hosts | uniq | join " " -}}
{{- end }}

{{/* Names and labels. `sparring.part` and `sparring.selects` take (list $ PART). */}}

{{- define "sparring.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "sparring.part" -}}
{{- printf "%s-%s" (include "sparring.name" (index . 0)) (index . 1) -}}
{{- end }}

{{/* The Secret of a part: another name where `secrets.names` has one. */}}
{{- define "sparring.secret" -}}
{{- $root := index . 0 -}}
{{- get $root.Values.secrets.names (index . 1) | default (include "sparring.part" .) -}}
{{- end }}

{{- define "sparring.selects" -}}
app.kubernetes.io/name: sparring
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "sparring.labels" -}}
{{ include "sparring.selects" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end }}

{{/* Of pods: a new version of the chart alone restarts nothing. */}}
{{- define "sparring.podLabels" -}}
{{ include "sparring.selects" . }}
app.kubernetes.io/version: {{ (index . 0).Values.image.tag | default (index . 0).Chart.AppVersion | quote }}
{{- end }}

{{- define "sparring.annotations" -}}
{{- with . }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* An image of (list $ NAME). One that has its tag or digest stays as it is; ours get registry and tag. */}}
{{- define "sparring.image" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- if or (contains "@" $name) (contains ":" (splitList "/" $name | last)) -}}
{{- $name -}}
{{- else -}}
{{- with $root.Values.image.registry }}{{ . }}/{{ end -}}
{{- $name }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion -}}
{{- end -}}
{{- end }}

{{/* What every pod has: no rights, no token, and nothing to write on but /tmp. */}}

{{/* `sparring.pod` takes (list $ VALUES), the values of a part or of a class of workers. */}}
{{- define "sparring.pod" -}}
{{- $root := index . 0 -}}
{{- $own := index . 1 -}}
serviceAccountName: {{ include "sparring.name" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{ include "sparring.podSecurity" $root }}
terminationGracePeriodSeconds: {{ $own.terminationGracePeriodSeconds }}
{{- with $own.pods.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.pods.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.pods.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "sparring.podSecurity" -}}
{{/* The process that reaps orphans is Kubernetes' own, as `init: true` has it in docker-compose.yml, and a SIGTERM that
     comes before a program listens for it ends that program. */ -}}
shareProcessNamespace: true
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* `sparring.container` takes (list $ IMAGE). */}}
{{- define "sparring.container" -}}
image: {{ include "sparring.image" . | quote }}
imagePullPolicy: {{ (index . 0).Values.image.pullPolicy }}
securityContext:
  runAsNonRoot: true
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "sparring.tmp" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.tmp.sizeLimit }}
    {{- with .Values.tmp.medium }}
    medium: {{ . }}
    {{- end }}
{{- end }}

{{/* A pod with a folder of its own would keep its node from being taken away; what is in it is not missed. */}}
{{- define "sparring.podAnnotations" -}}
cluster-autoscaler.kubernetes.io/safe-to-evict: "true"
{{- with . }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Spread over nodes and zones where there are several: (list $ PART). */}}
{{- define "sparring.spread" -}}
topologySpreadConstraints:
  {{- $selects := include "sparring.selects" . | nindent 8 }}
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels: {{- $selects }}
  {{- end }}
{{- end }}

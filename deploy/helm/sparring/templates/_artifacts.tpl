{{/* Where the bytes of artifacts are, where they are not in the store itself. */}}

{{- define "sparring.artifactsEnv" -}}
{{- $artifacts := .Values.artifacts -}}
{{- $folder := "/var/lib/sparring/artifacts-secrets" -}}
{{- if $artifacts.url }}
{{- include "sparring.variable" (list "SPARRING_ARTIFACTS" $artifacts.url) }}
{{- include "sparring.variable" (list "SPARRING_S3_ENDPOINT" $artifacts.s3Endpoint) }}
{{- if and $artifacts.secret (hasPrefix "s3:" $artifacts.url) }}
{{- include "sparring.variable" (list "SPARRING_S3_KEY_FILE" (printf "%s/s3-key" $folder)) }}
{{- include "sparring.variable" (list "SPARRING_S3_SECRET_FILE" (printf "%s/s3-secret" $folder)) }}
{{- else if $artifacts.secret }}
{{- include "sparring.variable" (list "SPARRING_ARTIFACTS_PASSWORD_FILE" (printf "%s/password" $folder)) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sparring.artifactsMounts" -}}
{{- if .Values.artifacts.secret }}
- {name: artifacts-secret, mountPath: /var/lib/sparring/artifacts-secrets, readOnly: true}
{{- end }}
{{- if .Values.artifacts.existingClaim }}
- {name: artifacts, mountPath: /var/lib/sparring/artifacts}
{{- end }}
{{- end }}

{{- define "sparring.artifactsVolumes" -}}
{{- with .Values.artifacts.secret }}
- name: artifacts-secret
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.artifacts.existingClaim }}
- name: artifacts
  persistentVolumeClaim: {claimName: {{ . }}}
{{- end }}
{{- end }}

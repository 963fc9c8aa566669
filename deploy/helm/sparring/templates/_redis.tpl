{{/* Whether INFO says this of Redis, asked as the one user that may ask for nothing else. */}}
{{- define "sparring.redisProbe" -}}
REDISCLI_AUTH="$(cat /var/lib/sparring/secrets/probe-password)" redis-cli --user probe INFO persistence | grep -q '{{ . }}'
{{- end }}

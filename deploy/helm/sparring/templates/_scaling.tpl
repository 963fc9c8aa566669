{{/* How many workers of (list $ LANE BACKLOG) there should be: one for each unit that runs, and some for those that are
     ready, for this lane or for any. `max`: where two exporters tell of the same store, they tell the same. */}}
{{- define "sparring.demand" -}}
{{- $root := index . 0 -}}
{{- $matchers := list -}}
{{- range $name, $value := merge (deepCopy $root.Values.keda.labels) (dict "namespace" $root.Release.Namespace) -}}
{{- $matchers = append $matchers (printf "%s=%q" $name $value) -}}
{{- end -}}
{{- $where := join "," $matchers -}}
{{- $lane := index . 1 -}}
sum(max by (lane) (sparring_units{ {{- $where }},lane="{{ $lane }}",state="running"})) + sum(max by (lane) (sparring_units{ {{- $where }},lane=~"{{ $lane }}|any",state="ready"})) / {{ index . 2 }}
{{- end }}

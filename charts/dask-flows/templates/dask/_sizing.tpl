{{- /*
From Kubernetes resources to Dask's --nthreads and --memory-limit. Both are always given: left
alone, Dask counts the node's cores and takes only a share of the container's memory. The
agent applies the same rule to FlowRuns that ask for other resources.
*/}}

{{- /* A quantity as a plain number. Arguments: value, where (its values path). */}}
{{- define "dask-flows.quantity" -}}
{{- $factors := dict "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18
  "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- $pattern := "^([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][-+]?[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$" -}}
{{- $text := toString .value -}}
{{- if not (regexMatch $pattern $text) -}}
{{- fail (printf "%q is not a Kubernetes quantity (%s): write it like 500m, 2, 512Mi or 4Gi" $text .where) -}}
{{- end -}}
{{- $number := regexReplaceAll $pattern $text "${1}${2}" | float64 -}}
{{- $suffix := regexReplaceAll $pattern $text "${3}" -}}
{{- if eq $suffix "m" -}}
{{- /* dividing is exact where multiplying by 0.001 is not */ -}}
{{- divf $number 1000 -}}
{{- else -}}
{{- mulf $number (get $factors $suffix | default 1) -}}
{{- end -}}
{{- end }}

{{- /*
The limit of a resource, else its request, as a plain number; empty without either.
Arguments: settings (holds resources), name, where.
*/}}
{{- define "dask-flows.granted" -}}
{{- $resources := .settings.resources | default dict -}}
{{- $limit := get ($resources.limits | default dict) .name -}}
{{- $request := get ($resources.requests | default dict) .name -}}
{{- $value := ternary $request $limit (empty (toString $limit)) -}}
{{- if not (empty (toString $value)) -}}
{{- include "dask-flows.quantity" (dict "value" $value "where" (printf "%s.resources: %s" .where .name)) -}}
{{- end -}}
{{- end }}

{{- /* threads if set, else the CPU granted, rounded up, at least 1. Arguments: settings, where. */}}
{{- define "dask-flows.nthreads" -}}
{{- $cpu := include "dask-flows.granted" (merge (dict "name" "cpu") .) -}}
{{- if .settings.threads -}}
{{- .settings.threads | int64 -}}
{{- else if $cpu -}}
{{- max 1 (ceil $cpu | int64) -}}
{{- else -}}
1
{{- end -}}
{{- end }}

{{- /*
memoryLimit if set, else the memory granted in bytes, else 0, which is Dask's "no limit".
Arguments: settings, where.
*/}}
{{- define "dask-flows.memoryLimit" -}}
{{- $memory := include "dask-flows.granted" (merge (dict "name" "memory") .) -}}
{{- if .settings.memoryLimit -}}
{{- .settings.memoryLimit -}}
{{- else -}}
{{- $memory | default 0 | float64 | floor | int64 -}}
{{- end -}}
{{- end }}

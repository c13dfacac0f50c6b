{{- /*
metadata of an object that watches the release; it may stand in another namespace, and then its
name begins with the release's, so that releases of one name stay apart. Arguments: root, name,
settings (labels, namespace).
*/}}
{{- define "dask-flows.monitoring.metadata" -}}
{{- $meta := include "dask-flows.metadata" (dict "root" .root "component" "agent" "name" .name) | fromYaml -}}
{{- $_ := set $meta "labels" (merge $meta.labels (deepCopy .settings.labels)) -}}
{{- $own := .root.Release.Namespace -}}
{{- $namespace := .settings.namespace | default $own -}}
{{- if ne $namespace $own -}}
{{- $_ := set $meta "namespace" $namespace -}}
{{- $_ := set $meta "name" (printf "%s-%s" $own .name) -}}
{{- end -}}
{{- toYaml $meta -}}
{{- end }}

{{- /* The labels that the operator gives to what it scrapes from the agent's Service. */}}
{{- define "dask-flows.monitoring.selector" -}}
namespace="{{ .Release.Namespace }}",service="{{ include "dask-flows.agent.name" . }}"
{{- end }}

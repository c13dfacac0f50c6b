{{- /*
Labels that never change for a component: selectors are immutable, so neither versions nor
users' labels belong here. Arguments: root, component.
*/}}
{{- define "dask-flows.selectorLabels" -}}
app.kubernetes.io/name: {{ include "dask-flows.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /*
Selector labels of the shared cluster. The extra one keeps it apart from the clusters of
single runs, whose pods have the same components. Arguments: root, component.
*/}}
{{- define "dask-flows.clusterLabels" -}}
{{ include "dask-flows.selectorLabels" . }}
dask-flows.dev/cluster: {{ include "dask-flows.fullname" .root }}
{{- end }}

{{- /*
name, namespace, labels and annotations of an object; ours win over users' labels.
Arguments: root, component, name; optional: annotations (a dict).
*/}}
{{- define "dask-flows.metadata" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" "dask-flows" -}}
{{- $selectors := include "dask-flows.selectorLabels" . | fromYaml -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- merge $selectors $own (deepCopy .root.Values.commonLabels) | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) (deepCopy .root.Values.commonAnnotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Annotations of a hook. Arguments: hook (its events), weight. */}}
{{- define "dask-flows.hook" -}}
helm.sh/hook: {{ .hook }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
helm.sh/hook-output-log-policy: hook-failed
{{- end }}

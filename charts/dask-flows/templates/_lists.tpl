{{- /*
Merge lists of objects by one of their keys: a later entry replaces an earlier one in its
place. Server-side apply refuses duplicate keys, and $(VAR) in env needs the order, so the
lists are neither joined nor sorted. Arguments: key, lists. Returns a YAML list.
*/}}
{{- define "dask-flows.mergeBy" -}}
{{- $key := .key -}}
{{- $order := list -}}
{{- $entries := dict -}}
{{- range .lists -}}
  {{- range . -}}
    {{- $id := get . $key -}}
    {{- if not (hasKey $entries $id) -}}
      {{- $order = append $order $id -}}
    {{- end -}}
    {{- $_ := set $entries $id . -}}
  {{- end -}}
{{- end -}}
{{- $merged := list -}}
{{- range $order -}}
  {{- $merged = append $merged (get $entries .) -}}
{{- end -}}
{{- toYaml $merged -}}
{{- end }}

{{- /* Environment of every pod: the root is read-only, so all writers go to /tmp. */}}
{{- define "dask-flows.env.base" -}}
- {name: HOME, value: /tmp}
- {name: TMPDIR, value: /tmp}
- {name: DASK_TEMPORARY_DIRECTORY, value: /tmp}
- {name: PYTHONUNBUFFERED, value: "1"}
{{- end }}

{{- /* Who a pod of ours is, for the program in it. */}}
{{- define "dask-flows.env.identity" -}}
- name: DASK_FLOWS_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: DASK_FLOWS_POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: DASK_FLOWS_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- end }}

{{- /* helm test: a FlowRun, made and awaited from inside the namespace, in the selected mode. */}}
{{- define "dask-flows.test.metadata" -}}
{{- include "dask-flows.metadata" (dict
  "root" .root
  "component" "test"
  "name" (include "dask-flows.test.name" .root)
  "annotations" (include "dask-flows.hook" (dict "hook" "test" "weight" .weight) | fromYaml)) -}}
{{- end }}

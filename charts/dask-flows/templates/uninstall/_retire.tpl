{{- /*
The hook that runs after an uninstall. What a run made is owned by its FlowRun, and FlowRuns
stay: this Job ends the release's runs and removes their pods. The agent is gone by then, so
nothing is claimed meanwhile.
*/}}

{{- /* Metadata of an object of the hook. Arguments: root, weight. */}}
{{- define "dask-flows.retire.metadata" -}}
{{- $hook := include "dask-flows.hook" (dict "hook" "post-delete" "weight" .weight) | fromYaml -}}
{{- include "dask-flows.metadata" (dict
  "root" .root
  "component" "retire"
  "name" (include "dask-flows.retire.name" .root)
  "annotations" $hook) -}}
{{- end }}

{{- define "dask-flows.retire.pod" -}}
{{- include "dask-flows.pod" (dict
  "root" .
  "component" "retire"
  "settings" .Values.agent
  "container" (dict
    "program" "dask-flows"
    "args" (list
      "retire"
      (printf "--namespace=%s" .Release.Namespace)
      (printf "--instance=%s" .Release.Name)
      (printf "--lease=%s" (include "dask-flows.pauseLease.name" .))))
  "serviceAccount" (include "dask-flows.retire.name" .)
  "token" true
  "restartPolicy" "Never") -}}
{{- end }}

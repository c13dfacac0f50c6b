{{- /*
The hook that runs before an upgrade or a rollback. Helm replaces the shared cluster whether
runs use it or not: this Job takes the pause Lease, waits for the runs, and otherwise fails, so
that nothing is changed. It ends at once if the shared cluster stays as it is.
*/}}

{{- /* Arguments of "dask-flows.metadata" for an object of the hook. Arguments: root, weight. */}}
{{- define "dask-flows.drain.metadata" -}}
{{- $hook := include "dask-flows.hook" (dict "hook" "pre-upgrade,pre-rollback" "weight" .weight) | fromYaml -}}
{{- include "dask-flows.metadata" (dict
  "root" .root
  "component" "drain"
  "name" (include "dask-flows.drain.name" .root)
  "annotations" $hook) -}}
{{- end }}

{{- define "dask-flows.drain.pod" -}}
{{- include "dask-flows.pod" (dict
  "root" .
  "component" "drain"
  "settings" .Values.agent
  "container" (dict
    "program" "dask-flows"
    "args" (include "dask-flows.drain.args" . | fromYamlArray)
    "env" (include "dask-flows.env.identity" . | fromYamlArray))
  "serviceAccount" (include "dask-flows.drain.name" .)
  "token" true
  "restartPolicy" "Never") -}}
{{- end }}

{{- define "dask-flows.drain.args" -}}
- drain
- --release-fullname={{ include "dask-flows.fullname" . }}
- --namespace={{ .Release.Namespace }}
- --target-mode={{ .Values.mode }}
- --target-pod-hash={{ include "dask-flows.static.podHash" . }}
- --target-config={{ include "dask-flows.config.hash" . }}
- --lease={{ include "dask-flows.pauseLease.name" . }}
- --drain-seconds={{ .Values.upgrade.drainSeconds | int64 }}
{{- end }}

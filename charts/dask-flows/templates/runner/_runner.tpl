{{- /*
The pod of an attempt's Job: the flow itself runs here. The agent adds arguments, inputs and
names. It has no token: flow code cannot reach the Kubernetes API.
*/}}
{{- define "dask-flows.runner.pod" -}}
{{- $settings := .Values.runner -}}
{{- $container := dict
  "program" "dask-flows"
  "env" (include "dask-flows.env.identity" . | fromYamlArray) -}}
{{- include "dask-flows.pod" (dict
  "root" .
  "component" "runner"
  "settings" $settings
  "container" $container
  "serviceAccount" ($settings.serviceAccountName | default (include "dask-flows.serviceAccount.name" (dict "root" . "component" "runner")))
  "token" false
  "restartPolicy" "Never") -}}
{{- end }}

{{- /* The shared cluster of mode static, as its Deployments and Service show it. */}}

{{- /* Whether the chart makes it: "true" or empty. An outside scheduler is somebody else's. */}}
{{- define "dask-flows.static.made" -}}
{{- if and (eq .Values.mode "static") (not .Values.static.address) -}}true{{- end -}}
{{- end }}

{{- define "dask-flows.static.address" -}}
{{- $host := include "dask-flows.host" (dict "root" . "name" (include "dask-flows.scheduler.name" .)) -}}
{{- .Values.static.address | default (printf "tcp://%s:8786" $host) -}}
{{- end }}

{{- /* Of an outside scheduler only what the values say is known; may be empty. */}}
{{- define "dask-flows.static.dashboardAddress" -}}
{{- $host := include "dask-flows.host" (dict "root" . "name" (include "dask-flows.scheduler.name" .)) -}}
{{- $own := ternary "" (printf "http://%s:8787" $host) (not (empty .Values.static.address)) -}}
{{- .Values.static.dashboardAddress | default $own -}}
{{- end }}

{{- define "dask-flows.static.schedulerPod" -}}
{{- $labels := include "dask-flows.clusterLabels" (dict "root" . "component" "scheduler") | fromYaml -}}
{{- include "dask-flows.scheduler.pod" (dict "root" . "restartPolicy" "Always" "labels" $labels) -}}
{{- end }}

{{- define "dask-flows.static.workerPod" -}}
{{- $labels := include "dask-flows.clusterLabels" (dict "root" . "component" "worker") | fromYaml -}}
{{- $address := dict "name" "DASK_SCHEDULER_ADDRESS" "value" (include "dask-flows.static.address" .) -}}
{{- include "dask-flows.worker.pod" (dict "root" . "restartPolicy" "Always" "labels" $labels "env" (list $address)) -}}
{{- end }}

{{- define "dask-flows.static.serviceSpec" -}}
type: {{ .Values.static.serviceType }}
# One scheduler: there is no better pod to send traffic to while a probe fails.
publishNotReadyAddresses: true
selector:
  {{- include "dask-flows.clusterLabels" (dict "root" . "component" "scheduler") | nindent 2 }}
ports:
  - {name: tcp-comm, port: 8786, targetPort: tcp-comm, protocol: TCP}
  - {name: http-dashboard, port: 8787, targetPort: http-dashboard, protocol: TCP}
{{- end }}

{{- /*
Names the shared cluster that these values make; empty if they make none. An upgrade that
keeps it interrupts no run: chart versions and the number of workers are not part of it.
*/}}
{{- define "dask-flows.static.podHash" -}}
{{- if include "dask-flows.static.made" . -}}
{{- list
  (include "dask-flows.static.schedulerPod" . | fromYaml)
  (include "dask-flows.static.workerPod" . | fromYaml)
  (include "dask-flows.static.serviceSpec" . | fromYaml) | toJson | sha256sum -}}
{{- end -}}
{{- end }}

{{- /*
The scheduler's pod, the same for the shared cluster and for the cluster of one run.
Arguments: root, restartPolicy; optional: labels.
*/}}
{{- define "dask-flows.scheduler.pod" -}}
{{- $settings := .root.Values.dask.scheduler -}}
{{- $container := include "dask-flows.scheduler.container" .root | fromYaml -}}
{{- $_ := set $container "args" (concat $container.args $settings.extraArgs) -}}
{{- include "dask-flows.pod" (merge (dict
  "component" "scheduler"
  "settings" $settings
  "container" $container
  "serviceAccount" ($settings.serviceAccountName | default (include "dask-flows.serviceAccount.name" (dict "root" .root "component" "dask")))
  "token" false) .) -}}
{{- end }}

{{- define "dask-flows.scheduler.container" -}}
program: dask
args:
  - scheduler
  - --port
  - "8786"
  - --dashboard-address
  - ":8787"
  # The preload loads its pages when somebody opens them: half of the CPU time of a start.
  - --no-dashboard
  # Gives signs of life while the event loop is busy, so that runs can tell that from death.
  - --preload
  - dask_flows.clusters.scheduler_preload
env:
  - {name: DASK_DASK_FLOWS__PULSE_PORT, value: "8791"}
  # Without workers Dask would let tasks wait for ever.
  - name: DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT
    value: {{ printf "%ds" (int64 .Values.runs.workersTimeoutSeconds) | quote }}
  # Dask's own list, with the HTTP API that retires workers by name, and without the proxy,
  # whose websockets reach any host the scheduler reaches.
  - name: DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES
    value: {{ list
      "distributed.http.scheduler.prometheus"
      "distributed.http.scheduler.info"
      "distributed.http.scheduler.json"
      "distributed.http.scheduler.api"
      "distributed.http.health"
      "distributed.http.statics" | toJson | quote }}
ports:
  - {name: tcp-comm, containerPort: 8786, protocol: TCP}
  - {name: http-dashboard, containerPort: 8787, protocol: TCP}
  - {name: tcp-pulse, containerPort: 8791, protocol: TCP}
startupProbe:
  httpGet: {path: /health, port: http-dashboard}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 120
readinessProbe:
  httpGet: {path: /health, port: http-dashboard}
  periodSeconds: 5
  timeoutSeconds: 5
# A scheduler that reads a large graph may not answer for many seconds: only a long silence counts.
livenessProbe:
  httpGet: {path: /health, port: http-dashboard}
  periodSeconds: 15
  timeoutSeconds: 15
  failureThreshold: 6
{{- end }}

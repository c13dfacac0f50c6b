{{- /*
The worker's pod, the same for the shared cluster and for the cluster of one run. Where the
scheduler is comes from DASK_SCHEDULER_ADDRESS, which each mode adds.
Arguments: root, restartPolicy; optional: labels, env.
*/}}
{{- define "dask-flows.worker.pod" -}}
{{- $settings := .root.Values.dask.worker -}}
{{- $container := include "dask-flows.worker.container" .root | fromYaml -}}
{{- $_ := set $container "args" (concat $container.args $settings.extraArgs) -}}
{{- $_ := set $container "env" (concat (.env | default list) $container.env) -}}
{{- include "dask-flows.pod" (merge (dict
  "component" "worker"
  "settings" $settings
  "container" $container
  "serviceAccount" ($settings.serviceAccountName | default (include "dask-flows.serviceAccount.name" (dict "root" .root "component" "dask")))
  "token" false) .) -}}
{{- end }}

{{- define "dask-flows.worker.container" -}}
{{- $worker := .Values.dask.worker -}}
{{- $sizing := dict "settings" $worker "where" "dask.worker" -}}
program: dask
args:
  - worker
  - {{ ternary "--nanny" "--no-nanny" $worker.nanny }}
  - --name
  - $(DASK_WORKER_NAME)
  - --nthreads
  - {{ include "dask-flows.nthreads" $sizing | quote }}
  - --memory-limit
  - {{ include "dask-flows.memoryLimit" $sizing | quote }}
  - --worker-port
  - "8788"
  {{- if $worker.nanny }}
  - --nanny-port
  - "8789"
  {{- end }}
  - {{ ternary "--dashboard" "--no-dashboard" $worker.dashboard }}
  - --dashboard-address
  - ":8790"
  - --death-timeout
  - {{ $worker.deathTimeoutSeconds | int64 | quote }}
  # Hands its results to other workers on SIGTERM, which Dask itself does not.
  - --preload
  - dask_flows.clusters.worker_preload
env:
  - name: DASK_WORKER_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  # How long the preload may hand results over: the kill comes ten seconds later.
  - name: DASK_DASK_FLOWS__WORKER_GRACE
    value: {{ max 1 (sub (int64 $worker.terminationGracePeriodSeconds) 10) | quote }}
  # What a nanny would set: libraries must not start threads of their own beside Dask's, and
  # freed memory goes back to the system. Read before Python starts, so a preload is too late.
  - {name: OMP_NUM_THREADS, value: "1"}
  - {name: MKL_NUM_THREADS, value: "1"}
  - {name: OPENBLAS_NUM_THREADS, value: "1"}
  - {name: MALLOC_TRIM_THRESHOLD_, value: "65536"}
ports:
  - {name: tcp-comm, containerPort: 8788, protocol: TCP}
  {{- if $worker.nanny }}
  - {name: tcp-nanny, containerPort: 8789, protocol: TCP}
  {{- end }}
  - {name: http-dashboard, containerPort: 8790, protocol: TCP}
# No liveness probe: a task that holds the interpreter's lock would fail it and be killed.
readinessProbe:
  httpGet: {path: /health, port: http-dashboard}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

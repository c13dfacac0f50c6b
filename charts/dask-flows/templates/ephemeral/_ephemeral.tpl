{{- /* Pod templates for the cluster of one run; the agent adds names, labels, owner and address. */}}

{{- /* Whether a run may have a cluster of its own: "true" or empty. */}}
{{- define "dask-flows.ephemeral.offered" -}}
{{- if or (eq .Values.mode "ephemeral") .Values.agent.allowModeOverride -}}true{{- end -}}
{{- end }}

{{- /* A scheduler that dies has lost the run's results: the attempt ends with it. */}}
{{- define "dask-flows.ephemeral.schedulerPod" -}}
{{- include "dask-flows.scheduler.pod" (dict "root" . "restartPolicy" "Never") -}}
{{- end }}

{{- /* A worker that retires ends with 0 and stays ended; one that fails comes back. */}}
{{- define "dask-flows.ephemeral.workerPod" -}}
{{- include "dask-flows.worker.pod" (dict "root" . "restartPolicy" "OnFailure") -}}
{{- end }}

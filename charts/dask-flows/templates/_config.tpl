{{- /*
Everything the agent knows of the chart: names, addresses, defaults and pod templates. Python
patches the templates and rebuilds nothing.
*/}}
{{- define "dask-flows.config" -}}
apiVersion: dask-flows.dev/v1alpha1
kind: AgentConfig
release:
  name: {{ .Release.Name | quote }}
  namespace: {{ .Release.Namespace | quote }}
  fullname: {{ include "dask-flows.fullname" . }}
  chart: {{ .Chart.Name }}-{{ .Chart.Version }}
labels:
  {{- $name := dict
    "app.kubernetes.io/name" (include "dask-flows.name" .)
    "app.kubernetes.io/instance" .Release.Name
    "app.kubernetes.io/part-of" "dask-flows" }}
  {{- merge $name (deepCopy .Values.commonLabels) | toYaml | nindent 2 }}
annotations:
  {{- toYaml .Values.commonAnnotations | nindent 2 }}
mode: {{ .Values.mode }}
allowModeOverride: {{ .Values.agent.allowModeOverride }}
channel:
  url: http://{{ include "dask-flows.host" (dict "root" . "name" (include "dask-flows.agent.name" .)) }}:8700
  port: 8700
pauseLease: {{ include "dask-flows.pauseLease.name" . }}
runs:
  startDeadlineSeconds: {{ .Values.runs.startDeadlineSeconds | int64 }}
  deadlineSeconds: {{ .Values.runs.deadlineSeconds | toJson }}
  ttlSecondsAfterFinished: {{ .Values.runs.ttlSecondsAfterFinished | toJson }}
  schedulerTimeoutSeconds: {{ .Values.runs.schedulerTimeoutSeconds | int64 }}
  workersTimeoutSeconds: {{ .Values.runs.workersTimeoutSeconds | int64 }}
  strictEnvironment: {{ .Values.runs.strictEnvironment }}
{{- if eq .Values.mode "static" }}
static:
  address: {{ include "dask-flows.static.address" . }}
  dashboardAddress: {{ include "dask-flows.static.dashboardAddress" . | quote }}
  minimum: {{ .Values.static.workers.minimum | int64 }}
  podHash: {{ include "dask-flows.static.podHash" . | quote }}
{{- else }}
static: null
{{- end }}
ephemeral:
  minimum: {{ .Values.ephemeral.minimum | int64 }}
  maximum: {{ .Values.ephemeral.maximum | int64 }}
interruptible:
  {{- toYaml .Values.dask.interruptible | nindent 2 }}
templates:
  runner:
    {{- include "dask-flows.runner.pod" . | nindent 4 }}
  {{- if include "dask-flows.ephemeral.offered" . }}
  scheduler:
    {{- include "dask-flows.ephemeral.schedulerPod" . | nindent 4 }}
  worker:
    {{- include "dask-flows.ephemeral.workerPod" . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "dask-flows.config.hash" -}}
{{- include "dask-flows.config" . | sha256sum -}}
{{- end }}

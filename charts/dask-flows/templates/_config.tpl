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
  {{- include "dask-flows.config.runs" . | nindent 2 }}
{{- if eq .Values.mode "static" }}
static:
  address: {{ include "dask-flows.static.address" . }}
  dashboardAddress: {{ include "dask-flows.static.dashboardAddress" . | quote }}
  minimum: {{ .Values.static.workers.minimum | int64 }}
  podHash: {{ include "dask-flows.static.podHash" . | quote }}
  maxConcurrentRuns: {{ .Values.static.maxConcurrentRuns | toJson }}
{{- else }}
static: null
{{- end }}
ephemeral:
  {{- include "dask-flows.config.ephemeral" . | nindent 2 }}
interruptible:
  {{- toYaml .Values.dask.interruptible | nindent 2 }}
templates:
  {{- include "dask-flows.config.templates" . | nindent 2 }}
limits:
  maxConcurrentRuns: {{ .Values.agent.maxConcurrentRuns | toJson }}
  createsPerSecond: {{ .Values.agent.rateLimit.createsPerSecond | int64 }}
  burst: {{ .Values.agent.rateLimit.burst | int64 }}
profiles:
  {{- include "dask-flows.profiles" . | nindent 2 }}
{{- end }}

{{- define "dask-flows.config.hash" -}}
{{- include "dask-flows.config" . | sha256sum -}}
{{- end }}

{{- /* Parts that the release and each of its profiles have. */}}

{{- define "dask-flows.config.runs" -}}
startDeadlineSeconds: {{ .Values.runs.startDeadlineSeconds | int64 }}
deadlineSeconds: {{ .Values.runs.deadlineSeconds | toJson }}
ttlSecondsAfterFinished: {{ .Values.runs.ttlSecondsAfterFinished | toJson }}
schedulerTimeoutSeconds: {{ .Values.runs.schedulerTimeoutSeconds | int64 }}
workersTimeoutSeconds: {{ .Values.runs.workersTimeoutSeconds | int64 }}
strictEnvironment: {{ .Values.runs.strictEnvironment }}
retries:
  limit: {{ .Values.runs.retries.limit | int64 }}
  backoffSeconds: {{ .Values.runs.retries.backoffSeconds | int64 }}
  infrastructure: {{ .Values.runs.retries.infrastructure | int64 }}
{{- end }}

{{- define "dask-flows.config.ephemeral" -}}
minimum: {{ .Values.ephemeral.minimum | int64 }}
maximum: {{ .Values.ephemeral.maximum | int64 }}
networkPolicy:
  enabled: {{ .Values.ephemeral.networkPolicy.enabled }}
  dashboardFrom: {{ .Values.ephemeral.networkPolicy.dashboardFrom | toJson }}
{{- end }}

{{- define "dask-flows.config.templates" -}}
runner:
  {{- include "dask-flows.runner.pod" . | nindent 2 }}
{{- if include "dask-flows.ephemeral.offered" . }}
scheduler:
  {{- include "dask-flows.ephemeral.schedulerPod" . | nindent 2 }}
worker:
  {{- include "dask-flows.ephemeral.workerPod" . | nindent 2 }}
{{- end }}
{{- end }}

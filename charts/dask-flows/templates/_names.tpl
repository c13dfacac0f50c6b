{{- /*
One named template per object name. They are also published to Python in config.yaml,
so no name is built twice.
*/}}

{{- define "dask-flows.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- /*
The prefix of every name. At most 48 characters, so that each suffix below still makes a
valid Service name; a longer one keeps a hash, so two long release names stay apart.
Release names may hold dots, Service names may not.
*/}}
{{- define "dask-flows.fullname" -}}
{{- $name := include "dask-flows.name" . -}}
{{- $joined := printf "%s-%s" .Release.Name $name -}}
{{- $full := .Values.fullnameOverride | default (ternary .Release.Name $joined (contains $name .Release.Name)) | replace "." "-" -}}
{{- if gt (len $full) 48 -}}
{{- printf "%s-%s" ($full | trunc 39 | trimSuffix "-") ($full | sha256sum | trunc 8) -}}
{{- else -}}
{{- $full -}}
{{- end -}}
{{- end }}

{{- /* agent: Deployment, Service, Role and RoleBinding */}}
{{- define "dask-flows.agent.name" -}}
{{ include "dask-flows.fullname" . }}-agent
{{- end }}

{{- /* agent: its settings */}}
{{- define "dask-flows.config.name" -}}
{{ include "dask-flows.fullname" . }}-config
{{- end }}

{{- /* the Lease that holds back new runs during an upgrade */}}
{{- define "dask-flows.pauseLease.name" -}}
{{ include "dask-flows.fullname" . }}-pause
{{- end }}

{{- /* the shared cluster: Deployment and Service of its scheduler */}}
{{- define "dask-flows.scheduler.name" -}}
{{ include "dask-flows.fullname" . }}-scheduler
{{- end }}

{{- /* the shared cluster: Deployment of its workers */}}
{{- define "dask-flows.worker.name" -}}
{{ include "dask-flows.fullname" . }}-worker
{{- end }}

{{- /* the upgrade hook: Job, ServiceAccount, Role and RoleBinding */}}
{{- define "dask-flows.drain.name" -}}
{{ include "dask-flows.fullname" . }}-drain
{{- end }}

{{- /* the uninstall hook: Job, ServiceAccount, Role and RoleBinding */}}
{{- define "dask-flows.retire.name" -}}
{{ include "dask-flows.fullname" . }}-retire
{{- end }}

{{- /* helm test: Pod, ServiceAccount, Role and RoleBinding */}}
{{- define "dask-flows.test.name" -}}
{{ include "dask-flows.fullname" . }}-test
{{- end }}

{{- /* the Role for people */}}
{{- define "dask-flows.user.name" -}}
{{ include "dask-flows.fullname" . }}-user
{{- end }}

{{- /* Arguments: root, component (agent, runner or dask, which name a block of values). */}}
{{- define "dask-flows.serviceAccount.name" -}}
{{- $made := printf "%s-%s" (include "dask-flows.fullname" .root) .component -}}
{{- with (index .root.Values .component).serviceAccount -}}
{{- .name | default (ternary $made "default" .create) -}}
{{- end -}}
{{- end }}

{{- /* A Service's DNS name. Arguments: root, name. */}}
{{- define "dask-flows.host" -}}
{{ .name }}.{{ .root.Release.Namespace }}.svc
{{- end }}

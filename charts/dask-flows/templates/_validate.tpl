{{- /*
Checks that the schema cannot make. Each failure says what was found, where, and what to do;
all of them are shown at once. Included by config.yaml alone.
*/}}
{{- define "dask-flows.validate" -}}
{{- $problems := list -}}
{{- range list "image" "names" "numbers" "accounts" "reserved" "alone" -}}
  {{- with include (printf "dask-flows.validate.%s" .) $ | trim -}}
    {{- $problems = append $problems . -}}
  {{- end -}}
{{- end -}}
{{- with $problems -}}
{{- fail (printf "\n\n%s\n" (join "\n" .)) -}}
{{- end -}}
{{- end }}

{{- define "dask-flows.validate.image" -}}
{{- if not .Values.image.repository }}
no image is set (image.repository): make one and name it
{{- include "dask-flows.imageHelp" . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "dask-flows.validate.names" -}}
{{- $fullname := include "dask-flows.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) }}
{{ $fullname | quote }} cannot begin the name of a Service (fullnameOverride, nameOverride or the release's name): use lower-case letters, digits and dashes, a letter first
{{- end }}
{{- end }}

{{- define "dask-flows.validate.numbers" -}}
{{- with .Values.ephemeral }}
{{- if gt (int64 .minimum) (int64 .maximum) }}
minimum {{ int64 .minimum }} is more than maximum {{ int64 .maximum }} (ephemeral): raise maximum, or lower minimum
{{- end }}
{{- end }}
{{- range $name, $profile := .Values.profiles }}
{{- $workers := merge (dict) ($profile.workers | default dict) $.Values.ephemeral }}
{{- if gt (int64 $workers.minimum) (int64 $workers.maximum) }}
minimum {{ int64 $workers.minimum }} is more than maximum {{ int64 $workers.maximum }} (profiles.{{ $name }}.workers): set both
{{- end }}
{{- end }}
{{- $replicas := .Values.static.workers.replicas }}
{{- $minimum := int64 .Values.static.workers.minimum }}
{{- if and (include "dask-flows.static.made" .) (not (kindIs "invalid" $replicas)) }}
{{- if gt $minimum (int64 $replicas) }}
runs would wait for {{ $minimum }} workers of {{ int64 $replicas }} (static.workers.minimum, static.workers.replicas): lower minimum, raise replicas, or set replicas to null if something else scales the workers
{{- end }}
{{- end }}
{{- end }}

{{- define "dask-flows.validate.accounts" -}}
{{- with .Values.agent.serviceAccount }}
{{- if not (or .create .name) }}
the agent's rights would go to every pod of the namespace (agent.serviceAccount): name the account that you made, or let the chart create one
{{- end }}
{{- end }}
{{- end }}

{{- define "dask-flows.validate.reserved" -}}
{{- $blocks := dict "agent" .Values.agent "runner" .Values.runner "dask.scheduler" .Values.dask.scheduler "dask.worker" .Values.dask.worker }}
{{- $runners := dict "runner" .Values.runner }}
{{- range $name, $profile := .Values.profiles }}
{{- range $role := list "runner" "scheduler" "worker" }}
{{- $_ := set $blocks (printf "profiles.%s.%s" $name $role) (get $profile $role | default dict) }}
{{- end }}
{{- $_ := set $runners (printf "profiles.%s.runner" $name) ($profile.runner | default dict) }}
{{- end }}
{{- range $path, $settings := $blocks }}
{{- range $settings.env }}
{{- if or (hasPrefix "DASK_FLOWS_" .name) (has .name (list "DASK_SCHEDULER_ADDRESS" "DASK_WORKER_NAME")) }}
{{ .name }} is set by the chart and the agent ({{ $path }}.env): remove it; an outside scheduler goes into static.address
{{- end }}
{{- end }}
{{- end }}
{{- range $path, $settings := $runners }}
{{- range $settings.volumes }}
{{- if has .name (list "attempt" "token" "source") }}
{{ .name | quote }} is a volume that the agent adds ({{ $path }}.volumes): choose another name
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Two agents would take each other's runs. lookup finds nothing when only rendering. */}}
{{- define "dask-flows.validate.alone" -}}
{{- range (lookup "apps/v1" "Deployment" .Release.Namespace "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- $ours := and (eq (get $labels "app.kubernetes.io/part-of") "dask-flows") (eq (get $labels "app.kubernetes.io/component") "agent") }}
{{- $other := get $labels "app.kubernetes.io/instance" }}
{{- if and $ours (ne $other $.Release.Name) }}
the namespace {{ $.Release.Namespace }} has the release {{ $other }} already (--namespace): install into a namespace of its own, or upgrade that release
{{- end }}
{{- end }}
{{- end }}

{{- define "dask-flows.agent.pod" -}}
{{- $config := dict "name" "config" "configMap" (dict "name" (include "dask-flows.config.name" .)) -}}
{{- include "dask-flows.pod" (dict
  "root" .
  "component" "agent"
  "settings" .Values.agent
  "container" (include "dask-flows.agent.container" . | fromYaml)
  "volumes" (list $config)
  "annotations" (dict "checksum/config" (include "dask-flows.config.hash" .))
  "serviceAccount" (include "dask-flows.serviceAccount.name" (dict "root" . "component" "agent"))
  "token" true
  "restartPolicy" "Always") -}}
{{- end }}

{{- define "dask-flows.agent.container" -}}
program: dask-flows
args:
  - agent
  - --config
  - /etc/dask-flows/config.yaml
  - --log-level
  - {{ .Values.agent.logLevel }}
  - --log-format
  - {{ .Values.agent.logFormat }}
  - --metrics-port
  - {{ .Values.agent.metricsPort | int64 | quote }}
env:
  {{- include "dask-flows.env.identity" . | nindent 2 }}
ports:
  - {name: http, containerPort: 8700, protocol: TCP}
  - {name: metrics, containerPort: {{ .Values.agent.metricsPort | int64 }}, protocol: TCP}
volumeMounts:
  - {name: config, mountPath: /etc/dask-flows, readOnly: true}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 120
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  # An agent that hangs logs where it does after 60 s; it needs the time to say so.
  failureThreshold: 9
{{- end }}

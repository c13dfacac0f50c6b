{{- /*
The pod builder: every pod of the product is made here, so security, environment and
scheduling are decided once. Returns a pod template (metadata and spec). Arguments:
  root            the top-level context
  component       label and name of the container
  settings        the component's values: resources, env, volumes, nodeSelector, …
  container       program, args, env, ports, probes and volumeMounts of the container
  volumes         optional list
  labels          optional dict; wins over users' labels
  annotations     optional dict; wins over users' annotations
  serviceAccount  its name
  token           whether the pod gets the ServiceAccount's token
  restartPolicy   Always, OnFailure or Never
*/}}
{{- define "dask-flows.pod" -}}
{{- $s := .settings -}}
{{- $root := .root -}}
{{- $selectors := include "dask-flows.selectorLabels" . | fromYaml -}}
{{- $partOf := dict "app.kubernetes.io/part-of" "dask-flows" -}}
metadata:
  labels:
    {{- merge $selectors $partOf (.labels | default dict) (deepCopy $s.podLabels) (deepCopy $root.Values.commonLabels) | toYaml | nindent 4 }}
  {{- with merge (dict) (.annotations | default dict) (deepCopy $s.podAnnotations) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ .serviceAccount }}
  automountServiceAccountToken: {{ .token }}
  # A Service named dask-… would otherwise set DASK_… variables, which Dask reads as settings.
  enableServiceLinks: false
  restartPolicy: {{ .restartPolicy }}
  terminationGracePeriodSeconds: {{ $s.terminationGracePeriodSeconds | int64 }}
  securityContext:
    {{- toYaml $root.Values.podSecurityContext | nindent 4 }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "dask-flows.pod.scheduling" . }}
  {{- . | nindent 2 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "dask-flows.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      # An init process passes signals on and reaps children; -g reaches the whole group.
      command: [tini, -g, --, {{ .container.program }}]
      {{- with .container.args }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        {{- $base := include "dask-flows.env.base" $root | fromYamlArray }}
        {{- include "dask-flows.mergeBy" (dict "key" "name" "lists" (list $base .container.env $s.env)) | nindent 8 }}
      {{- with $s.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with pick .container "ports" "startupProbe" "readinessProbe" "livenessProbe" }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- with $s.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      # The last lines of the log say more about a sudden end than an empty message.
      terminationMessagePolicy: FallbackToLogsOnError
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        {{- $tmpMount := dict "name" "tmp" "mountPath" "/tmp" }}
        {{- include "dask-flows.mergeBy" (dict "key" "mountPath" "lists" (list (list $tmpMount) .container.volumeMounts $s.volumeMounts)) | nindent 8 }}
  volumes:
    {{- $tmp := dict "name" "tmp" "emptyDir" (dict "sizeLimit" $s.tmpSizeLimit) }}
    {{- include "dask-flows.mergeBy" (dict "key" "name" "lists" (list (list $tmp) .volumes $s.volumes)) | nindent 4 }}
{{- end }}

{{- /*
Where a pod may run, as YAML; empty if nothing is set. A spread constraint without a selector
gets one that spreads each cluster on its own. Arguments: as "dask-flows.pod".
*/}}
{{- define "dask-flows.pod.scheduling" -}}
{{- $set := dict -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" "runtimeClassName" -}}
  {{- with get $.settings $key -}}
    {{- $_ := set $set $key . -}}
  {{- end -}}
{{- end -}}
{{- $selector := dict "matchLabels" (include "dask-flows.selectorLabels" . | fromYaml) -}}
{{- $default := dict "labelSelector" $selector "matchLabelKeys" (list "dask-flows.dev/cluster") -}}
{{- $spread := list -}}
{{- range .settings.topologySpreadConstraints -}}
  {{- $spread = append $spread (merge (dict) . (ternary dict (deepCopy $default) (hasKey . "labelSelector"))) -}}
{{- end -}}
{{- with $spread -}}
  {{- $_ := set $set "topologySpreadConstraints" . -}}
{{- end -}}
{{- with $set -}}
{{- toYaml . -}}
{{- end -}}
{{- end }}

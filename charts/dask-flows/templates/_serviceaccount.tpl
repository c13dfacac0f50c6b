{{- /*
A ServiceAccount, unless the values name an existing one. It hands out no token by itself:
a pod that needs one says so. Arguments: root, component (agent, runner or dask).
*/}}
{{- define "dask-flows.serviceAccount" -}}
{{- $settings := (index .root.Values .component).serviceAccount -}}
{{- $name := include "dask-flows.serviceAccount.name" . -}}
{{- if $settings.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "dask-flows.metadata" (merge (dict "name" $name "annotations" $settings.annotations) .) | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}
{{- end }}

{{- /*
Bind a Role to one ServiceAccount. Arguments: root, component, name (of both Role and binding),
serviceAccount; optional: annotations.
*/}}
{{- define "dask-flows.roleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "dask-flows.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .serviceAccount }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}

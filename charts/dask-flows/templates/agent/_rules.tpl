{{- /*
What the agent may do. The same in every mode, so that runs of the other mode are still
finished after a switch. It creates Secrets but can neither read nor delete them, and has no exec.
A test holds these verbs against the agent's code: nothing is granted that no line of it asks for.
*/}}
{{- define "dask-flows.agent.rules" -}}
- apiGroups: [dask-flows.dev]
  resources: [flowruns]
  verbs: [get, list, watch]
- apiGroups: [dask-flows.dev]
  resources: [flowruns/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [create, get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [create, get, list, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, get, list, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  # list and watch are allowed for one name because the agent asks with fieldSelector metadata.name.
  resourceNames: [{{ include "dask-flows.pauseLease.name" . }}]
  verbs: [get, list, watch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list, watch]
{{- end }}

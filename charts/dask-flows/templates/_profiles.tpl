{{- /*
Profiles: each is rendered like the release itself, from its values with the profile laid over them.
*/}}

{{- /* All of them, by name. */}}
{{- define "dask-flows.profiles" -}}
{{- $all := dict -}}
{{- range $name, $profile := .Values.profiles -}}
  {{- $_ := set $all $name (include "dask-flows.profile" (dict "root" $ "profile" $profile) | fromYaml) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end }}

{{- /* What the agent reads of one profile. Arguments: root, profile. */}}
{{- define "dask-flows.profile" -}}
{{- $root := pick .root "Release" "Chart" "Capabilities" "Template" "Files" -}}
{{- $_ := set $root "Values" (deepCopy .root.Values) -}}
{{- include "dask-flows.profile.apply" (dict "values" $root.Values "profile" .profile) -}}
maxConcurrentRuns: {{ .profile.maxConcurrentRuns | toJson }}
runs:
  {{- include "dask-flows.config.runs" $root | nindent 2 }}
ephemeral:
  {{- include "dask-flows.config.ephemeral" $root | nindent 2 }}
templates:
  {{- include "dask-flows.config.templates" $root | nindent 2 }}
{{- end }}

{{- /* Lay a profile over the release's values, in place. Arguments: values, profile. */}}
{{- define "dask-flows.profile.apply" -}}
{{- $dask := .values.dask -}}
{{- $places := dict
  "image" .values.image "runs" .values.runs "workers" .values.ephemeral
  "runner" .values.runner "scheduler" $dask.scheduler "worker" $dask.worker -}}
{{- $image := .profile.image | default dict -}}
{{- if or $image.repository $image.tag -}}
  {{- /* The release's digest would decide against another name or tag. */ -}}
  {{- $_ := set .values.image "digest" "" -}}
{{- end -}}
{{- range $key, $place := $places -}}
  {{- include "dask-flows.overlay" (dict "under" $place "over" (get $.profile $key | default dict)) -}}
{{- end -}}
{{- end }}

{{- /*
Lay one mapping over another, in place: mappings are merged, lists with names too, null takes away, all
else replaces. (mergeOverwrite of the template language leaves out false and 0.) Arguments: under, over.
*/}}
{{- define "dask-flows.overlay" -}}
{{- $keys := dict "env" "name" "volumes" "name" "volumeMounts" "mountPath" -}}
{{- $under := .under -}}
{{- range $key, $value := .over -}}
  {{- $old := get $under $key -}}
  {{- if kindIs "invalid" $value -}}
    {{- $_ := unset $under $key -}}
  {{- else if and (kindIs "map" $value) (kindIs "map" $old) -}}
    {{- include "dask-flows.overlay" (dict "under" $old "over" $value) -}}
  {{- else if and (hasKey $keys $key) (kindIs "slice" $old) -}}
    {{- $lists := dict "key" (get $keys $key) "lists" (list $old $value) -}}
    {{- $_ := set $under $key (include "dask-flows.mergeBy" $lists | fromYamlArray) -}}
  {{- else -}}
    {{- $_ := set $under $key $value -}}
  {{- end -}}
{{- end -}}
{{- end }}

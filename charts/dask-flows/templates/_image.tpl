{{- /*
The one image of all pods: registry/repository:tag@digest. A digest decides alone; a tag
beside it is kept for the reader if it was set.
*/}}
{{- define "dask-flows.image" -}}
{{- $image := .Values.image -}}
{{- $registry := (.Values.global).imageRegistry | default $image.registry -}}
{{- $tag := $image.tag | default (ternary "" .Chart.AppVersion (not (empty $image.digest))) -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- with $tag }}:{{ . }}{{ end -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{- /* The commands that make an image and bring it into a cluster. */}}
{{- define "dask-flows.imageHelp" -}}
build it           images/build.sh --tag dask-flows:dev
push it            to a registry that the cluster can pull from
or load it         kind load docker-image dask-flows:dev, minikube image load dask-flows:dev
and set            --set image.registry= --set image.repository=dask-flows --set image.tag=dev
private registry   --set 'image.pullSecrets[0].name=SECRET'
{{- end }}

{{/* What makes an object part of the job that runs before the rest. Takes (dict "root" $ "weight" "0"). */}}
{{- define "sallyport.caHookMeta" -}}
name: {{ include "sallyport.fullname" .root }}-ca
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "sallyport.labels" (dict "root" .root "component" "ca") | nindent 2 }}
annotations:
  helm.sh/hook: pre-install,pre-upgrade
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

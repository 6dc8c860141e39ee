{{/* What every pod of ours is allowed to do: next to nothing. */}}
{{- define "sallyport.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .uid }}
  runAsGroup: {{ .uid }}
  # Lets this user read mounted Secrets, which are not open to others.
  fsGroup: {{ .uid }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "sallyport.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* A variable from the infra Secret. Takes (dict "root" $ "name" NAME "optional" bool). */}}
{{- define "sallyport.infraVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .root.Values.secretManager.existingSecretName }}
      key: {{ printf "%s%s" .root.Values.secretManager.envPrefix .name }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end }}

{{/* What the API and the proxy both know: the mode, never a token of a source. */}}
{{- define "sallyport.sharedEnv" -}}
- name: FIREWALL_MANAGER_SECRET_SOURCE
  value: {{ .Values.ironProxy.secretSource }}
- name: FIREWALL_MANAGER_SECRET_TTL
  value: {{ .Values.ironProxy.secretTtl | quote }}
{{ include "sallyport.infraVariable" (dict "root" . "name" "OP_VAULT" "optional" (eq .Values.ironProxy.secretSource "env")) }}
{{ include "sallyport.infraVariable" (dict "root" . "name" "IRON_MANAGEMENT_API_KEY") }}
{{ include "sallyport.infraVariable" (dict "root" . "name" "SANDBOX_SIGNING_KEY") }}
{{- end }}

{{/* The configuration and the tools, as one folder. */}}
{{- define "sallyport.configVolume" -}}
- name: config
  configMap:
    name: {{ include "sallyport.fullname" . }}-config
    items:
      - key: proxy.yaml
        path: proxy.yaml
      {{- range $name, $_ := .Values.tools.declarations }}
      - key: tool.{{ $name }}.toml
        path: tools/{{ $name }}/pyproject.toml
      {{- end }}
{{- end }}

{{- define "sallyport.caCertVolume" -}}
- name: ca-cert
  secret:
    secretName: {{ include "sallyport.caCertSecret" . }}
    items:
      - key: {{ .Values.ca.certKey }}
        path: ca-cert.pem
{{- end }}

{{/*
Changes of the configuration roll the pods; so does, with helm upgrade, a change of the Secrets.
A template without a cluster finds no Secret and says nothing of them.
*/}}
{{- define "sallyport.checksums" -}}
checksum/config: {{ include "sallyport.configData" . | sha256sum }}
{{- $versions := list }}
{{- range list .Values.secretManager.existingSecretName (include "sallyport.caKeySecret" .) }}
{{- with lookup "v1" "Secret" $.Release.Namespace . }}
{{- $versions = append $versions .metadata.resourceVersion }}
{{- end }}
{{- end }}
{{- with $versions }}
checksum/secrets: {{ join "," . | sha256sum }}
{{- end }}
{{- end }}

{{- define "sallyport.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Names as the page of Centaur has them: release and chart, never folded into one. */}}
{{- define "sallyport.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "sallyport.fullname" -}}
{{- .Values.fullnameOverride | default (printf "%s-%s" .Release.Name (include "sallyport.name" .)) | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "sallyport.proxyHost" -}}
{{ include "sallyport.fullname" . }}-proxy.{{ .Release.Namespace }}.svc
{{- end }}

{{/* Labels that pods are found by. Takes (dict "root" $ "component" "proxy"). */}}
{{- define "sallyport.selectorLabels" -}}
app.kubernetes.io/name: {{ eq .component "connect" | ternary "connect" (include "sallyport.name" .root) }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "sallyport.labels" -}}
{{ include "sallyport.selectorLabels" . }}
app.kubernetes.io/part-of: {{ include "sallyport.name" .root }}
app.kubernetes.io/version: {{ (eq .component "connect" | ternary .root.Values.onepasswordConnect.connect.version .root.Chart.AppVersion) | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "sallyport.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "sallyport.caCertSecret" -}}
{{- .Values.ca.existingCertSecret | default .Values.ca.create.certSecret -}}
{{- end }}

{{- define "sallyport.caKeySecret" -}}
{{- .Values.ca.existingKeySecret | default .Values.ca.create.keySecret -}}
{{- end }}

{{/* Whether the job makes the CA: "true" or nothing. */}}
{{- define "sallyport.makesCa" -}}
{{- if not .Values.ca.existingCertSecret }}true{{ end -}}
{{- end }}

{{/* The URL of Connect, as the proxy sees it. */}}
{{- define "sallyport.connectHost" -}}
{{- .Values.onepasswordConnect.host | default (printf "http://%s-connect:8080" (include "sallyport.fullname" .)) -}}
{{- end }}

{{/* The port of a URL, also where it is the scheme's own. */}}
{{- define "sallyport.portOf" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (eq $url.scheme "https" | ternary "443" "80") -}}
{{- end }}

{{/* What the schema cannot see: values that contradict each other. Each message says what to do. */}}
{{- define "sallyport.validate" -}}
{{- $mode := .Values.ironProxy.secretSource }}
{{- $connect := .Values.onepasswordConnect }}
{{- if not (has $mode (list "env" "onepassword" "onepassword-connect")) }}
{{- fail (printf "ironProxy.secretSource: %q is none of env, onepassword, onepassword-connect" $mode) }}
{{- end }}
{{- if not .Values.secretManager.existingSecretName }}
{{- fail "secretManager.existingSecretName: name the Secret with IRON_MANAGEMENT_API_KEY and SANDBOX_SIGNING_KEY" }}
{{- end }}
{{- if and $connect.connect.create (ne $mode "onepassword-connect") }}
{{- fail (printf "onepasswordConnect.connect.create: nothing would use the Connect server with ironProxy.secretSource %s; set that to onepassword-connect, or create to false" $mode) }}
{{- end }}
{{- if and $connect.host (ne $mode "onepassword-connect") }}
{{- fail (printf "onepasswordConnect.host: nothing would use it with ironProxy.secretSource %s; set that to onepassword-connect, or host to \"\"" $mode) }}
{{- end }}
{{- if eq $mode "onepassword-connect" }}
{{- if and $connect.connect.create $connect.host }}
{{- fail "onepasswordConnect: connect.create and host are two Connect servers; keep one" }}
{{- end }}
{{- if not (or $connect.connect.create $connect.host) }}
{{- fail "ironProxy.secretSource onepassword-connect needs a Connect server: set onepasswordConnect.connect.create to true, or onepasswordConnect.host to the URL of one" }}
{{- end }}
{{- end }}
{{- if ne (empty .Values.ca.existingCertSecret) (empty .Values.ca.existingKeySecret) }}
{{- fail "ca: existingCertSecret and existingKeySecret belong together; give both, or neither to have a CA made" }}
{{- end }}
{{- if eq (include "sallyport.caCertSecret" .) (include "sallyport.caKeySecret" .) }}
{{- fail "ca: the certificate and the key need a Secret each, because workloads mount the first" }}
{{- end }}
{{- range list "tools" "management" "metrics" }}
{{- if hasKey $.Values.config . }}
{{- fail (printf "config.%s: the chart writes this section; see %s in values.yaml" . (eq . "tools" | ternary "tools and ironProxy" "ironProxy.service")) }}
{{- end }}
{{- end }}
{{- range list "tunnel_listen" "http_listen" "https_listen" }}
{{- if hasKey ($.Values.config.proxy | default dict) . }}
{{- fail (printf "config.proxy.%s: the chart sets the listeners; the tunnel's port is ironProxy.service.proxyPort" .) }}
{{- end }}
{{- end }}
{{- range list "ca_cert" "ca_key" }}
{{- if hasKey ($.Values.config.tls | default dict) . }}
{{- fail (printf "config.tls.%s: the chart mounts the CA; see ca in values.yaml" .) }}
{{- end }}
{{- end }}
{{- $ports := .Values.ironProxy.service }}
{{- if ne 3 (len (uniq (list $ports.proxyPort $ports.managementPort $ports.healthPort))) }}
{{- fail "ironProxy.service: three different ports are needed" }}
{{- end }}
{{- $managed := include "sallyport.managedVariables" . | splitList " " }}
{{- range .Values.proxy.envSecrets }}
{{- $name := kindIs "string" . | ternary . (get (kindIs "string" . | ternary dict .) "name") }}
{{- if has $name $managed }}
{{- fail (printf "proxy.envSecrets: the chart sets %s itself" $name) }}
{{- end }}
{{- end }}
{{- range .Values.proxy.extraEnv }}
{{- if has .name $managed }}
{{- fail (printf "proxy.extraEnv: the chart sets %s itself" .name) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Variables that values may not set: a second one of the same name would win unseen. */}}
{{- define "sallyport.managedVariables" -}}
FIREWALL_MANAGER_SECRET_SOURCE FIREWALL_MANAGER_SECRET_TTL OP_VAULT OP_CONNECT_HOST OP_CONNECT_TOKEN OP_SERVICE_ACCOUNT_TOKEN IRON_MANAGEMENT_API_KEY SANDBOX_SIGNING_KEY SANDBOX_SIGNING_KEY_PREVIOUS OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_PROTOCOL OTEL_EXPORTER_OTLP_HEADERS
{{- end }}

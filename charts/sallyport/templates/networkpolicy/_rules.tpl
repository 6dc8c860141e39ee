{{/* Pods of ours in this namespace, as a peer. Takes (dict "root" $ "component" "proxy"). */}}
{{- define "sallyport.peer" -}}
- podSelector:
    matchLabels:
      {{- include "sallyport.selectorLabels" . | nindent 6 }}
{{- end }}

{{- define "sallyport.dnsEgress" -}}
- to:
    {{- toYaml .Values.networkPolicy.dnsTo | nindent 4 }}
  ports:
    - { protocol: UDP, port: 53 }
    - { protocol: TCP, port: 53 }
{{- end }}

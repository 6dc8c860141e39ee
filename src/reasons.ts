/**
 * Every reason a request, a tunnel or a connection can be refused or fail for. The same word stands in the
 * audit record, in the `Sallyport-Reason` header and in the answer's body; `docs/refusals.md` explains each.
 */
export const reasons = [
  // policy
  "host_not_allowed",
  "request_not_allowed",
  "authority_mismatch",
  "caller_required",
  "proxy_loop",
  // the request itself
  "malformed_request",
  "invalid_host",
  "invalid_target",
  "ambiguous_path",
  "method_not_allowed",
  "upgrade_not_supported",
  "request_timeout",
  "uri_too_long",
  "headers_too_large",
  "body_too_large",
  "body_incomplete",
  "version_not_supported",
  "expectation_failed",
  // credentials
  "placeholder_missing",
  "secret_unavailable",
  "secret_invalid",
  "plaintext_upstream",
  "token_unavailable",
  "missing_sigv4",
  "sigv4a_not_supported",
  "event_stream_not_supported",
  "payload_not_supported",
  "region_not_allowed",
  "service_not_allowed",
  "action_not_allowed",
  "metadata_flavor_missing",
  "scope_host_mismatch",
  "credential_unavailable",
  "body_read_failed",
  "body_truncated",
  "chunked_body_not_allowed",
  "message_template_failed",
  "key_decode_failed",
  "header_template_failed",
  "query_template_failed",
  // the client's TLS leg
  "tls_client_hello_invalid",
  "tls_name_missing",
  "tls_handshake_failed",
  "protocol_not_supported",
  // the upstream's leg
  "upstream_resolve_failed",
  "upstream_address_denied",
  "upstream_connect_failed",
  "upstream_connect_timeout",
  "upstream_tls_failed",
  "upstream_response_timeout",
  "upstream_response_invalid",
  "upstream_closed",
  "upstream_proxy_failed",
  // the proxy's own state
  "draining",
  "overloaded",
  "audit_unavailable",
  "transform_failed",
  "internal_error",
  "client_disconnected",
] as const;

export type Reason = (typeof reasons)[number];

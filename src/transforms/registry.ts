import type { TransformKind } from "../pipeline/types.ts";
import { allowlist } from "./allowlist.ts";
import { annotate } from "./annotate.ts";
import { awsAuth } from "./aws-auth/index.ts";
import { bodyCapture } from "./body-capture.ts";
import { gcpAuth } from "./gcp/gcp-auth.ts";
import { gcpIdToken } from "./gcp/gcp-id-token.ts";
import { headerAllowlist } from "./header-allowlist.ts";
import { hmacSign } from "./hmac-sign/index.ts";
import { oauthToken } from "./oauth-token/index.ts";
import { secrets } from "./secrets/index.ts";

/** Every kind of transform a configuration can name; a new one is a file and a row here. */
export const transformKinds: readonly TransformKind[] = [
  allowlist,
  annotate,
  awsAuth,
  bodyCapture,
  gcpAuth,
  gcpIdToken,
  headerAllowlist,
  hmacSign,
  oauthToken,
  secrets,
];

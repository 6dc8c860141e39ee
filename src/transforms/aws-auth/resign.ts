import { hash } from "node:crypto";
import { BodyTooLargeError } from "../../http/body.ts";
import type { Exchange, Verdict } from "../../pipeline/types.ts";
import { attachSignature } from "./attach.ts";
import { check, checkAction, isRefusal, type Plan, refusal, reject, type Settings } from "./check.ts";
import { expose, exposedValue, madeOnce, type ScrubMode } from "../exposure.ts";
import { MintError } from "../minting/mint-error.ts";
import { CredentialError } from "./credentials.ts";
import { emptyHash, type Signer, signingTime } from "./sigv4.ts";

/**
 * Re-signs a request that matches the rules. Everything that needs no I/O is decided first, then the body is read where
 * that is needed, and only then the keys are asked for.
 * @returns a promise only while a body or a key has to be waited for
 */
export function resign(exchange: Exchange, settings: Settings): Verdict | Promise<Verdict> {
  if (exchange.claimed("signature") || exchange.claimed("authorization")) {
    exchange.annotate("skipped", "credential_already_applied");
    return undefined;
  }
  const plan = check(exchange, settings);
  if (isRefusal(plan)) return reject(exchange, plan);
  if (!plan.readsBody || exchange.request.body.bytes !== undefined)
    return authorize(exchange, settings, plan);
  return readBody(exchange, settings, plan);
}

function readBody(exchange: Exchange, settings: Settings, plan: Plan): Verdict | Promise<Verdict> {
  const { body } = exchange.request;
  const { length } = body;
  const unread = (error: unknown) =>
    error instanceof BodyTooLargeError
      ? reject(exchange, refusal(413, "body_truncated", { content_length: length, limit: error.limit }))
      : reject(
          exchange,
          refusal(400, "body_read_failed", { error: "the body ended before it was complete" }),
        );
  try {
    const read = body.buffer(exchange.maxRequestBody);
    if (read instanceof Promise) return read.then(() => authorize(exchange, settings, plan), unread);
  } catch (error) {
    return unread(error);
  }
  return authorize(exchange, settings, plan);
}

/** The operation may be called and the credential may go there: asks for the keys. */
function authorize(exchange: Exchange, settings: Settings, plan: Plan): Verdict | Promise<Verdict> {
  const forbidden = checkAction(exchange, plan, settings);
  if (forbidden !== undefined) return reject(exchange, forbidden);
  const plaintext = exchange.attachable();
  if (plaintext !== undefined) {
    exchange.annotate("rejected", plaintext.reason);
    return plaintext;
  }
  let signer: Signer | Promise<Signer>;
  try {
    signer = settings.credentials.get();
  } catch (error) {
    return unavailable(exchange, settings, error);
  }
  if (!(signer instanceof Promise)) return sign(exchange, settings, plan, signer);
  return signer.then(
    (late) => sign(exchange, settings, plan, late),
    (error: unknown) => unavailable(exchange, settings, error),
  );
}

function unavailable(exchange: Exchange, { credentials }: Settings, cause: unknown): Verdict {
  const isOurs = cause instanceof CredentialError || cause instanceof MintError;
  const error = isOurs ? cause.message : "a source of the keys could not be read";
  return reject(exchange, refusal(502, "credential_unavailable", { credential: credentials.name, error }));
}

function sign(exchange: Exchange, settings: Settings, plan: Plan, signer: Signer): Verdict {
  for (const place of ["signature", "authorization", "x-amz-security-token"]) exchange.claim(place);
  expose(exchange, settings.exposedKeys(signer));
  const payloadHash = hashOf(exchange, plan);
  const places = attachSignature(exchange, plan, payloadHash, signer, signingTime(settings.now()));
  exposePresigned(exchange, settings, plan);
  exchange.annotate("injected", places);
  exchange.annotate("service", plan.inbound.scope.service);
  exchange.annotate("region", plan.inbound.scope.region);
  return undefined;
}

/**
 * Before the signature, which covers `Accept-Encoding`. `Range` stays: clients of S3 put objects together from ranges and take an
 * answer that is none for one, and S3 shows what it got in errors alone, which have no ranges.
 */
const keepsRange = true;

/** What goes out with every request that is signed with the same keys. */
export function exposedKeys(mode: ScrubMode): Settings["exposedKeys"] {
  return madeOnce(({ accessKeyId, sessionToken }: Signer) => [
    ...exposedValue({ mode, name: "aws_access_key_id", keepsRange }, accessKeyId),
    ...(sessionToken === undefined
      ? []
      : exposedValue({ mode, name: "aws_session_token", keepsRange }, sessionToken)),
  ]);
}

/** The signature of a presigned URL is a credential by itself until the URL expires. */
function exposePresigned(exchange: Exchange, { scrub: mode }: Settings, { inbound }: Plan): void {
  if (inbound.place !== "query") return;
  const signature = /(?:^|&)X-Amz-Signature=([0-9a-f]+)/.exec(exchange.request.query ?? "")?.[1];
  if (signature === undefined) return;
  expose(exchange, exposedValue({ mode, name: "aws_signature", keepsRange }, signature, { once: true }));
}

function hashOf({ request }: Exchange, { payload }: Plan): string {
  if (payload.kind !== "hash") return payload.hash;
  const { bytes } = request.body;
  return bytes === undefined || bytes.length === 0 ? emptyHash : hash("sha256", bytes, "hex");
}

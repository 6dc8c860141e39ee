import { valueProblem } from "./cache.ts";
import { at, parseJson } from "./json.ts";
import { Secret, SourceError, type SecretHandle } from "./types.ts";

/**
 * One string field (`json_key`) of a secret that is a JSON object.
 *
 * All fields of one secret read the same cached text, which is parsed once for each version of it. Fields that
 * are asked for in one go (without waiting in between, or together with `Promise.all`) come from one version, so
 * that a key pair is never torn by a rotation.
 */
export class JsonField implements SecretHandle {
  readonly name: string;
  readonly variables: readonly string[];
  readonly #source: SecretHandle;
  readonly #key: string;
  #version: Secret | undefined;
  #picked: Secret | SourceError | undefined;

  constructor(source: SecretHandle, key: string) {
    this.name = source.name;
    this.variables = source.variables;
    this.#source = source;
    this.#key = key;
  }

  get(): Secret | Promise<Secret> {
    const text = this.#source.get();
    return text instanceof Secret ? this.#pick(text) : text.then((read) => this.#pick(read));
  }

  #pick(text: Secret): Secret {
    if (text !== this.#version) {
      const picked = fieldOf(text, this.#key);
      const unchanged = this.#picked instanceof Secret && this.#picked.reveal() === picked.value;
      if (picked.value === undefined) {
        const where = `extracting json_key "${this.#key}" from secret "${this.name}"`;
        this.#picked = new SourceError(`${where}: ${picked.problem}`);
      } else if (!unchanged) {
        this.#picked = new Secret(picked.value);
      }
      this.#version = text;
    }
    if (this.#picked instanceof Secret) return this.#picked;
    throw this.#picked as SourceError;
  }
}

type Field = { readonly value: string } | { readonly value?: never; readonly problem: string };

function fieldOf(text: Secret, key: string): Field {
  const object = parsed(text);
  if (object === undefined) return { problem: "secret value is not valid JSON (an object is needed)" };
  const value = at(object, key);
  if (value === undefined || value === null) return { problem: `key "${key}" not found in JSON` };
  if (typeof value !== "string") {
    return {
      problem: `key "${key}" is not a string (type ${Array.isArray(value) ? "array" : typeof value})`,
    };
  }
  const problem = valueProblem(value); // JSON can write a NUL as \u0000
  return problem === undefined ? { value } : { problem: `key "${key}": ${problem}` };
}

const parsedTexts = new WeakMap<Secret, object | "not an object">();

/** The text as a JSON object. */
function parsed(text: Secret): object | undefined {
  let known = parsedTexts.get(text);
  if (known === undefined) {
    const value = parseJson(text.reveal());
    known = typeof value === "object" && value !== null && !Array.isArray(value) ? value : "not an object";
    parsedTexts.set(text, known);
  }
  return known === "not an object" ? undefined : known;
}

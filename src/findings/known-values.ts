import type { Exposed } from "../scrub/forms.ts";

/** Credentials that are looked for in requests; further ones are not. */
const maxCredentials = 256;
/** The value of one credential before the last is still a credential for a while. */
const valuesPerCredential = 2;

/** The real values this proxy has read or minted: none of them has any business in what a workload sends. */
export class KnownValues {
  /** Told of values that were not known before; set where other processes have to know. */
  tell: ((exposed: Exposed) => void) | undefined;
  /** By credential, and by the part of it that stands alone; oldest first. */
  readonly #values = new Map<string, readonly Exposed[]>();
  /** Told apart by identity: mechanisms give one object until the value changes. */
  readonly #seen = new WeakSet<Exposed>();
  #version = 0;

  /** Another number once something changed. */
  get version(): number {
    return this.#version;
  }

  get values(): readonly Exposed[] {
    return [...this.#values.values()].flat();
  }

  learn(exposed: Exposed): void {
    if (this.#seen.has(exposed)) return;
    // What is made for one exchange, such as a signature, is worth nothing to the next.
    if (exposed.once === true) return;
    this.#seen.add(exposed);
    if (this.#add(exposed)) this.tell?.(exposed);
  }

  /** Takes in what another process has learnt. */
  take(exposed: Exposed): void {
    this.#add(exposed);
  }

  held(): readonly Exposed[] {
    return this.values;
  }

  #add(exposed: Exposed): boolean {
    const key = `${exposed.name} ${exposed.part ?? ""}`;
    const known = this.#values.get(key) ?? [];
    if (known.some(({ value }) => value === exposed.value)) return false;
    // Tokens that come with logins must not push out those that were configured.
    if (known.length === 0 && this.#values.size >= maxCredentials) return false;
    this.#values.set(key, [...known, exposed].slice(-valuesPerCredential));
    this.#version++;
    return true;
  }
}

import { isIP } from "node:net";

/** Suffixes under which anyone can have a name: below a country's `co`, `com`, ..., and of hosting services. */
const secondLevel = /^(?:ac|co|com|edu|gov|net|ne|or|org)\.[a-z]{2}$/;
const shared: ReadonlySet<string> = new Set(
  `amazonaws.com appspot.com azurewebsites.net cloudfront.net firebaseapp.com fly.dev github.io gitlab.io
  herokuapp.com netlify.app ngrok.app ngrok-free.app ngrok.io onrender.com pages.dev railway.app run.app
  s3.amazonaws.com trycloudflare.com vercel.app web.app workers.dev`.split(/\s+/),
);

/** Top-level names that belong to whoever runs the network. */
const privateTopLevels = new Set(["corp", "home", "internal", "lan", "local", "localhost", "test"]);

/**
 * Why a host pattern gives a credential to more than one owner's machines; `undefined` for a narrow one.
 * @param pattern as declared: `*.example.com`, `api.example.com:8443`
 */
export function breadth(pattern: string): string | undefined {
  const host = pattern
    .toLowerCase()
    .replace(/:(?:\d+|\*)$/, "")
    .replace(/\.$/, "");
  if (/^\*+$/.test(host)) return "is every host there is";
  if (isIP(host.replace(/^\[(.*)\]$/, "$1")) > 0)
    return "is an address, whose owner can change; name the host";
  const suffix = /^\*\.(.+)$/.exec(host)?.[1];
  if (suffix !== undefined && !suffix.includes("*")) {
    const open = !suffix.includes(".") ? !privateTopLevels.has(suffix) : false;
    if (open || secondLevel.test(suffix) || shared.has(suffix)) {
      return `is every name under ${suffix}, where anyone can have one`;
    }
  }
  if (/[*?]/.test(host.slice(host.lastIndexOf(".") + 1))) return "leaves the top-level domain open";
  return undefined;
}

// Examples as tests run them: the commands of a README, in a copy of its folder, with `sallyport` being this checkout.
import { chmodSync, cpSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { blocks, read } from "../docs/pages.ts";
import { linkSallyport } from "../helpers/checkout.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Text of the `sh` blocks of examples/NAME/README.md; of one section when it is named. */
export function commandsOf(name: string, section?: string): string[] {
  const page = read(`examples/${name}/README.md`);
  const part =
    section === undefined
      ? page
      : (page.split(/^## /m).find((text) => text.startsWith(`${section}\n`)) ?? "");
  return blocks(part)
    .filter((block) => block.language === "sh")
    .map((block) => block.text);
}

/** A copy of examples/NAME that others may read, below a new folder; the test removes that. */
export function copyOf(name: string): { readonly folder: string; readonly example: string } {
  const folder = mkdtempSync(join(tmpdir(), `sallyport-${name}-`));
  chmodSync(folder, 0o755);
  const example = join(folder, name);
  cpSync(join(root, "examples", name), example, { recursive: true });
  return { folder, example };
}

/** A folder for the PATH: `sallyport`, and a `sudo` for machines where one is root already. */
export function programs(folder: string): string {
  const bin = linkSallyport(folder);
  const sudo = `#!/bin/sh
if [ "$1" != -u ]; then exec "$@"; fi
user=$2
shift 2
exec setpriv --reuid="$user" --regid="$user" --clear-groups "$@"
`;
  writeFileSync(join(bin, "sudo"), sudo, { mode: 0o755 });
  return bin;
}

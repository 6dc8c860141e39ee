import { jsonKey, text, sourceKind } from "./kind.ts";
import { SourceError } from "./types.ts";

/** A variable of the proxy's own environment. It cannot change, so there is no ttl. */
export const envSource = sourceKind({
  name: "env",
  keys: {
    var: text.describe("name of the environment variable"),
    ...jsonKey,
  },
  build({ var: variable }, { env }) {
    return {
      name: variable,
      identity: variable,
      variables: [variable],
      fetch() {
        const value = env[variable];
        if (value === undefined || value === "") {
          throw new SourceError(`env var "${variable}" is not set or empty`, { fault: "variable" });
        }
        return value;
      },
    };
  },
});

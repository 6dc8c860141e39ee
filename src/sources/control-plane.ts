import { jsonKey, text, sourceKind } from "./kind.ts";

/**
 * A value handed over by a controller that writes the configuration. In a file that people write it is a
 * credential in plain text, which is said when it is loaded.
 */
export const controlPlaneSource = sourceKind({
  name: "control_plane",
  keys: {
    value: text.describe("the credential itself; for configuration that a controller writes"),
    ...jsonKey,
  },
  build({ value }, { onWarning, shared }) {
    const name = "control_plane";
    onWarning(
      name,
      "the configuration holds a credential in plain text; read it from a file or a secret store",
    );
    // The identity must not hold the value (I14), and two values are two secrets: number them.
    const counter = shared("control_plane", () => ({ count: 0 }));
    return { name, identity: String(++counter.count), fetch: () => value };
  },
});

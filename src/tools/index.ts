export { discoverTools, toolDirectories } from "./discover.ts";
export { type Gateway, harnessNames, harnessTools } from "./harnesses.ts";
export { sandboxPlaceholders } from "./placeholders.ts";
export { type Rendering, renderTransforms } from "./render.ts";
export { referenceText } from "./source.ts";
export type * from "./types.ts";

export { type SourceMode, sourceModes } from "../config/types.ts";
export { discoverTools, toolDirectories } from "./discover.ts";
export { expandTools, type ExpandedTools } from "./expand.ts";
export { type Gateway, harnessNames, harnessTools } from "./harnesses.ts";
export { sandboxPlaceholders } from "./placeholders.ts";
export { type Rendering, renderTransforms } from "./render.ts";
export { referenceText } from "./source.ts";
export type * from "./types.ts";

#!/usr/bin/env node
import module from "node:module";
import { setFlagsFromString } from "node:v8";
import { cacheFolder } from "./process/cache-folder.ts";

// Until a command that holds credentials closes the process, a signal does not open node's inspector either (I14).
process.on("SIGUSR1", () => {});

// Compiled code is kept there.
const cache = cacheFolder(process.env);
if (cache !== undefined && module.getCompileCacheDir() === undefined) module.enableCompileCache(cache);
// bin/sallyport sets it, for this program and not for those that `sallyport run` starts.
if (cache !== undefined && process.env["NODE_COMPILE_CACHE"] === cache)
  delete process.env["NODE_COMPILE_CACHE"];

// V8 guesses from a busy moment that what a request allocates lives long, and puts it where only a full collection
// finds it again; every scavenge then copies megabytes. Without that guess a request costs a third less of our own
// processor time (bench/RESULTS.md).
setFlagsFromString("--no-allocation-site-pretenuring");
// By default every 64 MB of buffers that pass through start a full collection, although all of them are free by then:
// a third of the processor time of a large transfer. Counted with the heap they start one when memory really grows.
setFlagsFromString("--external-memory-accounted-in-global-limit");

const { runCli } = await import("./cli/index.ts");
const { processIo } = await import("./cli/process-io.ts");

await runCli(process.argv.slice(2), processIo);
// A socket or timer left open must not keep a command alive that has ended.
setTimeout(() => process.exit(), 1000).unref();
// Nor must node itself: where a connection was cut at the wrong moment, it waits forever, at full speed, for an answer
// of the system that does not come, unless it is told to exit.
process.once("beforeExit", () => process.exit());

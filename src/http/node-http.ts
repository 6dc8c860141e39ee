/**
 * `node:http`, for what is not on the data path. An `import` of it reads every export, and one of them (`WebSocket`) loads all of
 * node's fetch: a tenth of the time that a start takes.
 */
export const nodeHttp = process.getBuiltinModule("node:http");

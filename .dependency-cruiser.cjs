// The import rule of docs/architecture.md: data goes down the list once, and nothing below imports
// anything above. Each layer lists the layers it must not know.
const layer = (name, forbidden, comment) => ({
  name: `${name}-imports-upwards`,
  severity: "error",
  comment,
  from: { path: `^src/${name}/` },
  to: { path: `^src/(${forbidden.join("|")})/` },
});

const above = ["cli", "proxy", "listeners", "admin", "tools"];

module.exports = {
  forbidden: [
    { name: "no-cycle", severity: "error", from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } } },
    { name: "no-test-in-src", severity: "error", from: { path: "^src/" }, to: { path: "^(test|bench|scripts)/" } },
    { name: "no-dev-dependency", severity: "error", from: { path: "^src/" }, to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"] } },
    layer("http", [...above, "pipeline", "transforms", "sources", "upstream", "audit", "tls", "config"], "messages know nothing of policy"),
    layer("pipeline", [...above, "transforms", "sources", "upstream", "audit", "tls"], "the contract knows no transform"),
    layer("sources", [...above, "transforms", "pipeline", "audit", "tls"], "a source only fetches"),
    layer("transforms", [...above, "upstream", "audit", "tls"], "a transform sees an exchange, never a socket"),
    layer("upstream", [...above, "pipeline", "transforms", "sources", "audit"], "dialling knows no policy"),
    layer("tls", [...above, "pipeline", "transforms", "sources", "upstream", "audit"], "certificates know no policy"),
    layer("audit", [...above, "transforms", "sources", "upstream", "tls"], "the record is written, not decided"),
    layer("config", [...above, "pipeline", "transforms", "sources", "upstream", "audit", "tls"], "configuration is data"),
    layer("listeners", ["cli", "proxy", "admin", "transforms", "sources"], "a way in knows no transform"),
    layer("proxy", ["cli"], "the proxy does not know its command line"),
  ],
  options: { tsConfig: { fileName: "tsconfig.json" }, doNotFollow: { path: "node_modules" }, tsPreCompilationDeps: true },
};

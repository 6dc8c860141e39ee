// The DNS server and the programs that people look at DNS with: dig (BIND) and drill (ldns), which parse strictly.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { run } from "../e2e/harness/programs.ts";
import { openWorld } from "../e2e/harness/world.ts";

const present = (program: string, version: string): false | string =>
  spawnSync(program, [version]).status === 0 ? false : `this machine has no ${program}`;
const noDig = present("dig", "-v");
const noDrill = present("drill", "-v");

const many = Array.from({ length: 90 }, (_, index) => ({
  name: "many.e2e.test",
  type: "A",
  value: `192.0.2.${index}`,
}));
const world = await openWorld({
  config: () => ({
    dns: {
      enabled: true,
      listen: "127.0.0.1:0",
      proxy_ip: "192.0.2.1",
      proxy_ip6: "2001:db8::1",
      refuse_denied: true,
      passthrough: ["real.e2e.test"],
      records: [...many, { name: "alias.e2e.test", type: "CNAME", value: "api.e2e.test" }],
    },
  }),
});
world.dns.set("real.e2e.test", ["203.0.113.9"]);
const { addr } = await world.proxy.line("dns server starting");
const port = String(addr).split(":").at(-1) as string;

async function dig(...args: string[]): Promise<string> {
  const { stdout, stderr } = await run("dig", ["@127.0.0.1", "-p", port, "+tries=1", "+time=3", ...args]);
  assert.doesNotMatch(stdout + stderr, /malformed|extra bytes|warning|bad packet/i);
  return stdout;
}

const table: readonly (readonly [what: string, args: string[], ...found: RegExp[]])[] = [
  [
    "A",
    ["api.e2e.test", "A"],
    /status: NOERROR/,
    /flags: qr aa rd ra;/,
    /^api\.e2e\.test\.\s+60\s+IN\s+A\s+192\.0\.2\.1$/m,
  ],
  ["AAAA", ["api.e2e.test", "AAAA"], /IN\s+AAAA\s+2001:db8::1$/m],
  ["HTTPS", ["api.e2e.test", "HTTPS"], /status: NOERROR/, /ANSWER: 0/],
  ["SVCB of DDR", ["_dns.resolver.arpa", "SVCB"], /status: NOERROR/, /ANSWER: 0/],
  ["ANY", ["api.e2e.test", "ANY", "+notcp"], /HINFO\s+"RFC8482" ""/],
  [
    "a CNAME and what it leads to",
    ["alias.e2e.test"],
    /IN\s+CNAME\s+api\.e2e\.test\.$/m,
    /^api\.e2e\.test\..*IN\s+A\s/m,
  ],
  [
    "a refused name, with its reason",
    ["evil.test"],
    /status: NXDOMAIN/,
    /EDE: 15 \(Blocked\): .*host_not_allowed/,
  ],
  ["a name that is let through", ["real.e2e.test"], /203\.0\.113\.9/],
  ["many records, by TCP after a cut answer", ["many.e2e.test"], /Truncated, retrying in TCP/, /ANSWER: 90/],
  [
    "many records without EDNS",
    ["many.e2e.test", "+noedns", "+ignore"],
    /flags: qr aa tc rd ra/,
    /ANSWER: 0/,
  ],
  ["TCP", ["+tcp", "api.e2e.test"], /192\.0\.2\.1/],
  [
    "EDNS with DO and a cookie",
    ["api.e2e.test", "+dnssec", "+cookie"],
    /EDNS: version: 0, flags: do; udp: 1232/,
  ],
  ["a version of EDNS to come", ["api.e2e.test", "+edns=1", "+noednsneg"], /status: BADVERS/],
  ["an opcode", ["api.e2e.test", "+opcode=status", "+noedns"], /status: NOTIMP/],
  ["another class", ["version.bind", "TXT", "CH"], /status: REFUSED/],
  ["a zone transfer", ["e2e.test", "AXFR"], /Transfer failed/],
  ["any case", ["ApI.e2E.tEsT"], /^;ApI\.e2E\.tEsT\./m, /192\.0\.2\.1/],
];

for (const [what, args, ...found] of table) {
  test(`dig: ${what}`, { skip: noDig }, async () => {
    const output = await dig(...args);
    for (const pattern of found) assert.match(output, pattern);
  });
}

test("drill: A, TCP and a refused name", { skip: noDrill }, async () => {
  const drill = async (...args: string[]) => (await run("drill", ["-p", port, ...args])).stdout;
  assert.match(await drill("api.e2e.test", "@127.0.0.1"), /^api\.e2e\.test\.\s+60\s+IN\s+A\s+192\.0\.2\.1$/m);
  assert.match(await drill("-t", "many.e2e.test", "@127.0.0.1"), /ANSWER: 90/);
  assert.match(await drill("evil.test", "@127.0.0.1"), /rcode: NXDOMAIN/);
});

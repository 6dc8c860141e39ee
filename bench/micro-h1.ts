// What the codec costs for one typical head: nanoseconds, the best of several rounds.
import type { RequestHead, ResponseHead } from "../src/http/message.ts";
import { defaultH1Limits } from "../src/http/h1/limits.ts";
import { RequestParser, ResponseParser } from "../src/http/h1/parser.ts";
import { joinHead, requestHeadText, responseHeadText } from "../src/http/h1/write.ts";

const request = Buffer.from(
  [
    "POST /v1/messages?beta=true HTTP/1.1",
    "Host: api.example.com",
    "Accept: application/json",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Connection: keep-alive",
    "Content-Type: application/json",
    "User-Agent: ExampleClient/Python 0.39.0",
    "X-Client-Lang: python",
    "X-Client-Package-Version: 0.39.0",
    "X-Client-OS: Linux",
    "X-Client-Arch: x64",
    "X-Client-Runtime: CPython",
    "X-Client-Runtime-Version: 3.12.3",
    "Authorization: Bearer placeholder-0123456789abcdef",
    "X-Request-Id: 7b0c6f5e-4f0e-4f8e-9d62-5a4c1f2a1b11",
    "Content-Length: 0",
    "",
    "",
  ].join("\r\n"),
);

const response = Buffer.from(
  [
    "HTTP/1.1 200 OK",
    "Date: Sat, 22 Nov 2025 06:12:00 GMT",
    "Content-Type: application/json; charset=utf-8",
    "Content-Length: 0",
    "Connection: keep-alive",
    "Server: nginx",
    "Cache-Control: no-cache, no-store",
    "Request-Id: req_011CVJ5wVdPZq9h4yGv8",
    "Strict-Transport-Security: max-age=31536000; includeSubDomains",
    "",
    "",
  ].join("\r\n"),
);

function best(name: string, bytes: number, once: () => void): void {
  const runs = 2000;
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 150; round++) {
    const start = process.hrtime.bigint();
    for (let run = 0; run < runs; run++) once();
    least = Math.min(least, Number(process.hrtime.bigint() - start) / runs);
  }
  console.log(`${name.padEnd(24)} ${bytes} bytes ${least.toFixed(0).padStart(6)} ns`);
}

let requestHead: RequestHead | undefined;
let responseHead: ResponseHead | undefined;
const ignore = { onBody() {}, onEnd() {} };
const requests = new RequestParser(defaultH1Limits, { ...ignore, onHead: (head) => (requestHead = head) });
const responses = new ResponseParser(defaultH1Limits, { ...ignore, onHead: (head) => (responseHead = head) });

best("parse a request head", request.length, () => {
  requests.execute(request);
});
best("parse a response head", response.length, () => {
  responses.expect("GET");
  responses.execute(response);
});
const sent = requestHead as RequestHead;
const answer = responseHead as ResponseHead;
best("write a request head", request.length, () => {
  joinHead(requestHeadText(sent.method, sent.target, sent.headers, sent.framing), undefined);
});
best("write a response head", response.length, () => {
  joinHead(
    responseHeadText(answer.status, answer.reason, answer.headers, answer.framing, undefined),
    undefined,
  );
});

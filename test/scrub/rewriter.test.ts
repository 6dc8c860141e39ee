import assert from "node:assert/strict";
import { test } from "node:test";
import { Automaton } from "../../src/scrub/automaton.ts";
import { Rewriter, scrubBytes } from "../../src/scrub/rewriter.ts";
import { encoders, forbidden } from "./encoders.ts";
import { exposed, heard, rewrite } from "./support.ts";

const value = "sk-live/9f+\"2&b<c'd\\e %41=Zz";
const secret = exposed(value);

for (const { name, encode, decode } of encoders) {
  test(`attack 40: ${name} is replaced, wherever the stream is cut`, () => {
    const body = `{"before": "${encode(value)}", "after": 1}`;
    const whole = rewrite([body], [secret]);
    for (const form of forbidden(value)) assert.ok(!whole.includes(form), `${form} in ${whole}`);
    assert.ok(whole.startsWith('{"before": "') && whole.endsWith('", "after": 1}'), whole);
    if (decode !== undefined) {
      const middle = whole.slice('{"before": "'.length, -'", "after": 1}'.length);
      assert.equal(decode(middle), "PLACEHOLDER", middle);
    }
    for (let cut = 1; cut < body.length; cut++) {
      assert.equal(rewrite([body.slice(0, cut), body.slice(cut)], [secret]), whole, `cut at ${cut}`);
    }
    assert.equal(rewrite(Array.from(body), [secret]), whole, "one byte at a time");
  });
}

test("base64: what stands before and behind the value decodes as before", () => {
  for (const before of ["", "u", "us", "use", "user:"]) {
    for (const behind of ["", "1", "12", "123", ', "b": 2}']) {
      for (const alphabet of ["base64", "base64url"] as const) {
        const body = Buffer.from(before + value + behind, "latin1").toString(alphabet);
        const scrubbed = rewrite([body], [secret]);
        const text = Buffer.from(scrubbed, alphabet).toString("latin1");
        assert.ok(text.startsWith(`${before}PLACEHOLDER`), text);
        assert.ok(text.endsWith(behind), text);
        assert.match(text.slice(before.length, text.length - behind.length), /^PLACEHOLDER\.{0,2}$/);
        if (behind === "") assert.equal(text, `${before}PLACEHOLDER`);
        // Whole groups of letters do not tell whether others would be padded.
        if (alphabet === "base64url" && body.length % 4 === 0) continue;
        assert.equal(Buffer.from(text, "latin1").toString(alphabet), scrubbed, "padded as it was");
      }
    }
  }
});

test("base64 in lines: a break may stand anywhere in the value, raw or escaped", () => {
  const text = Buffer.from(`user:${value} and more`, "latin1").toString("base64");
  for (const lineBreak of ["\n", "\r\n", "\\n", "\\r\\n", "%0A", "&#10;"]) {
    for (let at = 1; at < text.length; at++) {
      const body = `"${text.slice(0, at)}${lineBreak}${text.slice(at)}"`;
      const decoded = rewrite([body], [secret]).replace(/["\r\n]|\\[rn]|%0A|&#10;/g, "");
      assert.match(
        Buffer.from(decoded, "base64").toString("latin1"),
        /^user:PLACEHOLDER\.{0,2} and more$/,
        body,
      );
    }
  }
});

test("a value beyond ASCII is found as it was sent, encoded once more, and by its code points", () => {
  const text = "schl\u00fcssel-\u{1f511}-1234";
  const bytes = Buffer.from(text, "utf8");
  const key = exposed(bytes.toString("latin1"));
  const latin1 = Buffer.from("schl\u00fcssel-\u00df-1234", "utf8").toString("latin1");
  for (const body of [
    bytes.toString("latin1"),
    Buffer.from(bytes.toString("latin1"), "utf8").toString("latin1"),
    encodeURIComponent(text),
    "schl\\u00fcssel-\\ud83d\\udd11-1234",
    "schl\\\\u00fcssel-\\\\ud83d\\\\udd11-1234",
    "schl&#252;ssel-&#x1f511;-1234",
    bytes.toString("base64"),
    bytes.toString("hex"),
  ]) {
    const whole = rewrite([`[${body}]`], [key]);
    assert.equal(
      whole.includes("1234") || whole.includes("MTIzN") || whole.includes("31323334"),
      false,
      whole,
    );
    assert.equal(rewrite(Array.from(`[${body}]`), [key]), whole);
  }
  assert.equal(rewrite([Buffer.from(latin1, "latin1").toString("utf8")], [exposed(latin1)]), "PLACEHOLDER");
});

test("without a form the output is the input, the same bytes and not a copy, and nothing waits", () => {
  const automaton = new Automaton([secret]);
  const seen: Uint8Array[] = [];
  const rewriter = new Rewriter({
    automaton: () => automaton,
    emit: (bytes) => void seen.push(bytes),
    found: () => assert.fail("nothing to find"),
  });
  const piece = Buffer.from('data: {"text": "50% & more\\n"}\n\n');
  rewriter.write(piece);
  assert.equal(seen[0], piece);
  assert.equal(rewriter.held, 0);
  assert.equal(
    scrubBytes(piece, automaton, () => assert.fail("nothing to find")),
    piece,
  );
});

test("I12: bytes wait from the first one on that may begin a form, and no others", () => {
  const automaton = new Automaton([secret]);
  const { rewriter, output } = heard(() => automaton);
  rewriter.write(Buffer.from(`.......${value.slice(0, 12)}`));
  assert.equal(output(), ".......");
  assert.equal(rewriter.held, 12);
  rewriter.write(Buffer.from("!!!"));
  assert.equal(output(), `.......${value.slice(0, 12)}!!!`);
  assert.equal(rewriter.held, 0);
  for (let count = 0; count < 5000; count++) rewriter.write(Buffer.from("\n\n\\n\\r&amp;%25"));
  assert.ok(rewriter.held <= automaton.longest);
});

test("a value that begins another: the longest wins, and the shorter one is still found", () => {
  const short = exposed("abcd-1234", "SHORT");
  const long = exposed("abcd-1234-efgh-5678", "LONG");
  for (const values of [
    [short, long],
    [long, short],
  ]) {
    const body = "x abcd-1234-efgh-5678 y abcd-1234-efgh-567 z abcd-1234";
    const whole = "x LONG y SHORT-efgh-567 z SHORT";
    assert.equal(rewrite([body], values), whole);
    assert.equal(rewrite(Array.from(body), values), whole);
  }
});

test("a value inside another: the outer one wins where it is whole", () => {
  const inner = exposed("secret-99", "INNER");
  const outer = exposed("postgres://u:secret-99@db/x", "OUTER");
  const body = "a postgres://u:secret-99@db/x b postgres://u:secret-99@db/y c secret-99";
  const whole = "a OUTER b postgres://u:INNER@db/y c INNER";
  assert.equal(rewrite([body], [inner, outer]), whole);
  assert.equal(rewrite(Array.from(body), [inner, outer]), whole);
});

test("a stream that ends inside a value: half of it counts as all of it, less goes out", () => {
  const key = exposed("0123456789abcdefghij");
  assert.equal(rewrite(["x 0123456789abcdefghi"], [key]), "x PLACEHOLDER");
  assert.equal(rewrite(["x 0123456789"], [key]), "x PLACEHOLDER");
  assert.equal(rewrite(["x 012345678"], [key]), "x 012345678");
  assert.equal(rewrite(["x 012345678 y"], [key]), "x 012345678 y");
});

test("a stream that is cut gives nothing of what was held", () => {
  const automaton = new Automaton([secret]);
  const { rewriter, output } = heard(() => automaton);
  rewriter.write(Buffer.from(value.slice(0, -1)));
  rewriter.cancel();
  assert.equal(output(), "");
});

test("events: nothing of an event waits for the next one", () => {
  const key = exposed("token\n\nvalue-123");
  const automaton = new Automaton([key]);
  const output: string[] = [];
  const rewriter = new Rewriter({
    automaton: () => automaton,
    emit: (bytes) => void output.push(Buffer.from(bytes).toString("latin1")),
    found() {},
    events: true,
  });
  rewriter.write(Buffer.from("data: token\n\n"));
  assert.equal(output.join(""), "data: token\n\n");
  rewriter.write(Buffer.from("data: tok"));
  assert.equal(output.join(""), "data: token\n\ndata: ");
  rewriter.end();
});

test("base64 at the end of what has come so far: after 20 ms of silence it has ended", async () => {
  const automaton = new Automaton([secret]);
  const { rewriter, output } = heard(() => automaton);
  const text = Buffer.from(`user:${value}`, "latin1").toString("base64");
  rewriter.write(Buffer.from(text));
  assert.equal(Buffer.from(output(), "base64").toString("latin1"), "user");
  const began = performance.now();
  while (output().length < 10 && performance.now() - began < 2000)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(Buffer.from(output(), "base64").toString("latin1"), "user:PLACEHOLDER");
  assert.equal(rewriter.held, 0);
});

test("after 20 ms of silence two letters of a beginning are sent, longer ones wait; the form is found all the same", async () => {
  for (const keepLength of [false, true]) {
    const automaton = new Automaton([secret]);
    const { rewriter, output } = heard(() => automaton, { keepLength });
    rewriter.write(Buffer.from(`prompt> ${value.slice(0, 2)}`));
    assert.equal(output(), "prompt> ");
    const began = performance.now();
    while (rewriter.held > 0 && performance.now() - began < 2000) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(output(), `prompt> ${value.slice(0, 2)}`);
    rewriter.write(Buffer.from(value.slice(2, 6)));
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal(output(), `prompt> ${value.slice(0, 2)}`);
    rewriter.write(Buffer.from(`${value.slice(6)}.`));
    rewriter.end();
    assert.ok(!output().includes(value.slice(2)) && output().endsWith("."), output());
    if (keepLength) assert.equal(output().length, `prompt> ${value}.`.length);
    else assert.equal(output(), `prompt> ${value.slice(0, 2)}PLACEHOLDER.`);
  }
});

test("a value that rotates in the middle of a stream: the new one is found from then on, also in what was held", () => {
  const [old, current] = [exposed("first-value-0001", "OLD"), exposed("second-value-002", "NEW")];
  let automaton = new Automaton([old]);
  const { rewriter, output } = heard(() => automaton);
  rewriter.write(Buffer.from("first-value-0001 second-value-002 first-val"));
  automaton = new Automaton([old, current]);
  rewriter.write(Buffer.from("ue-0001 second-va"));
  rewriter.write(Buffer.from("lue-002."));
  rewriter.end();
  assert.equal(output(), "OLD second-value-002 OLD NEW.");
});

test("kept length: every form is replaced by as many bytes", () => {
  for (const replacement of [
    "P",
    "PLACEHOLDER",
    "a placeholder much longer than the value that it stands for",
  ]) {
    for (const { name, encode } of encoders) {
      const body = `\0\0${encode(value)}\0\0`;
      const scrubbed = rewrite([body], [exposed(value, replacement)], { keepLength: true });
      assert.equal(scrubbed.length, body.length, name);
      for (const form of forbidden(value)) assert.ok(!scrubbed.includes(form), name);
      assert.equal(
        rewrite(Array.from(body), [exposed(value, replacement)], { keepLength: true }),
        scrubbed,
        name,
      );
    }
  }
});

test("values of fewer than eight bytes are not looked for", () => {
  assert.ok(new Automaton([exposed("1234567")]).isEmpty);
  assert.equal(rewrite(["1234567"], [exposed("1234567")]), "1234567");
});

test("a body of near misses costs a few steps for each byte", () => {
  const key = exposed("sk-0123456789abcdefghijklmnopqrstuvwxyz");
  const automaton = new Automaton([key]);
  const body = Buffer.from(`${key.value.slice(0, -1)}!`.repeat(50_000));
  const began = process.cpuUsage().user;
  assert.equal(
    scrubBytes(body, automaton, () => assert.fail("nothing to find")),
    body,
  );
  const nanoseconds = ((process.cpuUsage().user - began) * 1000) / body.length;
  assert.ok(nanoseconds < 150, `${nanoseconds} ns for each byte`);
});

test("a value of nothing but escapes makes no search without end", () => {
  const key = exposed("\\".repeat(40));
  const body = "\\".repeat(4000);
  const began = process.cpuUsage().user;
  const scrubbed = rewrite([body], [key]);
  assert.ok(!scrubbed.includes("\\".repeat(40)));
  assert.ok(process.cpuUsage().user - began < 5e6);
});

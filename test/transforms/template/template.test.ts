import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  base64,
  compileTemplate,
  TemplateError,
  toByteString,
} from "../../../src/transforms/template/index.ts";

const options = {
  fields: { Value: "string", Method: "string", Credentials: ["key", "api-key"] },
  functions: { base64 },
} as const;
const data = {
  Value: "sk-1",
  Method: "POST",
  Credentials: new Map([
    ["key", "k1"],
    ["api-key", "k2"],
  ]),
};

function render(text: string, values: Partial<typeof data> = {}): string {
  const compiled = compileTemplate(text, options);
  if (compiled.error !== undefined) throw new Error(`${compiled.error.message} at ${compiled.error.offset}`);
  return compiled.template.render({ ...data, ...values });
}

const renderings: [template: string, expected: string][] = [
  ["", ""],
  ["plain } text { with }} braces", "plain } text { with }} braces"],
  ["{{.Value}}", "sk-1"],
  ["Bearer {{ .Value }}!", "Bearer sk-1!"],
  ["a {{- .Value -}} b", "ask-1b"],
  ["a \n\t{{- /* why */ -}} \n b", "ab"],
  ["a{{/* }} */}}b", "ab"],
  ['{{ "}}" }}', "}}"],
  ['Basic {{ base64 "x-credential:" .Value }}', "Basic eC1jcmVkZW50aWFsOnNrLTE="],
  ["{{base64}}", ""],
  ['{{ "ab" | base64 "x" }}', "eGFi"],
  ["{{ .Value | printf `%s-%s` .Method | urlquery }}", "POST-sk-1"],
  [
    '{{ printf "%s %d %v %v %q %x %x %%" .Value 7 -3 true "a\\"b" "hi" 255 }}',
    'sk-1 7 -3 true "a\\"b" 6869 ff %',
  ],
  ['{{ printf "%q" "\\x00\\n\\xff" }}', '"\\x00\\n\\xff"'],
  ['{{ print "a" 1 2 "b" }}', "a1 2b"],
  ['{{ urlquery "a b&c=/~é" }}', "a+b%26c%3D%2F~%C3%A9"],
  ['{{ index .Credentials "api-key" }}', "k2"],
  ["{{ .Credentials.key }}{{ $.Credentials.key }}{{ (.Credentials).key }}", "k1k1k1"],
  ["{{ len .Value }}{{ len .Credentials }}", "42"],
  ['{{ eq .Method "GET" "POST" }}{{ ne .Method "GET" }}{{ not .Value }}', "truetruefalse"],
  ['{{ or "" .Value }}{{ and .Value "x" }}{{ or "" 0 }}', "sk-1x0"],
  ["{{ if .Value }}yes{{ else }}no{{ end }}", "yes"],
  ['{{ if eq .Method "GET" }}1{{ else if eq .Method "POST" }}2{{ else }}3{{ end }}', "2"],
  ['{{ with .Method }}{{ . }}{{ $.Value }}{{ end }}{{ with "" }}a{{ else }}b{{ end }}', "POSTsk-1b"],
  ['{{ $x := "a" }}{{ if true }}{{ $x = "b" }}{{ $x := "c" }}{{ end }}{{ $x }}', "b"],
  ["{{ with $c := .Credentials }}{{ $c.key }}{{ .key }}{{ end }}", "k1k1"],
  ["{{ 1.5 }}{{ -2 }}{{ true }}", "1.5-2true"],
  ['{{ "\\t\\u0041\\x42\\103" }}', "\tABC"],
  ["{{`raw \\n\n`}}", "raw \\n\n"],
];

for (const [template, expected] of renderings) {
  test(`template renders ${JSON.stringify(template)} as Go does`, () => {
    assert.equal(render(template), expected);
  });
}

const refusals: [template: string, message: RegExp, offset: number][] = [
  ["x{{.Value", /not closed/, 1],
  ["{{ .Foo }}", /unknown field \.Foo; there are: \.Value/, 3],
  ["{{ .value }}", /unknown field/, 3],
  ["{{ .constructor }}", /unknown field/, 3],
  ["{{ .__proto__ }}", /unknown field/, 3],
  ["{{ .Credentials.constructor }}", /unknown key "constructor"/, 3],
  ["{{ .Credentials.nope }}", /unknown key "nope"; there are: key, api-key/, 3],
  ['{{ index .Credentials "nope" }}', /unknown key/, 22],
  ["{{ toString .Value }}", /unknown function "toString"/, 3],
  ["{{ valueOf }}", /unknown function/, 3],
  ["{{ html .Value }}", /unknown function/, 3],
  ["{{ .Value.length }}", /a string has no field \.length/, 3],
  ["{{ base64 1 }}", /base64 takes strings/, 10],
  ["{{ not }}", /takes 1 argument, not 0/, 3],
  ["{{ not true false }}", /takes 1 argument, not 2/, 3],
  ["{{ eq 1 }}", /at least 2/, 3],
  ['{{ eq 1 "a" }}', /cannot be compared/, 8],
  ["{{ .Credentials }}", /cannot be printed/, 3],
  ["{{ . }}", /cannot be printed/, 3],
  ["{{ print .Credentials }}", /cannot be printed/, 9],
  ["{{ or .Credentials .Value }}", /cannot be printed/, 6],
  ["{{ printf .Value }}", /format as a string/, 3],
  ['{{ printf "%d" .Value }}', /%d cannot print a string/, 15],
  ['{{ printf "%s" }}', /no argument for %s/, 10],
  ['{{ printf "a" 1 }}', /without a verb/, 14],
  ['{{ printf "%5d" 1 }}', /no verb %5/, 10],
  ["{{ range .Value }}{{ end }}", /range\}\} is not supported/, 3],
  ['{{ define "x" }}{{ end }}', /not supported/, 3],
  ["{{ nil }}", /unexpected nil/, 3],
  ["{{ if .Value }}", /if\}\} is not closed/, 0],
  ["{{ if .Value }}{{ else }}{{ else }}{{ end }}", /second \{\{else/, 25],
  ["{{ end }}", /unexpected \{\{end/, 0],
  ["{{ if }}{{ end }}", /value is missing/, 6],
  ["{{ }}", /value is missing/, 3],
  ["{{ $x }}", /undefined variable \$x/, 3],
  ["{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", /undefined variable/, 38],
  ["{{ $x := 1 }}{{ $x = `a` }}", /cannot become a string/, 13],
  ["{{ .Value | .Method }}", /only a function can stand behind/, 12],
  ["{{ .Value .Method }}", /only a function can take arguments/, 3],
  ["{{ (.Value }}", /parenthesis is not closed/, 3],
  ["{{ .Value) }}", /unexpected "\)"/, 9],
  ['{{ .Value"x" }}', /unexpected/, 9],
  ['{{ "a }}', /string is not closed/, 3],
  ['{{ "\\q" }}', /unknown escape/, 4],
  ["{{/* x }}", /comment is not closed/, 2],
  ["{{/* x */ y }}", /must end with/, 7],
  ["{{ 0x10 }}", /not supported; write a plain decimal/, 3],
  ["{{ 99999999999999999999 }}", /not supported/, 3],
  ["{{ 'a' }}", /unexpected/, 3],
  ["{{ @ }}", /unexpected "@"/, 3],
  [`{{ ${"(".repeat(60)}1${")".repeat(60)} }}`, /deeper than 50/, 0],
  ["{{if true}}".repeat(60) + "{{end}}".repeat(60), /deeper than 50/, 550],
  ["x".repeat(70_000), /longer than/, 65_536],
];

for (const [template, message, offset] of refusals) {
  test(`template refuses ${JSON.stringify(template.slice(0, 60))} at load`, () => {
    const { error } = compileTemplate(template, options);
    assert.match(error?.message ?? "compiled", message);
    assert.equal(error?.offset, offset);
  });
}

test("I12: output and every intermediate result are bounded to 64 kB", () => {
  const big = "v".repeat(65_536);
  assert.equal(render("{{.Value}}", { Value: big }).length, 65_536);
  for (const template of ["{{.Value}}x", "{{.Value}}{{.Value}}", '{{ len (urlquery (print .Value "x")) }}']) {
    assert.throws(() => render(template, { Value: big }), TemplateError);
  }
  const compiled = compileTemplate("{{.Value}}", { fields: { Value: "string" }, maxOutput: 100_000 });
  assert.equal(compiled.template?.render({ Value: "v".repeat(100_000) }).length, 100_000);
});

test("I14: a failing template says nothing of its values", () => {
  const compiled = compileTemplate('{{ printf "%d" (or .Value 1) }}', options);
  assert.throws(
    () => compiled.template?.render({ ...data, Value: "canary-credential" }),
    (error: Error) => error instanceof TemplateError && !error.message.includes("canary"),
  );
});

test("a missing key of a map fails closed while rendering", () => {
  assert.throws(() => render("{{ index .Credentials .Method }}"), TemplateError);
  assert.throws(() => render("{{ .Credentials.key }}", { Credentials: new Map() }), TemplateError);
});

test("strings are bytes: base64, len and quoting of text beyond ASCII agree with Go", () => {
  assert.equal(render('{{ base64 "é" }}{{ len "é" }}'), "w6k=2");
  assert.equal(render("é{{ .Value }}", { Value: toByteString("ü") }), toByteString("éü"));
  assert.equal(render('{{ printf "%q" "é" }}'), toByteString('"é"'));
  assert.equal(Buffer.from(render('{{ "\\xff" }}'), "latin1").toString("hex"), "ff");
});

test("any text without braces renders as its own bytes, and no text makes the compiler throw", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      if (text.includes("{{")) return;
      assert.equal(render(text), toByteString(text));
    }),
  );
  const words = fc.constantFrom(...'{{ }} - . Value $x := | ( ) " if end else ` /* */ 1'.split(" "), " ");
  fc.assert(
    fc.property(fc.array(words, { maxLength: 30 }), (parts) => {
      const compiled = compileTemplate(parts.join(""), options);
      if (compiled.error !== undefined) assert.ok(compiled.error.offset <= parts.join("").length);
      else compiled.template.render(data);
    }),
  );
});

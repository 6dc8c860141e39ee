/**
 * Scripts that names are written in. A script that is missing here makes a label count as mixed, so its owner
 * has to write the `xn--` form: the safe way to be incomplete.
 */
const singleScripts = [
  "Latin",
  "Greek",
  "Cyrillic",
  "Armenian",
  "Hebrew",
  "Arabic",
  "Syriac",
  "Thaana",
  "Devanagari",
  "Bengali",
  "Gurmukhi",
  "Gujarati",
  "Oriya",
  "Tamil",
  "Telugu",
  "Kannada",
  "Malayalam",
  "Sinhala",
  "Thai",
  "Lao",
  "Tibetan",
  "Myanmar",
  "Georgian",
  "Ethiopic",
  "Khmer",
  "Mongolian",
];

/** Scripts that one language mixes (UTS 39 section 5.2, highly restrictive). */
const togetherScripts = [
  ["Latin", "Han", "Hiragana", "Katakana"],
  ["Latin", "Han", "Bopomofo"],
  ["Latin", "Han", "Hangul"],
];

const allowed = [...singleScripts.map((script) => [script]), ...togetherScripts].map((scripts) => {
  const classes = ["Common", "Inherited", ...scripts].map((script) => `\\p{Script_Extensions=${script}}`);
  return new RegExp(`^[${classes.join("")}]*$`, "u");
});

/** True when the letters of a label come from scripts that no one language writes together (UTS 39 section 5.2). */
export function mixesScripts(label: string): boolean {
  return !allowed.some((pattern) => pattern.test(label));
}

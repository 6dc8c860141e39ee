import { z } from "zod";
import { configSchema, transformEntrySchema } from "./schema.ts";

/** A kind of transform or source, as far as its keys go. */
export interface KindSchema {
  readonly name: string;
  readonly schema: z.ZodType;
}

type JsonSchema = z.core.JSONSchema.JSONSchema;

/**
 * JSON Schema (draft 7, which editors know) of a configuration file, with the keys of every kind of transform and
 * source. It says what a file may look like; `check` finds more, such as rules that contradict each other.
 */
export function configJsonSchema(
  transforms: readonly KindSchema[],
  sources: readonly KindSchema[],
): JsonSchema {
  const entries = transforms.map(({ name, schema }) =>
    transformEntrySchema.extend({ name: z.literal(name), config: schema.optional() }),
  );
  const whole = configSchema.extend({
    transforms: z
      .array(z.union(entries))
      .optional()
      .describe("policies and credentials, in the order they run"),
  });
  const json = z.toJSONSchema(whole, {
    target: "draft-7",
    io: "input",
    unrepresentable: "any",
    override({ zodSchema, jsonSchema }) {
      tidy(zodSchema, jsonSchema);
    },
  });
  const definitions = { ...(json.definitions as Record<string, JsonSchema> | undefined) };
  if (definitions["source"] !== undefined) definitions["source"] = { anyOf: sources.map(sourceJson) };
  const { $schema, definitions: _, ...rest } = json;
  return { $schema, title: "Sallyport configuration", ...rest, definitions } as JsonSchema;
}

function sourceJson({ schema }: KindSchema): JsonSchema {
  const json = z.toJSONSchema(schema, { target: "draft-7", io: "input", unrepresentable: "any" });
  delete json.$schema;
  return json;
}

/** Puts in the defaults that conversions hide, and takes out what says nothing. */
function tidy(schema: z.core.$ZodType, json: z.core.JSONSchema.BaseSchema): void {
  const standard = z.globalRegistry.get(schema)?.["default"];
  if (standard !== undefined) json.default = standard;
  else if (json.type === "object" || json.type === "array") delete json.default;
  if (json.minimum === Number.MIN_SAFE_INTEGER) delete json.minimum;
  if (json.maximum === Number.MAX_SAFE_INTEGER) delete json.maximum;
}

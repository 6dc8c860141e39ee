// The description of the control service, made of its routes: what is not described cannot be served.
import { z } from "zod";

/** One answer of an operation. */
export interface Described {
  readonly description: string;
  /** A schema for JSON, or the media type of something else. */
  readonly content: z.ZodType | string;
}

export interface Operation {
  readonly path: string;
  readonly method: "GET" | "POST";
  readonly id: string;
  readonly summary: string;
  /** Needs the management key. */
  readonly secured: boolean;
  readonly query?: Readonly<
    Record<string, { readonly description: string; readonly values: readonly string[] }>
  >;
  readonly request?: z.ZodType;
  readonly answers: Readonly<Record<number, Described>>;
}

/** An OpenAPI 3.1 document (its schemas are JSON Schema 2020-12). */
export function openApi(operations: readonly Operation[], version: string): Record<string, unknown> {
  const schemas = new Map<string, z.ZodType>();
  for (const { request, answers } of operations) {
    for (const schema of [request, ...Object.values(answers).map(({ content }) => content)]) {
      if (schema === undefined || typeof schema === "string") continue;
      const id = schema.meta()?.title;
      if (id === undefined) throw new Error("every schema of the control service has a name");
      schemas.set(id, schema);
    }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Sallyport control service",
      version,
      description:
        "Gives sandboxes what they need to use the proxy. It holds no credential and cannot read one.",
    },
    paths: pathsOf(operations),
    components: {
      securitySchemes: { management_key: { type: "http", scheme: "bearer" } },
      schemas: Object.fromEntries([...schemas].map(([id, schema]) => [id, jsonSchema(schema)])),
    },
  };
}

function pathsOf(operations: readonly Operation[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const operation of operations) {
    const { path, method, id, summary, secured, query = {}, request, answers } = operation;
    const parameters = Object.entries(query).map(([name, { description, values }]) => ({
      name,
      in: "query",
      description,
      schema: { type: "string", enum: values },
    }));
    paths[path] = {
      ...paths[path],
      [method.toLowerCase()]: {
        operationId: id,
        summary,
        security: secured ? [{ management_key: [] }] : [],
        ...(parameters.length === 0 ? {} : { parameters }),
        ...(request === undefined ? {} : { requestBody: { required: true, content: contentOf(request) } }),
        responses: Object.fromEntries(
          Object.entries(answers).map(([status, { description, content }]) => [
            status,
            { description, content: contentOf(content) },
          ]),
        ),
      },
    };
  }
  return paths;
}

function contentOf(content: z.ZodType | string): Record<string, unknown> {
  if (typeof content === "string") return { [content]: { schema: { type: "string" } } };
  return { "application/json": { schema: { $ref: `#/components/schemas/${content.meta()?.title}` } } };
}

/** As a part of a document, which says for all of its schemas which language they are in. */
function jsonSchema(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _language, ...rest } = z.toJSONSchema(schema);
  return rest;
}

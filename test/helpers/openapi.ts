/** What a running switch says of itself at /api/v1/openapi.json, as functions that check; strict: no key that no type has. */
import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";

export interface Checks {
  readonly document: { paths: Record<string, Record<string, any>>; components: { schemas: Record<string, any> } };
  /** Fails where the answer is not what the document says of this operation. */
  answer(method: string, path: string, value: unknown): void;
  body(method: string, path: string, value: unknown): void;
  /** Fails where the value is not of the type with this name. */
  is(name: string, value: unknown): void;
}

/** Objects that say what keys they have have no others. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  if (copy.type === "object" && copy.properties !== undefined && copy.additionalProperties === undefined)
    return { ...copy, unevaluatedProperties: false };
  return copy;
}

export function checksOf(document: Checks["document"]): Checks {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  ajv.addSchema(closed({ $id: "doc", components: document.components }) as object);
  const compiled = new Map<string, ReturnType<Ajv2020["compile"]>>();
  const check = (what: string, schema: unknown, value: unknown): void => {
    let validate = compiled.get(what);
    if (validate === undefined) {
      const text = JSON.stringify(schema).replaceAll('"#/', '"doc#/');
      compiled.set(what, (validate = ajv.compile(JSON.parse(text) as object)));
    }
    assert.ok(validate(value), `${what}: ${ajv.errorsText(validate.errors).slice(0, 600)}`);
  };
  const operation = (method: string, path: string): any => {
    const found = document.paths[path]?.[method.toLowerCase()];
    assert.ok(found, `the document has ${method} ${path}`);
    return found;
  };
  return {
    document,
    answer(method, path, value) {
      const { content } = operation(method, path).responses[200];
      check(`answer of ${method} ${path}`, content["application/json"].schema, value);
    },
    body(method, path, value) {
      const { schema } = operation(method, path).requestBody.content["application/json"];
      check(`body of ${method} ${path}`, schema, value);
    },
    is: (name, value) => check(name, { $ref: `#/components/schemas/${name}` }, value),
  };
}

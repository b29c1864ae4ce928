/** Each change that takes a rule out still fits the source. That its test then fails is shown by `npm run chaos -- --mutations`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mutated, mutations, root } from "./mutations.ts";

describe("taking a rule out", () => {
  it.each(mutations.map((mutation) => [mutation.rule, mutation] as const))(
    "fits the source: %s",
    (_, mutation) => {
      expect(mutated(mutation)).not.toBe(readFileSync(join(root, mutation.file), "utf8"));
      expect(readFileSync(join(root, mutation.test.file), "utf8")).toContain(mutation.test.name);
    },
  );
});

/**
 * HashiCorp's HCL parser, as WebAssembly. Required, not imported: its own types bring along those of browsers, which would then
 * stand beside Node's in every file of this project.
 */
import { createRequire } from "node:module";

/** An expression's syntax; what `meta` holds depends on its type. */
export interface Ast {
  readonly type: string;
  readonly meta: {
    readonly value: string;
    readonly type?: string;
    readonly name?: string;
    readonly operator?: string;
    readonly valVar?: string;
    readonly traversal?: ReadonlyArray<{ readonly segment: string }>;
  };
  readonly children: ReadonlyArray<Ast>;
}

interface Library {
  readonly parse: (name: string, text: string) => Promise<unknown>;
  readonly getExpressionAst: (name: string, text: string) => Promise<Ast | null>;
}

const require = createRequire(import.meta.url);

/** `parse` rejects with the parser's words, which hold name, line and column. */
export const { parse, getExpressionAst } = require("@cdktn/hcl2json") as Library;

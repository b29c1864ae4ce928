/** This package's version, from its package.json: beside `src/` in the checkout, beside `dist/` when installed. */
import { readFileSync } from "node:fs";

const packageFile = new URL("../../package.json", import.meta.url);

export const version: string = (JSON.parse(readFileSync(packageFile, "utf8")) as { readonly version: string })
  .version;
